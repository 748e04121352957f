"""The plain implementation computes what the reference computes, so that its speed counts."""

import sys
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import presets, zoo

from .reference_test import EVERY, FIXTURE, relative_error

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from plain import PlainBSRNN  # noqa: E402

SERVED = [name for name in FIXTURE["networks"] if name in ("base_vocals", "opt_bass", "simo_opt")]


@pytest.mark.parametrize("name", SERVED)
def test_plain_networks_are_equal_to_the_reference(name):
    golden = FIXTURE["networks"][name]
    network = zoo.from_reference(golden["state_dict"], golden["config"], golden["targets"])
    plain = PlainBSRNN(network).eval()
    state = {key: value for key, value in golden["state_dict"].items() if "window" not in key}
    plain.load_state_dict(state)
    with torch.no_grad():
        estimates = plain(golden["mixture"])
    assert relative_error(estimates[..., ::EVERY], golden["estimates"]) < 1e-5


def test_what_has_no_plain_form_is_refused():
    with pytest.raises(ValueError, match="time_layer"):
        PlainBSRNN(presets.build("bsrnn_gru", "vocals", feature_dim=4, n_repeats=1))
