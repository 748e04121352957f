"""Listing folders, reading names and YAML, and writing files and folders whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import UserError, one_line

# What operating systems and network drives leave in folders, in lower case. Names that begin with
# a dot (.DS_Store, ._song.wav, .Trash-1000, .AppleDouble) are hidden in any case.
# fmt: off
_LEFT_BY_SYSTEMS = frozenset({
    "__macosx", "icon\r", "network trash folder", "temporary items",
    "thumbs.db", "ehthumbs.db", "desktop.ini",
    "$recycle.bin", "recycler", "system volume information", "lost+found",
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot",
})
# fmt: on


def is_hidden(name: str) -> bool:
    """Return whether a name is hidden, or left behind by an operating system or network drive."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def is_url(name: str | os.PathLike) -> bool:
    """Return whether a name is a URL such as `https://...`, and no file or folder."""
    text = os.fspath(name)
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text)) and not os.path.exists(text)


def relative_path(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """Return a path relative to a folder, with slashes on every system."""
    return Path(os.path.relpath(path, folder)).as_posix()


def list_folders(folder: str | os.PathLike) -> list[Path]:
    """Return the folders in a folder, links among them, sorted and without hidden ones.

    Raises:
        UserError: the folder does not exist or cannot be read.
    """
    return sorted(path for path, is_folder, _ in _entries(Path(folder)) if is_folder)


def list_files(
    folder: str | os.PathLike, suffixes: Collection[str] = (), *, recursive: bool = False
) -> list[Path]:
    """Return the files in a folder, sorted and without hidden ones.

    A link to a file counts as a file, even if the file that it names is missing.

    Args:
        folder: the folder. Its own name may be hidden.
        suffixes: endings of the names wanted, such as `".wav"`, in lower case; names match in
            any case. None given lists all files.
        recursive: whether to search the folders below too, except hidden ones. Links to folders
            are followed. A folder that several links lead to is searched once, and a link to a
            folder that contains `folder` is not followed.

    Raises:
        UserError: a folder does not exist or cannot be read.
    """
    endings = tuple(suffixes)
    found = []
    for place in _folders_below(Path(folder)) if recursive else [Path(folder)]:
        for path, is_folder, _ in _entries(place):
            if not is_folder and (not endings or path.name.lower().endswith(endings)):
                found.append(path)
    return sorted(found)


def _folders_below(root: Path) -> Iterator[Path]:
    """Yield a folder and all folders below it, each once."""
    # Links wait until all folders proper are searched, so that a folder is listed under its own
    # path rather than under that of a link to it.
    folders, links = [root], []
    seen = {os.path.realpath(parent) for parent in Path(os.path.realpath(root)).parents}
    while folders or links:
        folder = folders.pop(0) if folders else links.pop(0)
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        yield folder
        for path, is_folder, is_link in sorted(_entries(folder)):
            if is_folder:
                (links if is_link else folders).append(path)


def _entries(folder: Path) -> Iterator[tuple[Path, bool, bool]]:
    """Yield path, whether it is a folder, and whether it is a link, of all that is not hidden."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_hidden(entry.name):
                    yield folder / entry.name, _is_folder(entry), entry.is_symlink()
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; the folder cannot be searched") from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other
        return False


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file that gets its name only when it is complete.

    An interrupted process leaves the former file as it was. Other processes that write the same
    file do not disturb this one; the last to finish wins.

    Args:
        path: the file. Its folder exists; a former file of that name is replaced.

    Yields:
        A path in the same folder, with the same suffix, to write to. Its name is hidden.
    """
    path = Path(path)
    unfinished = path.with_name(_unfinished_name(path, secrets.token_hex(4)))
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_to(path: str | os.PathLike) -> Iterator[None]:
    """Raise a `UserError` that names a file if what is done inside cannot write it."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space there or choose another"
            " folder"
        ) from error


def remove_unfinished(path: str | os.PathLike) -> None:
    """Remove what killed writers of a file left behind; no other process may be writing it."""
    path = Path(path)
    form = re.escape(_unfinished_name(path, "MIDDLE")).replace("MIDDLE", "[0-9a-f]{8}")
    for left in path.parent.iterdir():
        if re.fullmatch(form, left.name):
            left.unlink(missing_ok=True)


def read_names(path: str | os.PathLike | None) -> list[str] | None:
    """Return the lines of a file of names, without empty ones; None without a file.

    Raises:
        UserError: the file cannot be read.
    """
    if path is None:
        return None
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip()]


def read_yaml(path: str | os.PathLike) -> Any:
    """Return the content of a YAML file, of plain types only.

    Raises:
        UserError: the file cannot be read, or is not YAML in UTF-8.
    """
    import yaml

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {one_line(error)}") from None


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    File names that are not valid Unicode keep their bytes.
    """
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_json(path: str | os.PathLike, value: Any, indent: int | None = 2) -> None:
    """Write a JSON file of plain types, whole or not at all; keys keep their order.

    Text is escaped to ASCII only where it holds file names that are not valid Unicode. `indent`
    None writes one line.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    write_text(path, text + "\n")


def _unfinished_name(path: Path, middle: str) -> str:
    # The suffix stays last: several writers choose the format by it. A long name is shortened, as
    # the temporary one must not exceed what the file system takes.
    return f".{path.stem[:48]}.{middle}{path.suffix[-16:]}"


class OutputDirectory:
    """A context manager for an output folder in which no incomplete file is visible.

    Files are written to the hidden folder `temporary` and then moved by `commit`. On exit, also
    after an error, `temporary` and its contents are deleted, and so are the folders created here
    that are still empty. On entry, what killed processes left in the folder is deleted.

    Args:
        directory: the folder; it is created on entry, with its parents, if it does not exist.

    Attributes:
        directory: the folder.
        temporary: a new folder in it, which exists from entry to exit.

    Raises:
        UserError: the folder cannot be created or written to.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self.temporary: Path
        self._created: list[Path] = []
        self._lock = -1

    def __enter__(self) -> OutputDirectory:
        try:
            self._make(self.directory)
            self._remove_left_behind()
            # The folder gets the name that others look for only when it is locked.
            unlocked = Path(tempfile.mkdtemp(prefix=".unlocked-", dir=self.directory))
            self._lock = os.open(unlocked, os.O_RDONLY)
            with contextlib.suppress(OSError):  # some network drives have no locks
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.temporary = unlocked.rename(
                unlocked.with_name(unlocked.name.replace("unlocked", "incomplete", 1))
            )
        except OSError as error:
            self._remove_empty()
            raise UserError(
                f"{self.directory}: files cannot be written there ({error.strerror}); choose"
                " another output folder"
            ) from None
        return self

    def commit(self, files: Mapping[str | os.PathLike, str | os.PathLike]) -> None:
        """Move finished files of `temporary` to their final paths and replace existing files.

        Final paths are on the same file system. Missing folders are created.

        Raises:
            UserError: a file cannot be moved; the message names its final path.
        """
        for final in map(Path, files.values()):
            if final.is_dir():
                raise UserError(f"{final}: a folder is in the file's place; move it away")
        for temporary, final in files.items():
            try:
                self._make(Path(final).parent)
                os.replace(temporary, final)
            except OSError as error:
                raise UserError(
                    f"{final}: cannot be written ({error.strerror}); choose another output folder"
                ) from None

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)
        os.close(self._lock)
        self._remove_empty()

    def _remove_left_behind(self) -> None:
        """Delete temporary folders that no process holds a lock on."""
        for folder in self.directory.glob(".incomplete-*"):
            # Locked by a process that is writing, removed meanwhile, or on a drive without locks.
            with contextlib.suppress(OSError):
                lock = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
                finally:
                    os.close(lock)

    def _make(self, directory: Path) -> None:
        missing = []
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process was faster
                folder.mkdir()
                self._created.append(folder)

    def _remove_empty(self) -> None:
        for folder in reversed(self._created):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        self._created.clear()
