"""A folder that receives whole files or none."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from asteroid_bsrnn.errors import UserError


class OutputDirectory:
    """Keeps half-written files out of sight, as a context manager.

    Files are written to the hidden folder `temporary` and then moved by `commit`. On leaving,
    however that comes about, `temporary` goes with what is left in it, and so do the folders
    made here that remained empty.

    Args:
        directory: the folder; made on entering, with its parents, if there is none.

    Attributes:
        directory: the folder.
        temporary: a new folder in it, there from entering to leaving.

    Raises:
        UserError: the folder cannot be made or written.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self.temporary: Path
        self._created: list[Path] = []

    def __enter__(self) -> "OutputDirectory":
        try:
            self._make(self.directory)
            self.temporary = Path(tempfile.mkdtemp(prefix=".incomplete-", dir=self.directory))
        except OSError as error:
            self._remove_empty()
            raise UserError(
                f"{self.directory}: files cannot be written there ({error.strerror}); choose"
                " another output folder"
            ) from None
        return self

    def commit(self, files: Mapping[str | os.PathLike, str | os.PathLike]) -> None:
        """Moves finished files to where they belong; what is there is replaced.

        Args:
            files: from each file's path in `temporary` to its final path, on the same file
                system. Folders on the way are made.

        Raises:
            UserError: one cannot be moved; the message names its final path.
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

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._remove_empty()

    def _make(self, directory: Path) -> None:
        missing = []
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):  # made meanwhile, and by someone else
                folder.mkdir()
                self._created.append(folder)

    def _remove_empty(self) -> None:
        for folder in reversed(self._created):
            with contextlib.suppress(OSError):  # not empty: something was written there
                folder.rmdir()
        self._created.clear()
