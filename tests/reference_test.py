"""Equality with the reference, number by number, on networks that the reference made.

`parity/golden.pt.xz` holds a part of them (`parity/make_fixture.py` says which); the whole folder
is tested where the environment variable `BSRNN_GOLDEN` names it.
"""

import functools
import io
import lzma
import os
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import zoo
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.separation import chunks
from asteroid_bsrnn.weights import reference

from .parity.make_fixture import EVERY, KEPT

FOLDER = os.environ.get("BSRNN_GOLDEN")
INFERENCE = "inference_vocals"
NAMES = KEPT
if FOLDER:
    names = {file.stem for file in Path(FOLDER).glob("*.pt") if "expected" not in file.name}
    NAMES, EVERY = sorted(names - {INFERENCE}), 1


@functools.cache
def load_fixture() -> dict:
    """Networks by name, and what one of them separates in chunks; every `EVERY`-th sample."""
    if FOLDER:
        files = {name: Path(FOLDER) / f"{name}.pt" for name in (*NAMES, INFERENCE)}
        loaded = {name: torch.load(file, weights_only=True) for name, file in files.items()}
        return {"inference": loaded.pop(INFERENCE), "networks": loaded}
    with lzma.open(Path(__file__).parent / "parity" / "golden.pt.xz") as file:
        fixture = torch.load(io.BytesIO(file.read()), weights_only=True)
    for golden in fixture["networks"].values():
        shapes = golden.pop("shapes")
        sizes = [torch.Size(shape).numel() for shape in shapes.values()]
        values = golden["state_dict"].split(sizes)
        golden["state_dict"] = {
            name: value.view(shape)
            for (name, shape), value in zip(shapes.items(), values, strict=True)
        }
    return fixture


@pytest.fixture(params=NAMES, scope="module")
def golden(request):
    return load_fixture()["networks"][request.param]


@pytest.fixture
def networks():
    return load_fixture()["networks"]


@pytest.fixture
def base(networks):
    return networks["base_vocals"]


@pytest.fixture(scope="module")
def network(golden):
    return zoo.from_reference(golden["state_dict"], golden["config"], golden["targets"])


def relative_error(actual, expected):
    return ((actual - expected).norm() / expected.norm()).item()


def losses(network, estimates, spectrogram, sources):
    """The reference's three training losses."""
    parts = zip(spectrogram.chunk(2, -2), network.encoder(sources).chunk(2, -2), strict=True)
    time = (estimates - sources).abs().mean()
    stft = sum((estimate - source).abs().mean() for estimate, source in parts)
    return {"t": time, "tf": stft, "t+tf": time + stft}


def test_output(golden, network):
    with torch.no_grad():
        estimates = network(golden["mixture"])
    assert estimates.shape == golden["sources"].shape
    assert relative_error(estimates[..., ::EVERY], golden["estimates"]) < 1e-5


def test_losses(golden, network):
    with torch.no_grad():
        outputs = network.forward_with_spectrogram(golden["mixture"])
    computed = losses(network, *outputs, golden["sources"])
    for name, expected in golden["losses"].items():
        assert computed[name].item() == pytest.approx(expected, rel=1e-5), name


def test_gradient_norms(golden, network):
    network.zero_grad()
    outputs = network.forward_with_spectrogram(golden["mixture"])
    losses(network, *outputs, golden["sources"])["t+tf"].backward()
    # The translation is differentiable: through it the gradients reach the reference's parameters
    # under their own names and in their own shapes.
    state = {name: value.clone().requires_grad_() for name, value in golden["state_dict"].items()}
    translated = reference.translate(state, network)
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    torch.autograd.backward(
        [translated[name] for name in gradients], [gradients[name] for name in gradients]
    )
    for name, expected in golden["grad_norms"].items():
        # Attention does not depend on what is added to all keys; there, both are rounding errors.
        assert state[name].grad.norm().item() == pytest.approx(expected, rel=1e-3, abs=1e-9), name


def test_parameter_count(golden, network):
    assert sum(parameter.numel() for parameter in network.parameters()) == golden["n_params"]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_inference(base, batch_size):
    network = zoo.from_reference(base["state_dict"], base["config"], base["targets"])
    inference = load_fixture()["inference"]
    assert inference["estimates"]
    for name, expected in inference["estimates"].items():
        kind, *values = name.split("_")
        segment, step = (None, 0.1) if values == ["whole"] else map(float, values)
        overlap, hop = (step, None) if kind == "fader" else (0.1, step)
        schedule = chunks.make_schedule(segment, overlap, hop, 44100)
        mixture = inference["mixture"][0]
        estimates = chunks.separate(network, mixture, schedule, batch_size=batch_size)
        assert relative_error(estimates[..., ::EVERY], expected[0]) < 1e-5, name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feature_dimension": 4}, "feature_dimension"),
        ({"mask_ctxt": 1}, "mask_ctxt"),
        ({"num_repeat": 3}, "separator.2"),
        ({"feature_dim": 8}, "do not fit"),
        ({"stereo": "TAC"}, "'TAC'"),
        ({"time_layer": "lstmm"}, "'lstmm'"),
    ],
)
def test_wrong_configuration_is_refused(base, changes, words):
    with pytest.raises(UserError, match=words):
        zoo.from_reference(base["state_dict"], {**base["config"], **changes}, ["vocals"])


def test_weights_left_over_are_refused(base):
    with pytest.raises(UserError, match="separator.1"):
        zoo.from_reference(base["state_dict"], {**base["config"], "num_repeat": 1}, ["vocals"])


def test_several_networks_become_one_separator(networks, base, tmp_path):
    names = ("base_vocals", "opt_bass")
    paths = [tmp_path / f"{name}.ckpt" for name in names]
    for name, path in zip(names, paths, strict=True):
        torch.save(networks[name], path)
    separator = zoo.from_reference_files(paths)
    assert separator.sources == ("vocals", "bass")
    mixture = base["mixture"]
    with torch.no_grad():
        vocals = separator(mixture)[:, :1]
    assert relative_error(vocals[..., ::EVERY], base["estimates"]) < 1e-5


def test_folder_of_checkpoints(networks, tmp_path):
    for name in ("opt_bass", "base_vocals"):
        torch.save(networks[name], tmp_path / f"{name.split('_')[1]}.ckpt")
    assert zoo.from_reference_files([tmp_path]).sources == ("vocals", "bass")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no checkpoint"):
        zoo.from_reference_files([tmp_path / "empty"])


def test_two_networks_of_one_source_are_refused(base, tmp_path):
    torch.save(base, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="differ"):
        zoo.from_reference_files([tmp_path / "a.ckpt", tmp_path / "a.ckpt"])
