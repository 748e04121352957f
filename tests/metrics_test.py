"""uSDR: against its definition in float64, and where it is not defined."""

import numpy as np
import pytest
import torch

from asteroid_bsrnn.metrics import usdr


def test_value_by_hand():
    reference = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    estimate = torch.tensor([[[3.0, 0.0], [0.5, 4.0]]])
    assert usdr(reference, estimate).item() == pytest.approx(20.0)  # 25 against 0.25


def test_a_scaled_reference_scores_its_gain_error():
    reference = torch.randn(3, 2, 1000)
    expected = torch.full((3,), -20 * np.log10(0.1), dtype=torch.float64)
    torch.testing.assert_close(usdr(reference, 1.1 * reference), expected, rtol=0, atol=1e-4)


def test_sources_are_scored_apart_and_channels_together():
    rng = np.random.default_rng(0)
    references, errors = rng.normal(size=(2, 4, 2, 500))
    scores = usdr(references, references + errors)
    for source in range(4):
        expected = 10 * np.log10((references[source] ** 2).sum() / (errors[source] ** 2).sum())
        assert scores[source].item() == pytest.approx(expected)


def test_small_errors_are_not_lost_in_float32():
    reference = torch.ones(1, 1, 10**6)
    estimate = reference.clone()
    estimate[0, 0, 0] += 2**-10
    assert usdr(reference, estimate).item() == pytest.approx(60 + 60.206, abs=1e-2)


def test_a_silent_reference_has_no_score():
    references = torch.stack([torch.zeros(2, 10), torch.ones(2, 10)])
    scores = usdr(references, torch.full((2, 2, 10), 0.5))
    assert scores.isnan().tolist() == [True, False]
    assert usdr(torch.zeros(1, 2, 10), torch.zeros(1, 2, 10)).isnan().all()


def test_a_perfect_estimate_scores_infinity():
    assert usdr(torch.ones(1, 2, 10), torch.ones(1, 2, 10)).item() == float("inf")


def test_arrays_that_cannot_be_written_are_read():
    references = np.broadcast_to(np.ones((1, 10)), (2, 1, 10))
    assert usdr(references, 0.5 * references).tolist() == pytest.approx([6.0206] * 2, abs=1e-3)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 2, 10\) and \(1, 2, 11\)"):
        usdr(torch.ones(1, 2, 10), torch.ones(1, 2, 11))
    with pytest.raises(ValueError, match="sources, channels, time"):
        usdr(torch.ones(2, 10), torch.ones(2, 10))
