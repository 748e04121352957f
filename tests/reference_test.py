"""Equality with the reference, number by number, on networks that the reference made.

`parity/golden.pt.xz` holds a part of them (`parity/make_fixture.py` says which); the whole folder
is tested where the environment variable `BSRNN_GOLDEN` names it.
"""

import io
import lzma
import os
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import zoo
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.separation import chunks as inference
from asteroid_bsrnn.weights import reference

FOLDER = os.environ.get("BSRNN_GOLDEN")


def load_fixture() -> dict:
    """Networks by name, with `every`: outputs are given for each so many samples."""
    if FOLDER:
        files = [file for file in sorted(Path(FOLDER).glob("*.pt")) if "expected" not in file.name]
        loaded = {file.stem: torch.load(file, weights_only=True) for file in files}
        return {"every": 1, "inference": loaded.pop("inference_vocals"), "networks": loaded}
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


FIXTURE = load_fixture()
EVERY = FIXTURE["every"]


@pytest.fixture(params=FIXTURE["networks"], scope="module")
def golden(request):
    return FIXTURE["networks"][request.param]


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
@pytest.mark.parametrize("name", FIXTURE["inference"]["estimates"])
def test_inference(name, batch_size):
    golden = FIXTURE["networks"]["base_vocals"]
    network = zoo.from_reference(golden["state_dict"], golden["config"], golden["targets"])
    kind, *values = name.split("_")
    segment, step = (None, 0.1) if values == ["whole"] else map(float, values)
    overlap, hop = (step, None) if kind == "fader" else (0.1, step)
    schedule = inference.make_schedule(segment, overlap, hop, 44100)
    mixture = FIXTURE["inference"]["mixture"][0]
    estimates = inference.separate(network, mixture, schedule, batch_size=batch_size)
    expected = FIXTURE["inference"]["estimates"][name][0]
    assert relative_error(estimates[..., ::EVERY], expected) < 1e-5


BASE = FIXTURE["networks"]["base_vocals"]


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
def test_wrong_configuration_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        zoo.from_reference(BASE["state_dict"], {**BASE["config"], **changes}, ["vocals"])


def test_weights_left_over_are_refused():
    with pytest.raises(UserError, match="separator.1"):
        zoo.from_reference(BASE["state_dict"], {**BASE["config"], "num_repeat": 1}, ["vocals"])


def test_several_networks_become_one_separator(tmp_path):
    names = ("base_vocals", "opt_bass")
    paths = [tmp_path / f"{name}.ckpt" for name in names]
    for name, path in zip(names, paths, strict=True):
        torch.save(FIXTURE["networks"][name], path)
    separator = zoo.from_reference_files(paths)
    assert separator.sources == ("vocals", "bass")
    mixture = BASE["mixture"]
    with torch.no_grad():
        vocals = separator(mixture)[:, :1]
    assert relative_error(vocals[..., ::EVERY], BASE["estimates"]) < 1e-5


def test_folder_of_checkpoints(tmp_path):
    for name in ("opt_bass", "base_vocals"):
        torch.save(FIXTURE["networks"][name], tmp_path / f"{name.split('_')[1]}.ckpt")
    assert zoo.from_reference_files([tmp_path]).sources == ("vocals", "bass")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no checkpoint"):
        zoo.from_reference_files([tmp_path / "empty"])


def test_two_networks_of_one_source_are_refused(tmp_path):
    torch.save(BASE, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="differ"):
        zoo.from_reference_files([tmp_path / "a.ckpt", tmp_path / "a.ckpt"])
