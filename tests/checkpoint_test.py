"""Files of weights: what they hold, what loads them, what is refused and never executed.

`checkpoint_keys.json` freezes the names and shapes of the parameters of small models that cover
all options, and the names of the constructors' arguments: published files depend on both. After
an addition (never a change), write it anew: python -m tests.checkpoint_test
"""

from __future__ import annotations

import inspect
import json
import os
import pickle
import random
import resource
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from asteroid.models import BaseModel

from asteroid_bsrnn import BSCNN, BSRNN, PerSourceSeparator, UserError, zoo
from asteroid_bsrnn.models.base import plain
from asteroid_bsrnn.weights import checkpoint

from .models_test import NAMES, SMALL, build, mixture, one_thread  # noqa: F401
from .study import omegaconf_lookalikes, wrap

KEYS = Path(__file__).with_name("checkpoint_keys.json")
MODELS = (BSRNN, BSCNN, PerSourceSeparator)
PLAIN = (str, int, float, bool, type(None))


def state(name: str) -> dict:
    return build(name).state_dict()


def frozen() -> dict:
    """What must not change, as it is now."""
    return {
        "parameters": {
            name: {key: " ".join(map(str, value.shape)) for key, value in state(name).items()}
            for name in NAMES
        },
        "arguments": {
            model_class.__name__: list(inspect.signature(model_class.__init__).parameters)[1:]
            for model_class in MODELS
        },
    }


def assert_plain(value) -> None:
    """Nothing but plain types and tensors, down to the leaves."""
    if isinstance(value, dict):
        assert type(value) in (dict, OrderedDict)
        for key, item in value.items():
            assert type(key) is str
            assert_plain(item)
    elif isinstance(value, list):
        for item in value:
            assert_plain(item)
    else:
        assert type(value) in (*PLAIN, torch.Tensor), type(value)


def assert_same_model(model, twin, x=None) -> None:
    x = mixture(2, model.in_channels or 2, 801) if x is None else x
    assert type(twin) is type(model)
    assert twin.sources == model.sources
    assert twin.sample_rate == model.sample_rate
    assert twin.in_channels == model.in_channels
    with torch.no_grad():
        assert torch.equal(twin.eval()(x), model(x))


# --- names that files depend on ------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_parameters_keep_their_names_and_shapes(name):
    expected = json.loads(KEYS.read_text())["parameters"]
    assert frozen()["parameters"][name] == expected[name]


def test_arguments_keep_their_names():
    expected = json.loads(KEYS.read_text())["arguments"]
    current = frozen()["arguments"]
    for model_name, names in expected.items():
        assert set(names) <= set(current[model_name])
    assert set(json.loads(KEYS.read_text())["parameters"]) == set(NAMES)


# --- Asteroid's ways to save and load ------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_serialize_and_from_pretrained(name, tmp_path):
    model = build(name)
    conf = model.serialize()
    assert_plain(conf)
    assert conf["model_name"] == type(model).__name__
    assert conf["model_args"] == model.get_model_args()
    assert set(conf["infos"]["software_versions"]) == {
        "torch_version", "pytorch_lightning_version", "asteroid_version"
    }  # fmt: skip
    assert_same_model(model, type(model).from_pretrained(conf))
    path = tmp_path / "model.pth"
    torch.save(conf, path)
    assert_plain(torch.load(path, weights_only=True))
    for loaded in (
        type(model).from_pretrained(path),
        type(model).from_pretrained(str(path)),
        BaseModel.from_pretrained(str(path)),
        checkpoint.load_model(path),
    ):
        assert_same_model(model, loaded)
    # Asteroid's own test of a model: with the sample rate as a keyword, and without any.
    sample_rate = conf["model_args"].pop("sample_rate")
    assert type(model).from_pretrained(conf).sample_rate == 44100
    again = type(model).from_pretrained(conf, sample_rate=sample_rate)
    assert again.sample_rate == model.sample_rate


@pytest.mark.parametrize("name", NAMES)
def test_model_args_are_all_arguments_and_rebuild_the_model(name):
    model = build(name)
    arguments = model.get_model_args()
    assert set(arguments) == set(inspect.signature(type(model).__init__).parameters) - {"self"}
    assert_plain(arguments)
    twin = type(model)(**arguments)
    twin.load_state_dict(model.state_dict())
    assert twin.get_model_args() == arguments
    assert_same_model(model, twin)
    arguments.clear()
    assert model.get_model_args()


def test_model_args_hold_what_was_asked_for():
    model = BSRNN(**{**SMALL, "bands": ((3, 2000), (2, 4000.0)), "sources": ("a",)})
    arguments = model.get_model_args()
    assert arguments["bands"] == [[3, 2000], [2, 4000.0]]
    assert arguments["sources"] == ["a"]
    assert arguments["time_layer"] == "lstm" and arguments["in_channels"] is None
    rate = BSRNN(**SMALL, sample_rate=np.float64(44100)).get_model_args()["sample_rate"]
    assert type(rate) is float and rate == 44100


def test_plain():
    value = {"a": (1, [np.float32(0.5), np.array([[1, 2]])]), 3: np.str_("x"), "b": np.bool_(True)}
    assert plain(value) == {"a": [1, [0.5, [[1, 2]]]], "3": "x", "b": True}
    assert_plain(plain(value))


def test_from_pretrained_leaves_the_callers_dict_alone():
    model = build("per_source")
    conf = model.serialize()
    before = repr({key: conf[key] for key in ("model_name", "model_args", "infos")})
    type(model).from_pretrained(conf, sample_rate=44100)
    assert repr({key: conf[key] for key in ("model_name", "model_args", "infos")}) == before
    conf = build("gru").serialize()
    assert BSRNN.from_pretrained(conf, causal=True).get_model_args()["causal"] is True
    assert conf["model_args"]["causal"] is False


def test_half_precision_files_load():
    model = build("all")
    conf = model.serialize()
    conf["state_dict"] = {key: value.half() for key, value in conf["state_dict"].items()}
    loaded = BSRNN.from_pretrained(conf)
    assert next(loaded.parameters()).dtype == torch.float32
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[key].half().float())


@pytest.mark.parametrize("name", ["lstm", "bscnn", "per_source"])
def test_state_dicts_are_taken_strictly(name):
    model = build(name)
    conf = model.serialize()
    key = next(iter(conf["state_dict"]))
    for wrong, words in (
        ({k: v for k, v in conf["state_dict"].items() if k != key}, "Missing key"),
        ({**conf["state_dict"], "extra": torch.zeros(1)}, "Unexpected key"),
        ({**conf["state_dict"], key: torch.zeros(3)}, "size mismatch"),
    ):
        with pytest.raises(RuntimeError, match=words):
            type(model).from_pretrained({**conf, "state_dict": wrong})


# --- saving --------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    model = build("all")
    path = checkpoint.save_model(model, tmp_path / "m.pth", {"data": "none", "dB": np.float64(1.5)})
    assert path == tmp_path / "m.pth"
    assert os.listdir(tmp_path) == ["m.pth"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    loaded = checkpoint.load_dict(path)
    assert_plain(loaded)
    assert loaded["infos"]["data"] == "none" and loaded["infos"]["dB"] == 1.5
    assert "torch_version" in loaded["infos"]["software_versions"]
    twin = checkpoint.load_model(str(path))
    assert not twin.training
    assert_same_model(model, twin)
    assert checkpoint.load_model(path, causal=False).get_model_args() == model.get_model_args()


@pytest.mark.parametrize(
    "value", [lambda: 1, sys, Path("x"), object(), {"x": [types.SimpleNamespace()]}]
)
def test_a_failed_save_leaves_the_existing_file(value, tmp_path):
    path = checkpoint.save_model(build("lstm"), tmp_path / "m.pth")
    before = path.read_bytes()
    with pytest.raises(UserError, match="m.pth: not written, since only plain types") as caught:
        checkpoint.save_model(build("gru"), path, {"value": value})
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.pth"]


def test_a_full_disk_leaves_the_existing_file(tmp_path):
    path = checkpoint.save_model(build("lstm"), tmp_path / "m.pth")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    try:
        with pytest.raises(UserError, match="m.pth: cannot be written: ") as caught:
            checkpoint.save_dict({"weights": torch.zeros(100000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.pth"]


@pytest.mark.parametrize("path", ["missing/m.pth", "."])
def test_where_nothing_can_be_written(path, tmp_path):
    with pytest.raises(UserError, match="cannot be written: (No such file|Is a directory)"):
        checkpoint.save_model(build("lstm"), tmp_path / path)


# --- loading what is no model --------------------------------------------------------------------


class Touch:
    """An object whose unpickling makes a file, or calls whatever else it is given."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def write_archive(path: Path, pickled: bytes) -> Path:
    """A file as `torch.save` writes it, around a pickle that no pickler would write."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return path


def assert_refused(load, path: Path, words: str = "") -> None:
    with pytest.raises(UserError, match=words) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


LOADERS = [checkpoint.load_model, checkpoint.load_dict, checkpoint.load_lightning]


@pytest.mark.parametrize("load", LOADERS)
def test_files_that_hold_no_weights(load, tmp_path):
    good = checkpoint.save_model(build("lstm"), tmp_path / "good.pth").read_bytes()
    assert_refused(load, tmp_path / "missing.pth", "cannot be read: No such file")
    folder = "no published model" if load is checkpoint.load_model else "Is a directory"
    (tmp_path / "folder").mkdir()
    assert_refused(load, tmp_path / "folder", folder)
    for name, content in {
        "empty": b"",
        "garbage": bytes(range(256)) * 10,
        "text": b"a\nb\nc\n",
        "image": b"\x89PNG\r\n\x1a\n" + bytes(1000),
        "half": good[: len(good) // 2],
        "nearly": good[:-1],
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert_refused(load, path, "not a (file of weights|checkpoint), or damaged")
    assert_refused(load, write_archive(tmp_path / "odd", b"."), "or damaged")
    for value in ([1], torch.zeros(2), "text", None):
        torch.save(value, tmp_path / "value")
        assert_refused(load, tmp_path / "value", f"it holds a {type(value).__name__}")


def test_any_damage_is_one_line(tmp_path):
    good = checkpoint.save_model(build("lstm"), tmp_path / "good.pth").read_bytes()
    start = good.find(b"\x80\x02}")
    path, choose = tmp_path / "damaged.pth", random.Random(0)
    refused = 0
    for index in range(120):
        damaged = bytearray(good)
        for _ in range(choose.choice([1, 2, 5])):
            damaged[choose.randrange(start, start + 3000)] = choose.randrange(256)
        path.write_bytes(damaged[: choose.randrange(len(damaged))] if index % 5 == 0 else damaged)
        for load in LOADERS:
            try:
                load(path)
            except UserError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > 200


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("function", ["open", "mkdir", "system", "eval"])
def test_nothing_in_a_file_is_executed(function, zipped, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "evil.ckpt"
    evil = {
        "open": Touch(open, str(trace), "w"),
        "mkdir": Touch(os.mkdir, str(trace)),
        "system": Touch(os.system, f"touch {trace}"),
        "eval": Touch(eval, f"__import__('pathlib').Path({str(trace)!r}).touch()"),
    }[function]
    content = {"state_dict": {"w": torch.ones(2)}, "hyper_parameters": {"evil": [evil]}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    for load in (checkpoint.load_model, checkpoint.load_dict):
        assert_refused(load, path, "holds objects other than plain types .* convert")
    try:
        loaded = checkpoint.load_lightning(path)
        assert torch.equal(loaded["state_dict"]["w"], torch.ones(2))
        assert loaded["hyper_parameters"] == {"evil": [None]}
    except UserError as error:
        assert function in ("mkdir", "system") or not zipped, error
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the file does what it should not, if it is let"


@pytest.mark.parametrize("key", ["model_name", "model_args", "state_dict"])
def test_a_file_that_lacks_something(key, tmp_path):
    conf = build("lstm").serialize()
    del conf[key]
    torch.save(conf, tmp_path / "m.pth")
    assert_refused(checkpoint.load_model, tmp_path / "m.pth", f"it has no '{key}'")
    hint = "asteroid-bsrnn convert"
    torch.save({"state_dict": {}, "epoch": 3}, tmp_path / "lightning.ckpt")
    assert_refused(checkpoint.load_model, tmp_path / "lightning.ckpt", hint)


def endless() -> dict:
    arguments: dict = {}
    arguments["networks"] = [{"model_name": "PerSourceSeparator", "model_args": arguments}]
    return arguments


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_name": "BSNN"}, "BSNN"),
        ({"model_name": 5}, "5"),
        ({"model_name": "ConvTasNet", "model_args": {"n_src": 2}}, "'ConvTasNet' is not a model"),
        ({"model_args": [1]}, "not a mapping"),
        ({"model_args": {1: 2}}, "strings"),
        ({"model_args": {**SMALL, "n_fft": 2048}}, "unknown argument 'n_fft'"),
        ({"model_args": {**SMALL, "sample_rate": 0}}, "sample_rate must be positive"),
        ({"model_args": {**SMALL, "feature_dim": 8}}, "size mismatch"),
        ({"model_name": "PerSourceSeparator", "model_args": {"networks": [{}]}}, "model_name"),
        ({"model_name": "PerSourceSeparator", "model_args": endless()}, "recursion"),
        ({"state_dict": [1]}, "state_dict"),
        ({"state_dict": {1: torch.zeros(1)}}, ""),
        ({"state_dict": {}}, "Missing key"),
    ],
)
def test_a_model_that_can_not_be_made(change, words, tmp_path):
    torch.save({**build("lstm").serialize(), **change}, tmp_path / "m.pth")
    assert_refused(checkpoint.load_model, tmp_path / "m.pth", f"cannot be made from it: .*{words}")


@pytest.mark.parametrize("nested", [False, True])
def test_a_file_can_not_call_other_functions_of_asteroid(nested, tmp_path):
    conf = build("lstm").serialize()
    target = tmp_path / "published"
    arguments = {"publish_dir": str(target), "model_dict": {}}
    call = {"model_name": "save_publishable", "model_args": arguments}
    if nested:
        call = {"model_name": "PerSourceSeparator", "model_args": {"networks": [call]}}
    torch.save({**conf, **call}, tmp_path / "m.pth")
    assert_refused(checkpoint.load_model, tmp_path / "m.pth", "'save_publishable' is not a model")
    assert not target.exists()


# --- Lightning checkpoints with OmegaConf objects ------------------------------------------------


@pytest.fixture
def omegaconf():
    """Look-alikes of OmegaConf's containers, importable only until the test says `hide()`."""
    with ExitStack() as stack:
        package = stack.enter_context(omegaconf_lookalikes())
        package.hide = stack.close
        yield package


def test_omegaconf_objects_become_plain(omegaconf, tmp_path):
    config = {"feature_dim": 8, "time_layer": {"ks": [3, 5], "name": None}, "eps": 1e-7, "on": True}
    path = tmp_path / "lightning.ckpt"
    hyper_parameters = {"cfg": wrap(omegaconf, config), "targets": wrap(omegaconf, ["vocals"]),
                        "plain": (1, 2.5)}  # fmt: skip
    torch.save({"state_dict": {"w": torch.arange(3.0)}, "hyper_parameters": hyper_parameters}, path)
    omegaconf.hide()
    before = {name for name in sys.modules if "omegaconf" in name}
    with pytest.raises(UserError, match="holds objects other than plain types"):
        checkpoint.load_dict(path)
    loaded = checkpoint.load_lightning(path)
    assert_plain(loaded)
    assert torch.equal(loaded["state_dict"]["w"], torch.arange(3.0))
    assert loaded["hyper_parameters"] == {"cfg": config, "targets": ["vocals"], "plain": [1, 2.5]}
    assert {name for name in sys.modules if "omegaconf" in name} == before
    assert_refused(checkpoint.load_dict, path, "holds objects")  # the trust ends with the call


def test_a_container_that_holds_itself_is_refused(omegaconf, tmp_path):
    node = wrap(omegaconf, {"a": 1})
    node._content["a"] = node
    torch.save({"state_dict": {}, "hyper_parameters": node}, tmp_path / "cycle.ckpt")
    omegaconf.hide()
    assert_refused(checkpoint.load_lightning, tmp_path / "cycle.ckpt", "nested without end")


def test_a_very_deep_file_is_refused(tmp_path):
    depth = 100_000
    pickled = b"\x80\x02}X\x01\x00\x00\x00a" + b"]" * depth + b"a" * (depth - 1) + b"s."
    path = write_archive(tmp_path / "deep.ckpt", pickled)
    assert_refused(checkpoint.load_lightning, path, "nested without end")
    shallow = pickled.replace(b"]" * depth, b"]" * 3).replace(b"a" * (depth - 1), b"aa")
    assert pickle.loads(shallow) == {"a": [[[]]]}
    assert checkpoint.load_lightning(write_archive(path, shallow)) == {"a": [[[]]]}


def test_weights_of_other_bands_are_refused_in_clear_words(tmp_path):
    # Earlier versions built networks of a guitar with the bands of "joint".
    model = BSRNN(sources=["guitar"], **{**SMALL, "bands": "joint", "n_filters": 2048}).eval()
    path = checkpoint.save_model(model, tmp_path / "guitar.pth")
    conf = torch.load(path, weights_only=True)
    conf["model_args"]["bands"] = None
    checkpoint.save_dict(conf, path)
    words = r"size mismatch: \S+ has the shape \(.*\), the model needs \(.*bands='joint'\)"
    with pytest.raises(UserError, match=words) as caught:
        checkpoint.load_model(path)
    assert len(str(caught.value)) < 500
    loaded = zoo.load(path, bands="joint")
    signal = torch.randn(1, 2, 5000)
    with torch.no_grad():
        torch.testing.assert_close(loaded(signal), model(signal))


if __name__ == "__main__":
    KEYS.write_text(json.dumps(frozen(), indent=1) + "\n")
