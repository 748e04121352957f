"""From the paths that a user names to the list of files to read."""

import os
from collections.abc import Iterable
from pathlib import Path

from asteroid_bsrnn.errors import UserError

# What is picked up in a folder; a file that is named explicitly is tried whatever its suffix.
# fmt: off
READABLE_SUFFIXES = frozenset({
    # sound, by libsndfile
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif",
    ".aiff", ".aifc", ".au", ".snd", ".caf",
    # sound, through ffmpeg
    ".m4a", ".m4b", ".aac", ".wma", ".ape", ".wv", ".tta", ".mpc", ".mp2", ".ac3", ".eac3",
    ".dts", ".amr", ".spx", ".mka",
    # video, for its sound
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".mpg", ".mpeg", ".m2ts",
    ".flv", ".ogv", ".3gp",
})
# fmt: on


def find_inputs(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """Lists the files to read.

    Args:
        paths: files and folders, or one of them. Files are taken as they are, folders are searched
            with everything below them for audio and video files; hidden ones are passed over.

    Returns:
        The files in the order given, each folder's in sorted order, none of them twice.

    Raises:
        UserError: a path is missing, or a folder holds no audio.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files: dict[str, Path] = {}
    for path in map(Path, paths):
        for file in _in_directory(path) if os.path.isdir(path) else [_existing(path)]:
            files.setdefault(os.path.realpath(file), file)
    return list(files.values())


def _existing(path: Path) -> Path:
    try:
        path.stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the name of the file") from None
    return path


def _in_directory(directory: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: {error.strerror}; the folder cannot be searched")

    found = []
    for folder, subfolders, names in os.walk(directory, onerror=refuse):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in READABLE_SUFFIXES
        ]
    if not found:
        raise UserError(f"{directory}: the folder holds no audio files; name one that does")
    return sorted(found)
