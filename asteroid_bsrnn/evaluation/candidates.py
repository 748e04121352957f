"""Models named by a user: a name, a file, a URL or a run's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import zoo
from ..errors import UserError
from ..weights import hub
from ..weights.cache import sha256_of

# The recipe's names of the files in a run's folder.
WEIGHTS_OF_RUN = "best_model.pth"
LEDGER_OF_RUN = "ledger.json"


@dataclass(frozen=True)
class Candidate:
    """A model to be evaluated.

    Attributes:
        label: name in tables.
        name: of the registry, `hf:` reference or URL; None for a file.
        path: file of its weights, or folder of such files with a network each.
        sha256: checksum of that file, or of the names and checksums of all.
        ledger: of the run that trained it; None if there is none beside the weights.
    """

    label: str
    name: str | None
    path: Path
    sha256: str
    ledger: Path | None = None

    def facts(self, folder: str | os.PathLike) -> dict:
        """Return plain types for records in `folder`, with paths relative to it."""
        return {
            "label": self.label,
            "name": self.name,
            "path": None if self.name else _relative(self.path, folder),
            "sha256": self.sha256,
            "ledger": None if self.ledger is None else _relative(self.ledger, folder),
        }


def candidate(given: str | os.PathLike) -> Candidate:
    """Return the model that a user names.

    Args:
        given: a name of the registry, a file of weights, a run's folder with `best_model.pth`, a
            URL, or `hf:user/name` on the Hugging Face Hub; `LABEL=` before it sets its name in
            tables.

    Raises:
        UserError: if there is no such model, or its weights are not available.
    """
    given = os.fspath(given)
    label, name = split_label(given)
    path, ledger = _weights_by_name(name), None
    if path is not None:
        label = label or _label(name)
    else:
        path, found = _file(name)
        name, label = None, label or found
        if path.name == WEIGHTS_OF_RUN and (path.parent / LEDGER_OF_RUN).is_file():
            ledger = path.parent / LEDGER_OF_RUN
    return Candidate(safe_name(label), name, path, sha256_of(path), ledger)


def weights_of(facts: Mapping, folder: str | os.PathLike) -> Path | None:
    """Return the weights of a record in `folder`; None if they are missing or changed."""
    if facts.get("name"):
        path = _weights_by_name(facts["name"])
    else:
        path = Path(folder) / facts["path"] if facts.get("path") else None
    if path is None or not path.exists() or sha256_of(path) != facts["sha256"]:
        return None
    return path


def _weights_by_name(name: str) -> Path | None:
    """Return the file or folder of a name of the registry, a Hub reference or a URL."""
    known = hub.is_reference(name) or "://" in name or name in zoo.registry()
    return zoo.find(name) if known else None


def _label(name: str) -> str:
    """Return the name in tables of a model that is not a file."""
    if hub.is_reference(name):
        return hub.parse(name).repository.rpartition("/")[2]
    return Path(name.partition("#")[0]).stem if "://" in name else name


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


def _file(name: str) -> tuple[Path, str]:
    path = Path(name)
    if path.is_dir():
        weights = path / WEIGHTS_OF_RUN
        if not weights.is_file():
            raise UserError(f"{path}: no model, the folder holds no {WEIGHTS_OF_RUN}; train first")
        return weights, path.resolve().name.removeprefix("train_")
    if path.is_file():
        whole = path.resolve()
        of_run = path.name == WEIGHTS_OF_RUN
        return path, whole.parent.name.removeprefix("train_") if of_run else path.stem
    raise UserError(
        f"unknown model {name!r}: neither a file, a run's folder nor a name; valid names: "
        f"{', '.join(zoo.registry())}"
    )
