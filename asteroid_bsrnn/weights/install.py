"""Installing weights of the registry: download, convert to this project's form, verify.

While weights are installed, their folder in the cache also contains the archive, or the part of it
that has arrived.
"""

from __future__ import annotations

import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import torch

from .. import presets
from ..audio.stems import choose_stems
from ..errors import UserError
from ..files import write_json
from ..memory import release_kept_memory
from ..models import SourceModel
from ..progress import megabytes
from . import checkpoint, reference
from .answers import host_of
from .cache import (
    BLOCK_BYTES,
    RECORD,
    RangedFile,
    check_room,
    exclusive,
    fault_of,
    folder_of,
    is_whole,
    read_record,
    sha256_of,
    storing,
)
from .download import Download, check_url
from .registry import Member, Pretrained

# A Lightning checkpoint contains Adam's two moments beside the weights.
CHECKPOINT_BYTES_A_PARAMETER, BYTES_A_PARAMETER = 12.1, 4.01


def ensure(
    entry: Pretrained,
    stems: Sequence[str] | None = None,
    *,
    keep_archive: bool = False,
    connections: int | None = None,
) -> list[Path]:
    """Return the verified files of an entry, downloaded and converted first if they are missing.

    `stems` is as in `zoo.load`, `connections` as in `Download`; the archive may be kept.

    Raises:
        UserError: the weights cannot be downloaded, verified or stored, or do not estimate a stem.
    """
    folder = folder_of(entry)
    if entry.embedded:
        path = folder / entry.file
        if fault := fault_of(path, f"sha256:{entry.sha256}"):
            raise UserError(f"{entry.name}: {fault}; install the package again")
        return [path]
    wanted = set(choose_stems(entry.sources, stems))
    members = entry.archive.members if entry.archive else ()
    members = [member for member in members if wanted & set(member.sources)]
    names = entry.files if entry.package else [member.converted for member in members]

    def missing() -> list[str]:
        return [name for name in names if not is_whole(folder, name)]

    with storing(folder):
        # Checked before locking, so that weights in a read-only cache can be used.
        if missing():
            folder.mkdir(parents=True, exist_ok=True)
            with exclusive(folder):
                try:
                    left = missing()
                    if left and entry.package:
                        _take_from_package(entry, folder)
                    elif left:
                        members = [member for member in members if member.converted in left]
                        _download(entry, folder, members, keep_archive, connections)
                except UserError as error:
                    text = str(error).removeprefix(f"{entry.name}: ")
                    raise UserError(f"{entry.name}: {text}") from error
    return [folder / name for name in names]


def import_files(entry: Pretrained, paths: Sequence[Path]) -> list[Path]:
    """Convert an archive or checkpoints that the user downloaded, and return the installed files.

    `paths` are the archive, or checkpoints (*.ckpt) of all networks of the entry in any order.

    Raises:
        UserError: a file is missing, cannot be read or stored, or is not a network of the entry.
    """
    archive = entry.archive
    if archive is None:
        raise UserError(f"{entry.name!r} needs no import: it is loaded by its name")
    folder = folder_of(entry)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            if len(paths) == 1 and paths[0].suffix == ".zip":
                if fault := fault_of(paths[0], archive.checksum):
                    raise UserError(
                        f"{paths[0]}: not {archive.file} as published ({fault}); download it again "
                        f"from {entry.homepage}"
                    )
                _convert_archive(entry, folder, archive.members, paths[0])
            else:
                _convert_checkpoints(entry, folder, paths)
    return [folder / name for name in entry.files]


# --- where the networks come from ----------------------------------------------------------------


def _take_from_package(entry: Pretrained, folder: Path) -> None:
    """Convert weights of a third party's Python package."""
    from ..peers import spleeter

    (name,) = entry.files
    target = checkpoint.save_model(spleeter.load(), folder / name, spleeter.INFOS)
    _record(entry, target, entry.sources, {"package": entry.package})


def _download(
    entry: Pretrained,
    folder: Path,
    members: list[Member],
    keep_archive: bool,
    connections: int | None,
) -> None:
    """Download and convert members of the archive."""
    archive = entry.archive
    target = folder / archive.file
    for url in archive.urls:
        check_url(url)
    if target.is_file() and not fault_of(target, archive.checksum):
        _convert_archive(entry, folder, members, target)
    else:
        target.unlink(missing_ok=True)
        options = {"size": archive.bytes, "connections": connections}
        with Download(archive.urls, target, archive.checksum, **options) as download:
            share = sum(m.parameters for m in members) / sum(m.parameters for m in archive.members)
            wanted = int(archive.bytes * share)
            arrived = min(download.part.received, wanted)
            largest = max(member.parameters for member in members)
            room = largest * CHECKPOINT_BYTES_A_PARAMETER
            room += sum(member.parameters for member in members) * BYTES_A_PARAMETER
            check_room(folder, wanted - arrived + int(room), entry.name)
            _announce(entry, members, wanted, arrived)
            if len(members) == len(archive.members):
                download.finish()
                _convert_archive(entry, folder, members, target)
            else:
                _convert_archive(entry, folder, members, target, download)
                if not keep_archive:
                    download.part.delete()
    if not keep_archive:
        target.unlink(missing_ok=True)


def _announce(entry: Pretrained, members: Sequence[Member], wanted: int, arrived: int) -> None:
    """Print size, origin and terms of a download."""
    part = ""
    if len(members) < len(entry.archive.members):
        part = f" ({', '.join(source for member in members for source in member.sources)})"
    resumed = f", of which {megabytes(arrived)} are here" if arrived else ""
    sys.stderr.write(
        f"{entry.name}{part}: downloading {megabytes(wanted)}{resumed} from "
        f"{host_of(entry.archive.urls[0])} ({entry.homepage}) to {folder_of(entry)}; "
        f"licence: {entry.licence}; trained on {entry.training_data}\n"
    )
    sys.stderr.flush()


def _convert_archive(
    entry: Pretrained,
    folder: Path,
    members: Sequence[Member],
    path: Path,
    download: Download | None = None,
) -> None:
    """Convert members of an archive one after the other.

    `download` downloads what is read of the archive; None means that it is complete.
    """
    source = path
    if download is not None:
        source = RangedFile(download.part, download.fetch, entry.archive.bytes)
    with _opened(source, entry.archive.file) as archive:
        for member in members:
            info = _find(archive, member.file)
            if download is not None:
                # Parallel pieces are faster than the ranges that zipfile would read one by one.
                begins = [other.header_offset for other in archive.infolist()]
                begins.append(archive.start_dir)
                end = min(begin for begin in begins if begin > info.header_offset)
                download.fetch(info.header_offset, end)
            temporary = folder / f"{member.file}.new"
            try:
                _extract(archive, info, temporary)
                origin = {"archive": entry.archive.file, "crc32": f"{info.CRC:08x}"}
                if download is None:
                    origin["checksum"] = entry.archive.checksum
                model = reference.load(temporary)
                if set(model.sources) != set(member.sources):
                    raise UserError(
                        f"{entry.name}: {member.file} estimates {', '.join(model.sources)} instead "
                        f"of {', '.join(member.sources)}; it is not used"
                    )
                _store(entry, folder, member, model, temporary, origin)
            except _DamagedError as error:
                advice = f"download it again from {entry.homepage}"
                if download is not None:
                    download.part.restart()
                    advice = "the downloaded part was deleted, try again"
                raise UserError(f"{entry.archive.file}: {error}; {advice}") from error
            finally:
                temporary.unlink(missing_ok=True)
            del model
            release_kept_memory()


class _DamagedError(Exception):
    """A member of an archive has another length or checksum than the archive states."""


@contextmanager
def _opened(source: Path | RangedFile, name: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive, which messages call `name`."""
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise UserError(f"{name}: not a zip archive, or damaged: {error}") from error


def _find(archive: zipfile.ZipFile, file: str) -> zipfile.ZipInfo:
    """Return the member called `file`, in any folder of the archive."""
    found = [info for info in archive.infolist() if PurePosixPath(info.filename).name == file]
    if len(found) != 1:
        names = ", ".join(archive.namelist()[:8])
        raise UserError(f"the archive holds {len(found) or 'no'} {file} (it holds: {names})")
    return found[0]


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to `target`; zipfile checks its length and CRC-32."""
    try:
        with archive.open(member) as stream, open(target, "wb") as file:
            shutil.copyfileobj(stream, file, BLOCK_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _DamagedError(f"{member.filename}: damaged: {error}") from error


def _convert_checkpoints(entry: Pretrained, folder: Path, paths: Sequence[Path]) -> None:
    """Convert checkpoints, each as the member with its sources."""
    left = {frozenset(member.sources): member for member in entry.archive.members}
    for path in paths:
        model = reference.load(path)
        member = left.pop(frozenset(model.sources), None)
        if member is None:
            wanted = "; ".join(", ".join(m.sources) for m in entry.archive.members)
            raise UserError(
                f"{path}: estimates {', '.join(model.sources)}, which {entry.name} does not need "
                f"or has already; its networks estimate: {wanted}"
            )
        _store(entry, folder, member, model, path, {"file": path.name})
    if left:
        missing = ", ".join(member.file for member in left.values())
        raise UserError(f"{entry.name}: not complete, {missing} is missing")


# --- what is stored ------------------------------------------------------------------------------


def _store(
    entry: Pretrained, folder: Path, member: Member, model: SourceModel, path: Path, origin: dict
) -> None:
    """Check a network against the registry, and save it in the cache."""
    _check_network(entry, member, model, path)
    target = folder / member.converted
    for stale in folder.glob(f".{target.stem}.*"):  # left by a process that was killed
        stale.unlink()
    facts = {"licence": entry.licence, "training_data": entry.training_data, "from": entry.homepage}
    checkpoint.save_model(model, target, facts)
    _record(entry, target, model.sources, origin)


def _record(entry: Pretrained, target: Path, sources: Sequence[str], origin: dict) -> None:
    """Add a file to the record of its folder."""
    facts = {
        **origin,
        "homepage": entry.homepage,
        "sources": list(sources),
        "sha256": sha256_of(target),
        "converted": time.strftime("%Y-%m-%d"),
    }
    files = {**read_record(target.parent), target.name: facts}
    write_json(target.parent / RECORD, {"files": files})


def _check_network(entry: Pretrained, member: Member, model: SourceModel, path: Path) -> None:
    """Refuse a network that is not the entry's preset, with the first difference."""
    count = sum(parameter.numel() for parameter in model.parameters())
    if count != member.parameters:
        raise UserError(
            f"{path.name}: not a network of {entry.name!r}: it has {count} parameters instead of "
            f"{member.parameters}; convert it without a name: asteroid-bsrnn convert ... -o FILE"
        )
    source = None if presets.is_simo(entry.preset) else member.sources[0]
    with torch.device("meta"):
        preset = presets.build(entry.preset, source, **entry.arguments).state_dict()
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    expected = {key: value.shape for key, value in preset.items()}
    for key in {**shapes, **expected}:
        if shapes.get(key) != expected.get(key):
            raise UserError(f"{path.name}: not a network of {entry.name!r}: {key} differs")
