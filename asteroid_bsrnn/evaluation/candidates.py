"""Models to evaluate: weights with a label and with the ledger of their training."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..weights.bag import facts_of, files_of, sha256_of, sha256_of_members
from ..weights.find import find_weights

# The recipe's name of the ledger in the folder of a run.
LEDGER_OF_RUN = "ledger.json"


@dataclass(frozen=True)
class Candidate:
    """A model to be evaluated.

    Attributes:
        label: name in tables.
        name: of the registry, `hf:` reference or URL; None for a file.
        path: file of its weights, folder of such files with a network each, or bag file.
        sha256: checksum of that file, or of the names and checksums of all.
        ledger: of the run that trained it; None if there is none beside the weights.
        members: model, weights and checksum of each model of a bag; empty for others.
    """

    label: str
    name: str | None
    path: Path
    sha256: str
    ledger: Path | None = None
    members: list[dict] = field(default_factory=list)

    def facts(self, folder: str | os.PathLike) -> dict:
        """Return plain types for records in `folder`, with paths relative to it."""
        return {
            "label": self.label,
            "name": self.name,
            "path": None if self.name else _relative(self.path, folder),
            "sha256": self.sha256,
            "ledger": None if self.ledger is None else _relative(self.ledger, folder),
            **({"members": self.members} if self.members else {}),
        }


def candidate(given: str | os.PathLike) -> Candidate:
    """Return the model that a user names.

    Args:
        given: as in `weights.find.find_weights`; `LABEL=` before it sets the name in tables.

    Raises:
        UserError: there is no such model, or its weights are not available.
    """
    label, name = split_label(os.fspath(given))
    weights = find_weights(name)
    files_of(weights.path)  # refuses a folder without weights
    members = facts_of(weights.path)
    ledger = None if weights.run is None else weights.run / LEDGER_OF_RUN
    return Candidate(
        safe_name(label or weights.label),
        weights.name,
        weights.path,
        sha256_of_members(members) if members else sha256_of(weights.path),
        ledger if ledger is not None and ledger.is_file() else None,
        members,
    )


def weights_of(facts: Mapping, folder: str | os.PathLike) -> Path | None:
    """Return the weights of a record in `folder`; None if they are missing or changed."""
    if facts.get("name"):
        path = find_weights(facts["name"]).path
    else:
        path = Path(folder) / facts["path"] if facts.get("path") else None
    if path is None or not path.exists() or sha256_of(path) != facts["sha256"]:
        return None
    return path


def _relative(path: Path, folder: str | os.PathLike) -> str:
    return Path(os.path.relpath(path.resolve(), Path(folder).resolve())).as_posix()


def safe_name(text: str) -> str:
    """Return `text` as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("._") or "model"


def split_label(given: str) -> tuple[str | None, str]:
    """Return label and name of `LABEL=NAME`, the label None without one; files may be named so."""
    match = re.match(r"([\w.+-]+)=(.+)", given)
    if match is None or os.path.exists(given):
        return None, given
    return match.group(1), match.group(2)
