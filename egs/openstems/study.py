#!/usr/bin/env python3
"""Short trainings with equal budgets that differ in one setting, and the table of their scores.

    python study.py settings --root data      # sizes, band tables, STFTs, sharing of masks
    python study.py aids --root data          # averaged weights, what examples are made of
    python study.py voices --root data        # vocals learnt from one kind of voice alone
    python study.py real --root data --row conf/real.yml --steps N --set unlabelled.selection=FILE

Each trial is a run of ../musdb18hq/compare in EXP/STUDY. The table, EXP/STUDY.md, has the scores on
the validation songs, which share no voices, instruments and pieces with training songs. Finished
trials are not repeated. `--trials` chooses trials by name.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asteroid_bsrnn import UserError, zoo
from asteroid_bsrnn.costs import ledger
from asteroid_bsrnn.costs.environment import hardware
from asteroid_bsrnn.evaluation.datasets import EvaluationTracks
from asteroid_bsrnn.evaluation.running import evaluate_oracle
from asteroid_bsrnn.evaluation.speed import count_macs
from asteroid_bsrnn.files import list_folders, read_names
from openstems.music import STEMS

HERE = Path(__file__).resolve().parent
TRAIN = HERE.parent / "musdb18hq" / "compare" / "train.py"

SETTINGS = {
    "base": (),
    "tac": ("model.stereo=tac",),
    "features_40": ("model.feature_dim=40",),
    "blocks_4": ("model.n_repeats=4",),
    "bands_32": ("model.bands=[[12, 80], [8, 160], [6, 400], [4, 1200], [1, 4000]]",),
    "stft_2048": ("model.n_filters=2048", "model.stride=512"),
    "mask_2": ("model.mask_expansion=2",),
    "last_source_as_residual": ("model.last_source_as_residual=true",),
}
AIDS = {
    "base": (),
    "weights_averaged": ("training.ema=0.98",),
    "stems_of_one_song": ("data.mix_tracks=false",),
    "speed": ("data.speed=[0.9, 1.12]",),
    "band_limit": ("augmentation.band_limit=0.3",),
    "equaliser": ("augmentation.equaliser=0.5",),
    "stereo_width": ("augmentation.stereo_width=0.5",),
    "shift": ("augmentation.shift=0.1",),
}
# For real_validation.py on the best_model.pth of each trial, at equal --steps.
REAL = {
    "base": (),
    "free_masks": ("model.last_source_as_residual=false",),
    "levels": ("augmentation.gain_db=[-16.0, 6.0]",),
    "no_peak_normalisation": ("augmentation.peak_normalisation=false",),
    "loss_time": ("loss.domain=time",),
    "loss_stft": ("loss.domain=stft",),
    "songs_as_they_are": ("unlabelled.as_songs=1.0",),
    "remixed": ("unlabelled.as_songs=0.0",),
    "speed": ("data.speed=[0.9, 1.12]",),
    "weights_averaged": ("training.ema=0.99",),
    "half_unlabelled": ("unlabelled.ratio=0.3",),
}
# Least number of songs of a kind of voice.
FEWEST_SONGS = 5


@dataclass(frozen=True)
class Trial:
    """A training: its name, its data, and its changes of the configuration."""

    name: str
    root: Path
    changes: tuple[str, ...] = ()
    source: str | None = None
    vocals_of: tuple[str, ...] | None = None  # songs that keep their vocals; None for all


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the missing trials, write the table, and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        trials = list(all_trials(options))
        unknown = set(options.trials or ()) - {trial.name for trial in trials}
        if unknown:
            valid = ", ".join(trial.name for trial in trials)
            raise UserError(f"unknown trial {sorted(unknown)[0]!r}; valid: {valid}")
        chosen = [trial for trial in trials if trial.name in (options.trials or [trial.name])]
        for trial in chosen:
            train(trial, options)
        if options.table:
            write_table(chosen, options)
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def all_trials(options: argparse.Namespace) -> Iterator[Trial]:
    """Yield the trials of a study."""
    if options.study == "voices":
        yield from voices_trials(options)
    for name, changes in {"settings": SETTINGS, "aids": AIDS, "real": REAL}.get(
        options.study, {}
    ).items():
        yield Trial(name, options.root, changes)


def voices_trials(options: argparse.Namespace) -> Iterator[Trial]:
    """Yield trials of vocals with all kinds of voices, and with each kind alone."""
    one_source = ("model.preset=bsrnn_naive",)
    yield Trial("all", options.root, one_source, "vocals")
    for kind, songs in sorted(songs_by_kind_of_voice(options.root).items()):
        if len(songs) >= FEWEST_SONGS:
            root = options.exp / options.study / f"data_{kind}"
            yield Trial(kind, root, one_source, "vocals", tuple(songs))


def songs_by_kind_of_voice(root: Path) -> dict[str, list[str]]:
    """Return the names of the training songs with vocals by kind of the lead voice."""
    validation = validation_names(root)
    kinds = defaultdict(list)
    for folder in list_folders(root / "train"):
        path = folder / "song.json"
        if not path.is_file():
            continue
        song = json.loads(path.read_text(encoding="utf-8"))
        if song["name"] not in validation and song["vocals"]:
            kinds[song["vocals"]["voice"]["kind"]].append(song["name"])
    return kinds


def validation_names(root: Path) -> set[str]:
    """Return the names of the validation songs.

    Raises:
        UserError: if there is no such data set.
    """
    try:
        return set(read_names(root / "validation_tracks.txt"))
    except UserError as error:
        raise UserError(
            f"{error}; build the data set first: python generate.py build --root {root}"
        ) from error


def with_vocals_of(songs: Sequence[str], root: Path, derived: Path) -> None:
    """Link a data set in which only `songs` have vocals among the training songs."""
    with_vocals = {*songs, *validation_names(root)}
    for folder in list_folders(root / "train"):
        target = derived / "train" / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for name in ("mixture", *STEMS):
            link, stem = target / f"{name}.wav", folder / f"{name}.wav"
            if link.exists():
                continue
            if name == "vocals" and folder.name not in with_vocals:
                info = soundfile.info(stem)
                silence = np.zeros((info.frames, info.channels), np.int16)
                soundfile.write(link, silence, info.samplerate)
            else:
                link.symlink_to(stem.resolve())


def train(trial: Trial, options: argparse.Namespace) -> None:
    """Train a trial unless it is finished."""
    folder = options.exp / options.study / trial.name
    if (folder / "best_model.pth").is_file():
        return
    if trial.vocals_of is not None:
        with_vocals_of(trial.vocals_of, options.root, trial.root)
    changes = [
        "data.musdb18hq=false",
        f"data.validation_tracks={options.root / 'validation_tracks.txt'}",
        f"data.infos={options.root / 'infos.json'}",
        *options.set,
        *trial.changes,
    ]
    command = [sys.executable, TRAIN, "--root", trial.root, "--model", options.row]
    budget = ["--max_minutes", options.minutes]
    if options.steps is not None:
        budget = ["--max_steps", options.steps]
    command += ["--exp_dir", folder, *budget, "--set", *changes]
    command += ["--source", trial.source] if trial.source else []
    print(f"{options.study}: {trial.name}", flush=True)
    subprocess.run([str(part) for part in command], check=True)


def write_table(trials: Sequence[Trial], options: argparse.Namespace) -> None:
    """Print and write the table of the trials' ledgers, beside the scaled mixture."""
    data = EvaluationTracks(
        options.root, "valid", validation_tracks=sorted(validation_names(options.root))
    )
    folder = options.exp / options.study
    baseline = evaluate_oracle("scaled_mixture", data, folder / "evaluation")
    budget = f"{options.minutes:g} minutes" if options.steps is None else f"{options.steps} steps"
    lines = [
        f"uSDR in dB on {len(data)} validation songs, the best of those in {budget}; "
        f"{hardware()['cpu_model']}.",
        "",
        "| trial | changes | M params | MAC/s, 10^9 | examples | "
        + " | ".join(STEMS)
        + " | mean |",
        "|---|---|---:|---:|---:|" + "---:|" * (len(STEMS) + 1),
        f"| `scaled_mixture` | | | | | {_scores(baseline.summary['usdr'])} |",
    ]
    lines += [_line(trial, folder / trial.name) for trial in trials]
    path = folder.with_suffix(".md")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _line(trial: Trial, folder: Path) -> str:
    record = ledger.read(folder)
    macs = count_macs(zoo.load(folder / "best_model.pth"))
    cells = [
        f"`{trial.name}`",
        ", ".join(f"`{change}`" for change in trial.changes),
        f"{record['n_parameters'] / 1e6:.2f}",
        f"{macs / 1e9:.2f}",
        f"{record['totals']['samples']}",
    ]
    return f"| {' | '.join(cells)} | {_scores(record['best']['usdr'])} |"


def _scores(usdr: Mapping[str, float]) -> str:
    """Return the cells of all stems and of their mean, which is empty if one is missing."""
    cells = [f"{usdr[stem]:.2f}" if stem in usdr else "" for stem in STEMS]
    mean = sum(usdr[stem] for stem in STEMS) / len(STEMS) if all(cells) else None
    return " | ".join([*cells, "" if mean is None else f"{mean:.2f}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=("settings", "aids", "real", "voices"))
    parser.add_argument("--root", type=_absolute, default=HERE / "data", help="the data set")
    parser.add_argument(
        "--exp", type=_absolute, default=HERE / "exp" / "studies", help="folder of the results"
    )
    parser.add_argument("--minutes", type=float, default=4.0, help="minutes of each training (4)")
    parser.add_argument("--steps", type=int, help="steps of each training, instead of minutes")
    parser.add_argument("--trials", nargs="+", metavar="NAME", help="which; default: all")
    parser.add_argument("--set", nargs="+", default=[], metavar="GROUP.KEY=VALUE", help="in all")
    parser.add_argument("--no-table", dest="table", action="store_false", help="train alone")
    row = HERE / "conf" / "tiny.yml"
    parser.add_argument(
        "--row",
        type=_absolute,
        default=row,
        help="the configuration that trials change (%(default)s)",
    )
    return parser


def _absolute(path: str) -> Path:
    return Path(path).resolve()


if __name__ == "__main__":
    sys.exit(main())
