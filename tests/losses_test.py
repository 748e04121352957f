"""The training loss where stems, or only sums of stems, are known."""

import pytest
import torch

from asteroid_bsrnn import BSRNN
from asteroid_bsrnn.losses import DOMAINS, L1Loss

SHAPE = (2, 4, 2, 3000)  # batch, sources, channels, time

# Vocals and the sum of the others; then drums alone, whose signal is the second.
KNOWN = torch.zeros(2, 4, 4)
KNOWN[0, 0, 0] = 1
KNOWN[0, 1, 1:] = 1
KNOWN[1, 1, 2] = 1


@pytest.fixture(scope="module")
def encoder():
    return BSRNN(sources=("vocals",), feature_dim=4, n_repeats=1, mask_expansion=1).encoder


@pytest.fixture
def signals():
    """Estimates and what is known."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(SHAPE, generator=generator) for _ in range(2)]


def loss(domain, encoder, signals, known=None):
    estimates, targets = signals
    return L1Loss(domain)(estimates, targets, encoder(estimates), encoder(targets), known)


def by_hand(differences):
    """Mean distances of waveforms and STFTs, in double precision, from differences (C, L)."""
    window = torch.hann_window(2048, dtype=torch.float64)
    time, stft = [], []
    for difference in differences:
        spectrum = torch.stft(difference, 2048, 512, window=window, return_complex=True)
        time.append(difference.abs().mean())
        stft.append(spectrum.real.abs().mean() + spectrum.imag.abs().mean())
    time, stft = sum(time) / len(time), sum(stft) / len(stft)
    return {"time": time, "stft": stft, "time+stft": time + stft}


@pytest.mark.parametrize("domain", DOMAINS)
def test_sums_of_estimates_are_compared_with_known_sums(encoder, signals, domain):
    estimates, targets = (signal.double() for signal in signals)
    expected = by_hand(
        [
            estimates[0, 0] - targets[0, 0],
            estimates[0, 1] + estimates[0, 2] + estimates[0, 3] - targets[0, 1],
            estimates[1, 2] - targets[1, 1],
        ]
    )[domain]
    actual = loss(domain, encoder, signals, KNOWN)
    assert actual.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("domain", DOMAINS)
def test_known_stems_give_the_loss_of_labelled_data(encoder, signals, domain):
    identity = torch.eye(4).expand(2, 4, 4)
    expected = loss(domain, encoder, signals)
    actual = loss(domain, encoder, signals, identity)
    assert actual.item() == pytest.approx(expected.item(), rel=3e-7)  # an ulp or two


def test_labelled_data_have_the_loss_that_they_had(encoder, signals):
    estimates, targets = signals
    transformed = encoder(estimates) - encoder(targets)
    expected = (estimates - targets).abs().mean() + 2 * transformed.abs().mean()
    assert torch.equal(loss("time+stft", encoder, signals), expected)


def test_gradients_reach_what_is_known_alone(signals):
    estimates, targets = signals
    estimates.requires_grad_()
    L1Loss("time")(estimates, targets, known=KNOWN).backward()
    reached = estimates.grad.abs().sum(dim=(2, 3)) > 0
    assert torch.equal(reached, KNOWN.any(dim=1))
    # An element of a sum counts as much as one of a stem.
    assert torch.allclose(estimates.grad[reached].abs(), torch.tensor(1 / (3 * 2 * 3000)))


def test_nothing_known_is_no_loss(signals):
    estimates, targets = signals
    estimates.requires_grad_()
    value = L1Loss("time")(estimates, targets, known=torch.zeros(2, 4, 4))
    value.backward()
    assert value.item() == 0 and not estimates.grad.any()


def test_sums_keep_their_precision_under_autocast(encoder, signals):
    expected = loss("time+stft", encoder, signals, KNOWN)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss("time+stft", encoder, signals, KNOWN), expected)
