"""Pretrained weights by name, path and URL; what is refused instead of being replaced."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import (
    BSRNN,
    PerSourceSeparator,
    Separator,
    UserError,
    presets,
    zoo,
)
from asteroid_bsrnn.weights import bag, checkpoint
from asteroid_bsrnn.weights import cache as weights_cache
from asteroid_bsrnn.weights.registry import FOLDER

from . import study
from .models_test import build, mixture, one_thread  # noqa: F401

SHA256 = "[0-9a-f]{64}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of its own for every test."""
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "asteroid_bsrnn"


@pytest.fixture
def small(tmp_path) -> Path:
    """A small published model."""
    return checkpoint.save_model(build("all"), tmp_path / "small.pth")


@pytest.fixture
def server(small):
    """The address of a server of the published model's folder."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=small.parent))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def assert_small(model) -> None:
    x = mixture(1, 2, 500)
    with torch.no_grad():
        assert torch.equal(model(x), build("all")(x))
    assert not model.training


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- the registry --------------------------------------------------------------------------------


def test_entries_are_well_formed():
    entries = json.loads((FOLDER / "registry.json").read_text(encoding="utf-8"))
    assert list(zoo.registry()) == list(entries)
    assert zoo.DEFAULT in entries
    for name, entry in zoo.registry().items():
        assert entry.name == name
        assert entry.sources and all(isinstance(source, str) for source in entry.sources)
        assert len(set(entry.sources)) == len(entry.sources)
        for text in (entry.description, entry.licence, entry.training_data):
            assert text == text.strip() and text and "\n" not in text
        assert entry.figures and all(entry.figures.values())
        for figures in entry.figures.values():
            assert set(figures) <= {*entry.sources, "mean"}
        if entry.embedded:
            assert entry.file == Path(entry.file).name and entry.file.endswith((".pth", ".yml"))
        elif entry.package:
            assert entry.homepage.startswith("https://") and entry.name not in presets.names()
        else:
            assert entry.homepage.startswith("https://") and entry.preset in presets.names()
            assert all(url.startswith("https://") for url in entry.archive.urls)


def test_embedded_weights_are_what_the_registry_says():
    embedded = [entry for entry in zoo.registry().values() if entry.embedded]
    assert zoo.DEFAULT in [entry.name for entry in embedded]
    for entry in embedded:
        path = FOLDER / entry.file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
        if entry.is_bag:
            assert {member.model for member in bag.read_bag(path).members} <= set(zoo.registry())
            continue
        model = zoo.load(entry.name)
        assert model.sources == entry.sources
        card = FOLDER / f"{entry.name}.md"
        assert card.is_file(), "every model that ships has a card beside it"
        text = card.read_text(encoding="utf-8")
        for source in entry.sources:
            assert source in text.lower()
    shipped = {path.name for kind in ("*.pth", "*.yml") for path in FOLDER.glob(kind)}
    assert shipped == {entry.file for entry in embedded}
    in_the_wheel = sum((FOLDER / name).stat().st_size for name in shipped)
    assert in_the_wheel <= 16e6


# --- loading -------------------------------------------------------------------------------------


def test_the_default_weights():
    default, small = zoo.load(), zoo.load("small")
    assert isinstance(small, BSRNN) and small.in_channels == 2
    t = torch.arange(44100) / 44100
    chord = sum(torch.sin(2 * torch.pi * f * t) for f in (65.4, 220.0, 277.2)) / 6
    for model in (default, small):
        assert not model.training and model.sample_rate == 44100
        assert model.sources == ("vocals", "bass", "drums", "other")
        with torch.no_grad():
            estimates = model(chord.expand(1, 2, -1))[0]
        assert estimates.isfinite().all()
        energies = estimates.square().sum(dim=(1, 2))
        assert energies.max() > 0.05 * 2 * chord.square().sum(), "trained, not silent"


def test_tampered_weights_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    shutil.copytree(FOLDER, folder)
    monkeypatch.setattr(weights_cache, "FOLDER", folder)
    zoo.load("small")
    path = folder / zoo.registry()["small"].file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for load in (zoo.load, Separator):
        for name in ("small", zoo.DEFAULT):
            with pytest.raises(UserError, match="small: its SHA-256 is .* instead of") as caught:
                load(name)
            one_line(caught)
    path.unlink()
    with pytest.raises(UserError, match="small: no such file"):
        zoo.load("small")


@pytest.mark.parametrize("as_type", [str, Path])
def test_load_by_path(as_type, small):
    assert_small(zoo.load(as_type(small)))
    assert zoo.load(as_type(small), in_channels=2).in_channels == 2
    with pytest.raises(UserError, match="small.pth: the model cannot be made.*size mismatch"):
        zoo.load(as_type(small), feature_dim=16)


def test_what_needs_no_cache_makes_none(small, tmp_path, monkeypatch):
    """As where the home folder is read-only."""
    monkeypatch.delenv("ASTEROID_CACHE")
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert_small(zoo.load(small))
    assert zoo.load().sources == presets.SOURCES


def test_load_by_a_path_without_suffix_or_folder(small, monkeypatch):
    monkeypatch.chdir(small.parent)
    small.rename("weights")
    assert_small(zoo.load("weights"))


def test_load_by_url(small, server, cache):
    url = f"{server}/small.pth"
    digest = hashlib.sha256(small.read_bytes()).hexdigest()
    assert_small(zoo.load(url))
    assert_small(zoo.load(f"{url}#sha256={digest}"))
    assert [path.read_bytes() for path in cache.glob("*-small.pth")] == [small.read_bytes()]
    wrong = digest.replace(digest[0], "0" if digest[0] != "0" else "1")
    with pytest.raises(UserError, match="SHA-256") as caught:
        zoo.load(f"{url}#sha256={wrong}")
    one_line(caught)
    with pytest.raises(UserError, match="HTTP 404") as caught:
        zoo.load(f"{server}/none.pth")
    one_line(caught)
    with pytest.raises(UserError, match="not an http, https or file URL"):
        zoo.load("ftp://127.0.0.1/small.pth")


def test_a_url_of_something_else(small, server):
    (small.parent / "page.pth").write_text("<html>not found</html>")
    with pytest.raises(UserError, match="page.pth: not a file of weights") as caught:
        zoo.load(f"{server}/page.pth")
    one_line(caught)


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(UserError, match="'obsrn'") as caught:
        zoo.load("obsrn")
    assert all(name in one_line(caught) for name in zoo.registry())
    for missing in ("no/such/file", "missing.pth"):
        with pytest.raises(UserError, match=f"{missing}: cannot be read: No such file"):
            zoo.load(missing)


@pytest.mark.parametrize("mmap", [True, False])
def test_a_folder_of_models_is_one_separator(tmp_path, monkeypatch, mmap):
    networks = {}
    for source in ("other", "vocals", "bass"):
        torch.manual_seed(len(source))
        networks[source] = BSRNN(sources=[source], feature_dim=4, n_repeats=1).eval()
        checkpoint.save_model(networks[source], tmp_path / f"{source}.pth")
    (tmp_path / "._vocals.pth").write_bytes(b"of another system")
    x = mixture(1, 2, 3000)
    model = checkpoint.load_model(tmp_path, mmap=mmap)
    assert type(model) is PerSourceSeparator and model.sources == ("vocals", "bass", "other")
    with torch.no_grad():
        for index, source in enumerate(model.sources):
            assert torch.equal(model(x)[:, index], networks[source](x)[:, 0])
        two = zoo.load(tmp_path, stems=["other", "vocals"])
        assert two.sources == ("vocals", "other") and len(two.networks) == 2
        assert torch.equal(two(x), model(x)[:, [0, 2]])
    transforms = []
    stft = type(model.encoder.filterbank).stft
    monkeypatch.setattr(
        type(model.encoder.filterbank), "stft", lambda *a: transforms.append(1) or stft(*a)
    )
    Separator(model).separate(mixture(2, 3000))
    assert len(transforms) == 1, "the mixture is transformed once for all networks"
    with pytest.raises(UserError, match="unknown stem 'drums'; this model separates vocals, bass"):
        zoo.load(tmp_path, stems="drums")


def test_one_network_of_a_file_of_several(tmp_path):
    path = checkpoint.save_model(build("per_source"), tmp_path / "m.pth")
    every = zoo.load(path)
    wanted = every.sources[-1]
    model = zoo.load(path, stems=wanted)
    assert wanted in model.sources and len(model.networks) == 1
    x = mixture(1, 2, 3000)
    with torch.no_grad():
        assert torch.equal(model(x), every(x)[:, [every.sources.index(s) for s in model.sources]])


def test_weights_are_loaded_without_a_copy(small):
    """As large as the file and no larger: random weights are never made."""
    loaded = checkpoint.load_model(small, mmap=True)
    assert all(not parameter.is_meta for parameter in loaded.parameters())
    assert all(not buffer.is_meta for buffer in loaded.buffers())
    assert_small(loaded)
    before = torch.random.get_rng_state()
    checkpoint.load_model(small)
    assert torch.equal(before, torch.random.get_rng_state())


# --- the reference's checkpoints -----------------------------------------------------------------

CONFIG = {"feature_dim": 4, "num_repeat": 1}


@pytest.fixture
def checkpoints(tmp_path) -> Iterator[Path]:
    """A folder of small checkpoints, one for each source, as the study publishes them."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with study.few_bands():
        for source in presets.SOURCES:
            content = {"config": CONFIG, "state_dict": study.state_dict([source])}
            fake(folder / f"{source}.ckpt", **content, targets=[source])
        yield folder


@pytest.mark.parametrize(
    ("state", "config", "words"),
    [
        ({}, {}, "do not fit their configuration"),
        ({}, {"feature_dims": 4}, "'feature_dims'=4"),
        ({}, {"mask_ctxt": 2}, "'mask_ctxt'=2"),
        ({"BN.0.0.weight": torch.zeros(3)}, CONFIG, "do not fit their configuration"),
        ({}, {"feature_dim": 0}, "feature_dim"),
        ({}, {**CONFIG, "stereo": "TAC"}, "unknown stereo 'TAC'"),
    ],
)
def test_from_reference_refuses_what_does_not_fit(state, config, words):
    with pytest.raises(ValueError, match=words) as caught:
        zoo.from_reference(state, config, ["vocals"])
    one_line(caught)


def fake(path: Path, **content) -> Path:
    torch.save(content, path)
    return path


def test_checkpoints_that_can_not_be_converted(tmp_path):
    for content, words in [
        ({"config": CONFIG}, "it has no state_dict with a configuration"),
        ({"state_dict": {}}, "it has no state_dict with a configuration"),
        ({"state_dict": {}, "hyper_parameters": 5}, "it has no state_dict with a configuration"),
        ({"state_dict": {}, "config": CONFIG}, "does not name its targets"),
        ({"state_dict": {}, "config": CONFIG, "targets": ["vocals"]}, "do not fit"),
        ({"state_dict": {}, "hyper_parameters": {**CONFIG, "targets": "vocals", "cfg_optim": 1}},
         "do not fit"),
        ({"state_dict": {}, "config": {"nets": 4}, "targets": ["vocals"]}, "'nets'=4"),
    ]:  # fmt: skip
        path = fake(tmp_path / "fake.ckpt", **content)
        for paths in ([path], [str(path)], [tmp_path]):
            with pytest.raises(UserError, match=words) as caught:
                zoo.from_reference_files(paths)
            assert one_line(caught).startswith(f"{path}: ")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: there is no checkpoint \(\*.ckpt\)"):
        zoo.from_reference_files([tmp_path / "empty"])


def test_a_folder_of_checkpoints_is_one_separator(checkpoints):
    separator = zoo.from_reference_files([checkpoints])
    assert isinstance(separator, PerSourceSeparator) and not separator.training
    assert separator.sources == presets.SOURCES
    x = mixture(1, 2, 3000)
    with torch.no_grad():
        estimates = separator(x)
        for index, source in enumerate(presets.SOURCES):
            alone = zoo.from_reference(study.state_dict([source]), CONFIG, [source])
            assert torch.equal(alone(x)[:, 0], estimates[:, index])
            one = zoo.from_reference_files([checkpoints / f"{source}.ckpt"])
            assert type(one) is BSRNN and one.sources == (source,)
            assert torch.equal(one(x)[:, 0], estimates[:, index])
    files = [checkpoints / "drums.ckpt", str(checkpoints / "bass.ckpt")]
    assert zoo.from_reference_files(files).sources == ("drums", "bass")
    with pytest.raises(UserError, match="cannot be one separator: sources must differ") as caught:
        zoo.from_reference_files([checkpoints, checkpoints / "bass.ckpt"])
    one_line(caught)
