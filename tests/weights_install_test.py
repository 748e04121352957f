"""Published weights by name, from a server that publishes them as the study does."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import BSRNN, PerSourceSeparator, Separator, UserError, cli, presets, zoo
from asteroid_bsrnn.evaluation.records import candidate, weights_of
from asteroid_bsrnn.weights import download as downloads
from asteroid_bsrnn.weights import install, registry
from asteroid_bsrnn.weights.cache import sha256_of

from . import study
from .models_test import mixture, one_thread  # noqa: F401
from .sounds import noise, write
from .warm_python import python
from .web_server import Server

SIZES = {"feature_dim": 4, "n_repeats": 1}
SINGLE = [[source] for source in study.SOURCES]
SHUFFLED = ["drums", "other", "vocals", "bass"]


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, Path]:
    """One archive of four networks in a folder, one of a network with its own order of sources."""
    folder = tmp_path_factory.mktemp("archives")
    with study.few_bands():
        return {
            "obsrnn": study.archive(folder / "bsrnn-opt.zip", SINGLE, optimized=True),
            "obsrnn_simo": study.archive(
                folder / "simo.zip", [study.SOURCES], order=SHUFFLED, inside=None, optimized=True
            ),
        }


@pytest.fixture(scope="module")
def entries(archives) -> dict[str, dict]:
    """What a registry says of the two archives, but for their addresses."""
    with study.few_bands():
        return {name: study.entry(path, [], name, **SIZES) for name, path in archives.items()}


@pytest.fixture
def server(archives, monkeypatch):
    monkeypatch.setattr(downloads, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(downloads, "REQUEST_BYTES", 25_000)
    monkeypatch.setenv("no_proxy", "*")
    with Server({path.name: path.read_bytes() for path in archives.values()}) as server:
        yield server


@pytest.fixture
def cache(tmp_path, monkeypatch, server, archives, entries) -> Iterator[Path]:
    """An empty cache, a registry of the two archives, and the bands of their networks."""
    published = copy.deepcopy(entries)
    for name, path in archives.items():
        published[name]["archive"]["urls"] = [server.url(path.name)]
    path = study.write_registry(tmp_path / "registry.json", published)
    monkeypatch.setenv(registry.VARIABLE, str(path))
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path / "cache"))
    with study.few_bands():
        yield tmp_path / "cache" / "asteroid_bsrnn"


def change(cache: Path, name: str, **changes) -> None:
    """Change what the registry says of an archive."""
    path = cache.parents[1] / "registry.json"
    entries = json.loads(path.read_text())
    entries[name]["archive"] |= changes
    changed = path.with_name("changed.json")
    changed.write_text(json.dumps(entries))
    os.environ[registry.VARIABLE] = str(changed)  # `cache` sets it back


def expected(name: str, archives: dict[str, Path], folder: Path):
    """The model of an archive, converted without any of the code that is tested here."""
    with zipfile.ZipFile(archives[name]) as zipped:
        paths = [zipped.extract(member, folder) for member in zipped.namelist()]
    return zoo.from_reference_files(sorted(paths, key=lambda p: study.SOURCES.index(Path(p).stem)
                                           if len(paths) > 1 else 0))  # fmt: skip


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refusal(call, *words: str) -> str:
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def main(*arguments) -> int:
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


# --- the registry --------------------------------------------------------------------------------

# The study's record: file, bytes, MD5, and parameters of each network.
RECORD = "https://zenodo.org/api/records/17516442/files/{}/content"
PUBLISHED = {
    "obsrnn": ("bsrnn-opt.zip", 1827060285, "89075aac776f82295a074a56d0428a18",
               {"vocals.ckpt": 40777192, "bass.ckpt": 37072744, "drums.ckpt": 45491944,
                "other.ckpt": 40777192}),
    "bsrnn_large": ("bsrnn-large.zip", 1627580581, "0d1e298e725bf45577a4f61e0a30c2b1",
                    {"vocals.ckpt": 36417160, "bass.ckpt": 32797192, "drums.ckpt": 41024392,
                     "other.ckpt": 36417160}),
    "obsrnn_simo": ("simo-bsrnn-opt.zip", 1213413202, "817e8ce4bcd17c38bd3812167e97db58",
                    {"separator.ckpt": 108727540}),
}  # fmt: skip


def test_the_registry_names_what_is_published():
    entries = registry.registry()
    published = [name for name, entry in entries.items() if entry.archive]
    assert published[0] == "obsrnn_simo" and set(published) == set(PUBLISHED)
    for name, (file, size, md5, parameters) in PUBLISHED.items():
        archive = entries[name].archive
        assert archive.file == file and archive.urls == (RECORD.format(file),)
        assert (archive.bytes, archive.checksum) == (size, f"md5:{md5}")
        assert {member.file: member.parameters for member in archive.members} == parameters
        assert sorted(s for m in archive.members for s in m.sources) == sorted(presets.SOURCES)
        for member in archive.members:
            source = None if presets.is_simo(name) else member.sources[0]
            with torch.device("meta"):
                network = presets.build(entries[name].preset, source)
            assert sum(p.numel() for p in network.parameters()) == member.parameters
            assert source is None or member.file == f"{source}.ckpt"


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"a": 1}', '{"a": {"sources": []}}', '{"a": {"sources": [], "archive": {}}}'],
)
def test_another_registry_must_be_well_formed(tmp_path, monkeypatch, text):
    path = tmp_path / "own.json"
    path.write_text(text)
    monkeypatch.setenv(registry.VARIABLE, str(path))
    refusal(registry.registry, f"{path}: not a registry of weights")
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "none.json"))
    refusal(registry.registry, "none.json: the registry cannot be read")


# --- from nothing to a model ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["obsrnn", "obsrnn_simo"])
def test_load_by_name(cache, server, archives, tmp_path, capsys, name):
    model = zoo.load(name)
    assert not model.training and all(p.requires_grad for p in model.parameters())
    reference = expected(name, archives, tmp_path)
    x = mixture(1, 2, 3000)
    with torch.no_grad():
        wanted = dict(zip(reference.sources, reference(x).unbind(1), strict=True))
        estimates = dict(zip(model.sources, model(x).unbind(1), strict=True))
    assert estimates.keys() == wanted.keys() == set(study.SOURCES)
    for source, estimate in estimates.items():
        assert torch.equal(estimate, wanted[source])
    files = {"separator.pth"} if name == "obsrnn_simo" else {f"{s}.pth" for s in study.SOURCES}
    assert names(cache / name) == {*files, "source.json"}
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    entry = zoo.registry()[name]
    for words in (entry.homepage, "127.0.0.1", "MB", "licence: none; trained on nothing"):
        assert words in err
    server.requests.clear()
    again = zoo.load(name)
    assert server.requests == [] and capsys.readouterr().err == ""
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_sources_come_from_the_checkpoint_and_not_from_a_position(cache):
    model = zoo.load("obsrnn_simo")
    assert model.sources == tuple(SHUFFLED)
    assert sha256_of(zoo.find("obsrnn_simo")) == sha256_of(cache / "obsrnn_simo" / "separator.pth")


def test_weights_by_name_train_on(cache):
    before = sha256_of(zoo.find("obsrnn"))
    model = zoo.load("obsrnn").train()
    model(mixture(1, 2, 3000)).square().mean().backward()
    with torch.no_grad():  # a step of SGD; to import torch.optim takes two seconds
        for parameter in model.parameters():
            parameter -= parameter.grad
    assert sha256_of(zoo.find("obsrnn")) == before, "the file keeps its weights"


def test_every_way_to_name_weights(cache, server, tmp_path, capsys):
    song = write(tmp_path / "song.wav", noise(30000))
    assert main("separate", song, "-o", tmp_path / "out", "--model", "obsrnn_simo") == 0
    assert names(tmp_path / "out" / "song") == {f"{source}.wav" for source in study.SOURCES}
    assert "downloading" in capsys.readouterr().err
    server.requests.clear()
    assert Separator("obsrnn_simo").sources == tuple(SHUFFLED)
    found = candidate("mine=obsrnn_simo")
    assert (found.label, found.name) == ("mine", "obsrnn_simo")
    assert weights_of(found.facts(tmp_path), tmp_path) == found.path
    assert server.requests == []
    assert candidate("obsrnn").path == cache / "obsrnn"


def test_evaluate_downloads_too(cache, tmp_path, capsys):
    for source in study.SOURCES:
        folder = tmp_path / "data" / "song"
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{source}.wav", noise(50000, seed=len(source)))
    output = tmp_path / "out"
    arguments = ("evaluate", "obsrnn", "--root", tmp_path / "data", "--output", output)
    assert main(*arguments) == 0
    assert "obsrnn" in capsys.readouterr().out
    (folder,) = output.iterdir()
    facts = json.loads((folder / "final_metrics.json").read_text())
    assert sha256_of(cache / "obsrnn") in json.dumps(facts)
    assert main(*arguments) == 0, "goes on with the same records"
    assert list(output.iterdir()) == [folder]


# --- one stem only -------------------------------------------------------------------------------


def test_one_stem_downloads_builds_and_runs_one_network(cache, server, archives, tmp_path):
    size = archives["obsrnn"].stat().st_size
    separator = Separator("obsrnn", stems="bass", precision="32")
    assert separator.sources == ("bass",) and isinstance(separator.model, BSRNN)
    assert names(cache / "obsrnn") == {"bass.pth", "source.json"}
    asked = [re.match(r"bytes=(\d+)-(\d+)", w).groups() for w in server.asked("bsrnn-opt.zip")]
    assert sum(int(last) - int(first) + 1 for first, last in asked) < 0.45 * size
    whole = expected("obsrnn", archives, tmp_path)
    x = mixture(2, 30000)
    with torch.no_grad():
        assert torch.equal(separator.separate(x)["bass"], whole(x[None])[0, 1])
    two = zoo.load("obsrnn", stems=["vocals", "bass"])
    assert isinstance(two, PerSourceSeparator) and two.sources == ("vocals", "bass")
    server.requests.clear()
    assert zoo.load("obsrnn", stems=["vocals"]).sources == ("vocals",)
    assert server.requests == []
    assert zoo.load("obsrnn").sources == presets.SOURCES
    assert names(cache / "obsrnn") == {*(f"{s}.pth" for s in study.SOURCES), "source.json"}


def test_one_stem_on_the_command_line(cache, tmp_path):
    song = write(tmp_path / "song.wav", noise(30000))
    base = ("separate", song, "--model", "obsrnn", "-o")
    assert main(*base, tmp_path / "one", "--stems=vocals") == 0
    assert names(tmp_path / "one" / "song") == {"vocals.wav"}
    assert names(cache / "obsrnn") == {"vocals.pth", "source.json"}
    assert main(*base, tmp_path / "two", "--two-stems=vocals") == 0
    assert names(tmp_path / "two" / "song") == {"vocals.wav", "no_vocals.wav"}
    assert names(cache / "obsrnn") == {"vocals.pth", "source.json"}


def test_a_stem_of_a_model_of_many(cache):
    separator = Separator("obsrnn_simo", stems=["vocals", "drums"])
    x = mixture(2, 30000)
    both, every = separator.separate(x), Separator("obsrnn_simo").separate(x)
    assert list(both) == ["vocals", "drums"]
    for source, stem in both.items():
        assert torch.equal(stem, every[source])


@pytest.mark.parametrize("stems", [["flute"], []])
def test_unknown_stems_are_refused_before_any_download(cache, server, stems):
    words = "flute" if stems else "no stem is named"
    refusal(lambda: zoo.load("obsrnn", stems=stems), words, "vocals, bass, drums, other")
    assert server.requests == []


def test_a_server_without_ranges_gives_one_stem_too(cache, server):
    server.ranges = False
    assert zoo.load("obsrnn", stems="drums").sources == ("drums",)
    assert len(server.requests) == 1


def test_a_damaged_member_is_named_and_deleted(cache, server):
    good = server.files["bsrnn-opt.zip"]
    place = len(good) // 8
    server.files["bsrnn-opt.zip"] = good[:place] + bytes(64) + good[place + 64 :]
    refusal(lambda: zoo.load("obsrnn", stems="vocals"), "vocals.ckpt: damaged", "deleted")
    assert names(cache / "obsrnn") <= {"bsrnn-opt.zip.part", "bsrnn-opt.zip.part.json"}
    server.files["bsrnn-opt.zip"] = good
    assert zoo.load("obsrnn", stems="vocals").sources == ("vocals",)


# --- what does not fit ---------------------------------------------------------------------------


def test_wrong_checksum(cache, server):
    change(cache, "obsrnn_simo", checksum=f"md5:{'0' * 32}")
    refusal(lambda: zoo.load("obsrnn_simo"), "simo.zip", "its MD5 is", "deleted")
    assert names(cache / "obsrnn_simo") == set()


def test_changed_size(cache, server):
    change(cache, "obsrnn_simo", bytes=12345)
    refusal(lambda: zoo.load("obsrnn_simo"), "bytes instead of 12345: it was changed")


def test_no_room(cache, server):
    change(cache, "obsrnn_simo", bytes=10**15)
    refusal(lambda: zoo.load("obsrnn_simo"), "obsrnn_simo: needs 1000000.", "free some")
    assert server.requests == []


def replace_archive(cache: Path, server: Server, name: str, path: Path) -> None:
    """Publish another archive under a name."""
    made = study.entry(path, [], name, **SIZES)["archive"]
    server.files[path.name] = path.read_bytes()
    made["urls"] = [server.url(path.name)]
    change(cache, name, **made)


def test_other_networks_are_refused(cache, server, tmp_path):
    path = study.archive(tmp_path / "large.zip", [study.SOURCES], n=8, optimized=True)
    replace_archive(cache, server, "obsrnn_simo", path)
    refusal(lambda: zoo.load("obsrnn_simo"), "not a network of 'obsrnn_simo'", "parameters instead")
    assert not (cache / "obsrnn_simo" / "separator.pth").exists()


def test_swapped_files_are_refused(cache, server, tmp_path):
    path = tmp_path / "swapped.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for name, source in zip(study.SOURCES, [*study.SOURCES[1:], "vocals"], strict=True):
            file = study.lightning_checkpoint(tmp_path / "x.ckpt", [source], optimized=True)
            zipped.write(file, f"{name}.ckpt")
    replace_archive(cache, server, "obsrnn", path)
    refusal(lambda: zoo.load("obsrnn"), "vocals.ckpt estimates bass instead of vocals")


@pytest.mark.parametrize("content", ["nothing", "text", "twice"])
def test_archives_without_the_checkpoints(cache, server, tmp_path, content):
    path = tmp_path / "odd.zip"
    if content == "text":
        path.write_bytes(b"no zip" * 1000)
    else:
        with zipfile.ZipFile(path, "w") as zipped:
            for folder in ("a", "b") if content == "twice" else ():
                zipped.writestr(f"{folder}/separator.ckpt", b"x")
            zipped.writestr("readme.txt", b"x")
    replace_archive(cache, server, "obsrnn_simo", path)
    words = {"nothing": "holds no separator.ckpt", "text": "not a zip archive",
             "twice": "holds 2 separator.ckpt"}[content]  # fmt: skip
    refusal(lambda: zoo.load("obsrnn_simo"), words)


def test_nothing_in_an_archive_is_executed(cache, server, tmp_path):
    trace = tmp_path / "trace"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(trace),)

    file = tmp_path / "evil.ckpt"
    hyper_parameters = {"targets": study.SOURCES, "evil": Evil()}
    torch.save({"state_dict": {}, "hyper_parameters": hyper_parameters}, file)
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.write(file, "separator.ckpt")
    replace_archive(cache, server, "obsrnn_simo", path)
    refusal(lambda: zoo.load("obsrnn_simo"))
    assert not trace.exists()


# --- faults of network and disk, other processes, sudden ends ------------------------------------

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


# Run first in a process that cannot write files above a size.
SMALL_DISK = """
import resource, signal, sys
limit = int(sys.argv.pop(1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
"""


def download(name: str, *options: str, first="", given=()) -> subprocess.Popen:
    """`models NAME --download` in a process of its own."""
    program = first + study.MAIN_WITH_FEW_BANDS
    return subprocess.Popen(
        [python(), "-c", program, *given, "models", name, "--download", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT},
    )


@pytest.mark.parametrize("seed", range(2))
def test_dropped_limited_and_stalled_connections(cache, server, seed, monkeypatch):
    chooser = random.Random(seed)

    def fault(number, length):
        return chooser.choice([None, None, None, None, chooser.randrange(length), (503, {}),
                               (429, {"Retry-After": "0.1"})])  # fmt: skip

    server.fault = fault
    assert zoo.load("obsrnn").sources == presets.SOURCES


def test_two_processes_want_the_same_weights(cache, server):
    server.speed = 2_000_000
    processes = [download("obsrnn_simo") for _ in range(2)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    assert sum("waiting for another process" in err for _, err in results) == 1
    size = len(server.files["simo.zip"])
    assert len(server.asked("simo.zip")) == -(-size // (1 << 23)), "downloaded once"


@pytest.mark.slow
def test_killed_ten_times_and_none_lost(cache, server):
    """At random moments of download, check, extraction and conversion."""
    chooser = random.Random(5)
    server.speed = 150_000
    kills = 0
    while kills < 10:
        process = download("obsrnn", "--connections", "2")
        deadline = time.monotonic() + chooser.uniform(3.5, 7)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0, process.stderr.read()
            for path in (cache / "obsrnn").glob("*.pth"):
                path.unlink()  # once more from the archive on
                break
        for path in (cache / "obsrnn").glob("*.pth"):
            torch.load(path, weights_only=True)
    process = download("obsrnn")
    assert process.wait(120) == 0, process.stderr.read()
    assert names(cache / "obsrnn") == {*(f"{s}.pth" for s in study.SOURCES), "source.json"}
    assert zoo.load("obsrnn").sources == presets.SOURCES


def test_what_a_killed_conversion_leaves_is_used_and_cleared(cache, server):
    files = install.ensure(zoo.registry()["obsrnn"], keep_archive=True)
    folder = cache / "obsrnn"
    assert (folder / "bsrnn-opt.zip").is_file()
    server.requests.clear()
    (folder / "drums.pth").unlink()
    (folder / "drums.ckpt.new").write_bytes(b"half a checkpoint")
    (folder / ".drums.0123abcd.pth").write_bytes(b"half a file")
    assert install.ensure(zoo.registry()["obsrnn"]) == files
    assert server.requests == []
    assert names(folder) == {*(f"{s}.pth" for s in study.SOURCES), "source.json"}


def test_a_damaged_file_is_replaced(cache, server):
    zoo.load("obsrnn")
    path = cache / "obsrnn" / "bass.pth"
    good = path.read_bytes()
    path.write_bytes(good[:-100] + bytes(100))
    server.requests.clear()
    assert zoo.load("obsrnn").sources == presets.SOURCES
    assert path.read_bytes() == good and server.requests


def test_a_full_disk(cache, server, archives):
    with zipfile.ZipFile(archives["obsrnn_simo"]) as zipped:
        largest = zipped.infolist()[0].file_size
    limit = (archives["obsrnn_simo"].stat().st_size + largest) // 2

    process = download("obsrnn_simo", first=SMALL_DISK, given=[str(limit)])
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert "cannot be read or stored (File too large)" in err.splitlines()[-1]
    assert names(cache / "obsrnn_simo") == {"simo.zip"}
    server.requests.clear()
    assert zoo.load("obsrnn_simo").sources == tuple(SHUFFLED)
    assert server.requests == [], "the archive is there"


@pytest.fixture
def read_only(tmp_path):
    """Make a folder read-only, for the superuser too."""
    mounted = []

    def make(folder: Path) -> None:
        if os.geteuid():
            folder.chmod(0o555)
            return
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        mounted.append(folder)
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_cache(cache, server, read_only):
    zoo.load("obsrnn_simo")
    read_only(cache)
    assert zoo.load("obsrnn_simo").sources == tuple(SHUFFLED), "what is there can be used"
    refusal(lambda: zoo.load("obsrnn"), "cannot be read or stored", "set ASTEROID_CACHE")


def test_offline_afterwards(cache, server):
    zoo.load("obsrnn_simo")
    server.fault = lambda number, length: (503, {})
    assert zoo.load("obsrnn_simo").sources == tuple(SHUFFLED)
    refusal(lambda: zoo.load("obsrnn"), "download failed", "503")


# --- `models` ------------------------------------------------------------------------------------


def test_the_list_tells_what_is_here(cache, capsys):
    assert main("models") == 0
    out = capsys.readouterr().out
    assert out.count("downloaded at first use") == 2 and "ships with the package" in out
    assert "licence   none" in out and "https://example.org/record" in out
    last = out[out.index("Presets without pretrained weights") :]
    assert "simo_bsrnn" in last and "obsrnn_simo" not in last and len(last.splitlines()) <= 6
    assert main("models", "obsrnn", "--download", "--stems", "vocals") == 0
    assert "vocals here" in capsys.readouterr().out
    assert main("models", "obsrnn", "--download", "--connections", "2") == 0
    assert re.search(
        rf"here, \d MB in {cache / 'obsrnn'}", " ".join(capsys.readouterr().out.split())
    )
    assert main("models", "obsrnn") == 0
    assert "obsrnn_simo" not in capsys.readouterr().out


def test_remove(cache, capsys):
    zoo.load("obsrnn_simo")
    assert main("models", "obsrnn_simo", "--remove") == 0
    assert re.search(r"obsrnn_simo: \d+ MB freed", capsys.readouterr().out)
    assert not (cache / "obsrnn_simo").exists()
    assert main("models", "obsrnn_simo", "--remove") == 0
    assert "0 MB freed" in capsys.readouterr().out


def test_keep_the_archive(cache, server, archives):
    assert main("models", "obsrnn_simo", "--download", "--keep-archive") == 0
    kept, network = (cache / "obsrnn_simo" / name for name in ("simo.zip", "separator.pth"))
    whole = kept.read_bytes()
    assert whole == archives["obsrnn_simo"].read_bytes()
    # It takes the place of a download, unless it is damaged.
    for content in (whole, whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(content)
        network.unlink()
        server.requests.clear()
        assert main("models", "obsrnn_simo", "--download", "--keep-archive") == 0
        assert network.is_file() and kept.read_bytes() == whole
        assert bool(server.requests) == (content != whole)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "unknown weights 'none'; valid names: obsrnn, obsrnn_simo, small"),
        (["--download"], "need the name of weights"),
        (["small", "--remove"], "ships with the package"),
        (["obsrnn", "--download", "--remove"], "not allowed with"),
        (["obsrnn", "--download", "--stems", "flute"], "unknown stem 'flute'"),
        (["obsrnn", "--download", "--connections", "0"], "at least 1"),
    ],
)
def test_mistakes(cache, capsys, arguments, words):
    assert main("models", *arguments) == 2
    err = capsys.readouterr().err
    assert words in err and len(err.splitlines()) == 1


# --- downloaded by hand --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["zip", "folder", "files"])
def test_import_by_hand(cache, server, archives, tmp_path, form, capsys):
    given = [archives["obsrnn"]]
    if form != "zip":
        with zipfile.ZipFile(archives["obsrnn"]) as zipped:
            zipped.extractall(tmp_path / "hand")
        given = [tmp_path / "hand" / "weights"]
        if form == "files":
            given = sorted(given[0].iterdir(), reverse=True)
    assert main("convert", *given, "--name", "obsrnn") == 0
    assert "vocals, bass, drums, other" in capsys.readouterr().out
    assert zoo.load("obsrnn").sources == presets.SOURCES
    assert server.requests == []
    assert main("convert", *given, "--name", "obsrnn") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main("convert", *given, "--name", "obsrnn", "--overwrite") == 0


def test_import_of_something_else(cache, archives, tmp_path):
    def convert(*paths, name="obsrnn"):
        return lambda: zoo.import_reference(name, paths)

    refusal(convert(archives["obsrnn_simo"]), "not bsrnn-opt.zip as published (its MD5 is")
    one = study.lightning_checkpoint(tmp_path / "vocals.ckpt", ["vocals"], optimized=True)
    refusal(convert(one), "not complete, bass.ckpt, drums.ckpt, other.ckpt is missing")
    refusal(convert(one, one), "does not need or has already")
    refusal(convert(one, name="obsrnn_simo"), "does not need or has already")
    base = study.lightning_checkpoint(tmp_path / "base.ckpt", ["vocals"])
    refusal(convert(base), "base.ckpt: not a network of 'obsrnn'", "-o FILE")
    refusal(convert(one, name="none"), "unknown weights 'none'")
    refusal(convert(one, name="small"), "needs no import")
