"""Link the stems of Slakh2100 by their class of instrument, as conf/stems/six_stems.yml reads them.

Slakh has `<split>/<track>/stems/S00.flac`, ... and the classes in `metadata.yaml`. The output has
`{train,valid,test}/<track>/<stem>/S00.flac`, links to these files.
"""

import argparse
import sys
from pathlib import Path

import yaml

from asteroid_bsrnn import UserError
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.files import list_folders

SPLITS = {"train": "train", "validation": "valid", "test": "test"}
# All other classes of instruments are `other`. Slakh has no vocals.
STEMS = {"Bass": "bass", "Drums": "drums", "Guitar": "guitar", "Piano": "piano"}


@reports_mistakes
def main() -> int:
    """Link all tracks."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", required=True, help="folder with train/, validation/ and test/")
    options.add_argument("--output", required=True, help="folder for the links")
    arguments = options.parse_args()
    count = link(Path(arguments.root).expanduser(), Path(arguments.output).expanduser())
    print(f"{count} tracks in {arguments.output}")
    return 0


def link(root: Path, output: Path) -> int:
    """Link the tracks of all splits, and return their number.

    Raises:
        UserError: there are no tracks, or one has no metadata.
    """
    found = [
        (track, output / name / track.name)
        for split, name in SPLITS.items()
        if (root / split).is_dir()
        for track in list_folders(root / split)
    ]
    if not found:
        raise UserError(f"{root}: holds no tracks in {', '.join(SPLITS)}; give Slakh's folder")
    for track, target in found:
        for file, stem in stems_of(track):
            place = target / stem / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink():
                place.symlink_to(file.resolve())
    return len(found)


def stems_of(track: Path) -> list[tuple[Path, str]]:
    """Return the files of a track with their stems; some that the metadata list do not exist."""
    path = track / "metadata.yaml"
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8"))["stems"]
        classes = {name: stem["inst_class"] for name, stem in listed.items()}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not the metadata of Slakh: no stems with inst_class") from None
    files = {name: track / "stems" / f"{name}.flac" for name in classes}
    return [
        (file, STEMS.get(classes[name], "other")) for name, file in files.items() if file.is_file()
    ]


if __name__ == "__main__":
    sys.exit(main())
