"""The description of a data set: its stems, their files, and the form in which they are read.

A description is the group `layout` of a YAML file, such as a configuration of the recipe. All that
read stems take it as a `Layout`; its defaults are the layout of MUSDB18-HQ.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from ..bands import SOURCES
from ..errors import UserError
from ..files import read_yaml

GROUP = "layout"
MIXTURE = "mixture"
_MISSING = ("error", "silent")
_FOLDERS = {"train": "train", "test": "test"}


@dataclass(frozen=True)
class Layout:
    """The description of a data set.

    Attributes:
        stems: from the name of a stem to the names of its files, whose sum it is. A name without
            ending stands for a wav, flac or ogg file in the track's folder, or for a folder there
            with such files. A sequence of names gives each stem the file of its own name.
        sums: from a name to the stems whose sum it is, such as `{"accompaniment": ["bass",
            "drums", "other"]}`. Networks can estimate sums as well as stems. In training examples
            the stems of a sum come from tracks of their own, the files of a stem from one track.
        mixture: name of the mixture's file; None if there is none, and the mixture is the sum of
            the stems.
        folders: names of the folders `train` and `test`. With `valid`, validation tracks are in a
            folder of their own, otherwise in that of `train`.
        sample_rate: rate in hertz that all files are resampled to; None leaves them as they are.
        channels: 1 or 2, the number of channels that all files are converted to: the mean of the
            channels, or mono on both; None leaves them as they are.
        missing: "error", or "silent" where tracks may lack files or the ends of files, which are
            silent.

    Raises:
        UserError: a value has another form, or a sum has a stem that does not exist.
    """

    stems: Mapping[str, tuple[str, ...]] = SOURCES  # type: ignore[assignment]
    sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mixture: str | None = MIXTURE
    folders: Mapping[str, str] = field(default_factory=lambda: _FOLDERS)
    sample_rate: int | None = None
    channels: int | None = None
    missing: str = "error"

    def __post_init__(self):
        stems = self.stems
        if isinstance(stems, str) or not isinstance(stems, (Mapping, Sequence)) or not stems:
            raise _refused("stems", "names, or files by name", stems)
        if not isinstance(stems, Mapping):
            if len(set(map(str, stems))) < len(stems):
                raise _refused("stems", "names that differ", stems)
            stems = {str(name): str(name) for name in stems}
        self._set("stems", {name: _names("stems", name, given) for name, given in stems.items()})
        sums = self.sums
        if not isinstance(sums, Mapping):
            raise _refused("sums", "stems by name, as {accompaniment: [bass, drums, other]}", sums)
        self._set("sums", {name: _names("sums", name, given) for name, given in sums.items()})
        self._check_names()
        self._set("folders", _folders(self.folders))
        if self.mixture is not None:
            _check_files("mixture", [self.mixture])
        rate = self.sample_rate
        if rate is not None and not (type(rate) is int and rate > 0):
            raise _refused("sample_rate", "a number of hertz, or null", self.sample_rate)
        if self.channels not in (None, 1, 2) or isinstance(self.channels, bool):
            raise _refused("channels", "1, 2 or null", self.channels)
        if self.missing not in _MISSING:
            raise _refused("missing", " or ".join(_MISSING), self.missing)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_names(self) -> None:
        for name, files in self.stems.items():
            if not isinstance(name, str) or not name or name == MIXTURE:
                raise _refused("stems", f"names other than {MIXTURE!r}", name)
            _check_files("stems", files)
        for name, parts in self.sums.items():
            if not isinstance(name, str) or not name or name in self.stems or name == MIXTURE:
                raise _refused("sums", "names that no stem has", name)
            for part in parts:
                if part not in self.stems:
                    raise UserError(
                        f"{GROUP}.sums: {name} has the stem {part!r}, which does not exist; the"
                        f" stems are {', '.join(self.stems)}"
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all stems and sums."""
        return (*self.stems, *self.sums)

    def parts(self, name: str) -> tuple[str, ...]:
        """Return the stems whose sum is a stem or a sum.

        Raises:
            UserError: there is no such name.
        """
        if name in self.stems:
            return (name,)
        if name in self.sums:
            return self.sums[name]
        raise UserError(f"there is no stem {name!r}; valid: {', '.join(self.names)}")

    def settings(self) -> dict[str, Any]:
        """Return the description in plain types, as configurations and records store it."""
        return json.loads(json.dumps(asdict(self)))  # tuples become lists

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Layout:
        """Return the layout that a group of a configuration describes, by the names of attributes.

        Stems, sums and folders that are None are those of MUSDB18-HQ.

        Raises:
            UserError: for an unknown key, or as the constructor.
        """
        known = [one.name for one in fields(cls)]
        for key in settings:
            if key not in known:
                raise UserError(f"{GROUP}: unknown key {key!r}; valid: {', '.join(known)}")
        optional = ("stems", "sums", "folders")
        given = {
            k: value for k, value in settings.items() if value is not None or k not in optional
        }
        return cls(**given)


def read_layout(path: str | os.PathLike) -> Layout:
    """Read the layout of a YAML file, its group `layout`; other groups are ignored.

    Raises:
        UserError: the file cannot be read, or has no such group.
    """
    groups = read_yaml(Path(path).expanduser())
    found = groups.get(GROUP) if isinstance(groups, dict) else None
    if not isinstance(found, dict):
        raise UserError(
            f"{path}: has no group {GROUP!r} that describes the data's stems; leave the file out"
            " for data in the layout of MUSDB18-HQ"
        )
    try:
        return Layout.from_settings(found)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _names(key: str, name: object, given: object) -> tuple[str, ...]:
    """Return the names that an entry of stems or sums lists."""
    if given is None and key == "stems":
        return (str(name),)
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, Sequence) or not listed or len(set(map(str, listed))) < len(listed):
        raise _refused(f"{key}.{name}", "one or more names that differ", given)
    return tuple(map(str, listed))


def _check_files(key: str, names: Iterable[object]) -> None:
    for name in names:
        path = PurePosixPath(name) if isinstance(name, str) and name else None
        if path is None or path.is_absolute() or ".." in path.parts:
            raise _refused(key, "names of files in the track's folder, without ending", name)


def _folders(given: object) -> dict[str, str]:
    known = ("train", "valid", "test")
    if not isinstance(given, Mapping) or not set(given) <= set(known):
        raise _refused("folders", f"names of folders for {', '.join(known)}", given)
    found = {**_FOLDERS, **{key: name for key, name in given.items() if name is not None}}
    _check_files("folders", found.values())
    return found


def _refused(key: str, wanted: str, got: object) -> UserError:
    return UserError(f"{GROUP}.{key} must be {wanted}, got {got!r}")
