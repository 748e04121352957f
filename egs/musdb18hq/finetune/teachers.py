"""Teachers, and the folders of their estimates."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asteroid_bsrnn import Separator, UserError, zoo
from asteroid_bsrnn.costs.record import fingerprint
from asteroid_bsrnn.data import SOURCES
from asteroid_bsrnn.evaluation.records import Candidate, candidate
from asteroid_bsrnn.weights import checkpoint
from asteroid_bsrnn.weights.bag import files_of

KNOWN = "known"


@dataclass(frozen=True)
class Teacher:
    """A model that separates songs.

    Attributes:
        model: as named by the user.
        separator: with its weights.
        two_stems: the source beside which everything else is one part; None for all sources.
    """

    model: Candidate
    separator: Separator
    two_stems: str | None

    def record(self) -> dict[str, Any]:
        """Return the facts for the records of its estimates."""
        entry = zoo.registry().get(self.model.name)
        return {
            "label": self.model.label,
            "name": self.model.name,
            "path": None if self.model.name else self.model.path.name,
            "sha256": self.model.sha256,
            "licence": entry.licence if entry else None,
            "homepage": entry.homepage if entry else None,
            "training_data": entry.training_data if entry else None,
            "two_stems": self.two_stems,
            "settings": self.separator.settings,
            "licenses": _licenses(self.model.path),
        }

    def folder(self, estimates: Path) -> Path:
        """Return the folder of its estimates, which depends on weights and settings."""
        facts = {
            "sha256": self.model.sha256,
            "two_stems": self.two_stems,
            "settings": self.separator.settings,
        }
        return estimates / f"{self.model.label}-{fingerprint(facts)[:8]}"

    def part(self, stem: str) -> str:
        """Return the part that a stem of `Separator.separate_file` holds."""
        if stem == f"no_{self.two_stems}":
            return "+".join(source for source in SOURCES if source != self.two_stems)
        return stem


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for songs, teachers and estimates."""
    parser.add_argument("--songs", required=True, help="a list in YAML or JSON, or a folder")
    parser.add_argument(
        "--teacher",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="names, files, URLs or folders of runs; the first one's estimates are used, the"
        " others' are compared with them",
    )
    parser.add_argument("--estimates", required=True, type=Path, help="folder of all estimates")
    parser.add_argument("--two_stems", choices=SOURCES, help="estimate this and everything else")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--precision", default="32", help="32, bf16 or 16")
    parser.add_argument("--shifts", type=int, default=1, help="as of asteroid-bsrnn separate")


def load(options: argparse.Namespace) -> list[Teacher]:
    """Load the teachers that the options name.

    Raises:
        UserError: one cannot be loaded, or does not estimate the source asked for.
    """
    teachers = []
    for name in options.teacher:
        model = candidate(name)
        separator = Separator(
            model.path, device=options.device, precision=options.precision, shifts=options.shifts
        )
        two_stems = choose_two_stems(model.label, separator.sources, options.two_stems)
        teachers.append(Teacher(model, separator, two_stems))
    return teachers


def _licenses(path: Path) -> list[dict[str, Any]]:
    """Return the notices of the training data that the files of weights contain."""
    notices: list[dict[str, Any]] = []
    for file in files_of(path):
        found = checkpoint.load_dict(file).get("infos", {}).get("licenses", [])
        notices += [notice for notice in found if notice not in notices]
    return notices


def choose_two_stems(label: str, estimated: Sequence[str], wanted: str | None) -> str | None:
    """Return the source that is estimated beside everything else; None for all sources.

    Raises:
        UserError: the teacher does not estimate it, or the user has to choose.
    """
    if wanted is not None:
        if wanted not in estimated:
            raise UserError(f"{label}: does not estimate {wanted}, only {', '.join(estimated)}")
        return wanted
    if set(estimated) == set(SOURCES):
        return None
    known = [source for source in estimated if source in SOURCES]
    if len(known) == 1:
        return known[0]
    raise UserError(
        f"{label}: estimates {', '.join(estimated)}, neither one of {', '.join(SOURCES)} nor all;"
        " choose one with --two_stems"
    )
