"""Weights in Python packages of others: read at first use, and kept in this project's form."""

from __future__ import annotations

import time
from pathlib import Path

from . import checkpoint
from .cache import cache_directory, exclusive, sha256_of
from .download import storing
from .record import is_whole, write_record
from .registry import Pretrained


def file_of(entry: Pretrained) -> Path:
    """Where the weights of an entry with a package are kept; the file need not exist."""
    return cache_directory() / entry.name / f"{entry.name}.pth"


def ensure(entry: Pretrained) -> Path:
    """The file of an entry with a package, made first if it is missing or damaged.

    Raises:
        UserError: if the package can't be had or the file can't be stored.
    """
    from ..peers import spleeter_weights  # registers all peers, so only where one is used

    path = file_of(entry)
    with storing(path.parent):
        if is_whole(path.parent, path.name):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.parent):
            if not is_whole(path.parent, path.name):
                checkpoint.save_model(spleeter_weights.load(), path, spleeter_weights.INFOS)
                facts = {
                    "package": entry.package,
                    "homepage": entry.homepage,
                    "sources": list(entry.sources),
                    "sha256": sha256_of(path),
                    "converted": time.strftime("%Y-%m-%d"),
                }
                write_record(path.parent, {path.name: facts})
    return path
