"""Augmentations: their statistics, what shares a draw, and what is refused."""

import numpy as np
import pytest
import torch

from asteroid_bsrnn.data import AUGMENTATIONS, Augmentations, augmentation, peak_normalise
from asteroid_bsrnn.errors import UserError

pytest.importorskip("torch_audiomentations")

B, S, C, L = 4000, 4, 2, 3
TOLERANCE = 0.015  # over four standard deviations of a share of B * S draws


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def batch():
    """Examples with other values everywhere, none of them zero."""
    return torch.randn(B, S, C, L).sign() * (0.5 + torch.rand(B, S, C, L))


def gains(augment, batch):
    """The factor of each source `(B, S)`, which its samples and channels must share."""
    before = batch.clone()
    ratio = augment(batch) / batch
    assert torch.equal(batch, before)
    factor = ratio.mean(dim=(2, 3))
    torch.testing.assert_close(ratio, factor[..., None, None].expand_as(ratio))
    return factor


def assert_independent(values):
    """Neither sources of an example nor neighbouring examples go together."""
    columns = torch.cat([values[:-1], values[1:]], dim=1).numpy()
    correlation = np.corrcoef(columns, rowvar=False)
    assert np.abs(correlation - np.eye(2 * S)).max() < 0.08


def test_gain_in_decibels(batch):
    factors = gains(augmentation("gain_db", low=-10, high=10), batch)
    decibels = 20 * factors.log10()
    assert decibels.min() > -10.001 and decibels.max() < 10.001
    assert decibels.min() < -9.9 and decibels.max() > 9.9
    assert abs(decibels.mean()) < 0.2
    assert abs(decibels.std() - 20 / 12**0.5) < 0.1  # uniform in decibels
    assert_independent(decibels)


def test_linear_gain(batch):
    factors = gains(augmentation("gain_linear", low=0.25, high=1.25), batch)
    assert factors.min() > 0.2499 and factors.max() < 1.2501
    assert abs(factors.mean() - 0.75) < 0.01
    assert abs(factors.std() - 1 / 12**0.5) < 0.01
    assert_independent(factors)


@pytest.mark.parametrize("name", ["gain_db", "gain_linear"])
def test_gain_with_a_probability(batch, name):
    factors = gains(augmentation(name, p=0.3), batch)
    assert abs(((factors - 1).abs() > 1e-6).float().mean() - 0.3) < TOLERANCE


def test_frequencies_are_raised_and_lowered_smoothly_for_each_source():
    batch = torch.randn(300, 2, 1, 4096).repeat(1, 1, 2, 1)
    result = augmentation("equaliser", low=-4, high=8, p=0.5)(batch)
    changed = (result != batch).any(dim=-1).all(dim=-1)
    assert abs(changed.float().mean() - 0.5) < 0.1
    assert torch.equal(result[~changed], batch[~changed])
    assert torch.equal(result[:, :, 0], result[:, :, 1])  # channels share a curve
    response = torch.fft.rfft(result[changed][:, 0]) / torch.fft.rfft(batch[changed][:, 0])
    assert response.imag.abs().max() < 1e-3  # no shifts of phase
    decibels = 20 * response.real.log10()
    assert decibels.min() > -4.01 and decibels.max() < 8.01
    octaves = decibels[:, [2048 // 2**k for k in range(10)]]
    assert octaves.min() < -3.9 and octaves.max() > 7.9
    correlation = np.corrcoef(octaves.numpy(), rowvar=False)
    assert np.abs(correlation - np.eye(10)).max() < 0.25
    # Linear between the octaves: as far from both, their mean.
    between = decibels[:, round(2048 / 2**0.5)]
    torch.testing.assert_close(between, octaves[:, :2].mean(dim=1), atol=0.05, rtol=0)


def test_what_channels_have_in_common_stays_when_they_are_narrowed(batch):
    result = augmentation("stereo_width", low=0.2, high=0.6, p=0.5)(batch)
    torch.testing.assert_close(result.mean(dim=2), batch.mean(dim=2))
    width = (result[:, :, 0] - result[:, :, 1]) / (batch[:, :, 0] - batch[:, :, 1])
    factor = width.nanmean(dim=-1)
    factor = factor[~factor.isnan()]
    kept = (factor - 1).abs() < 1e-4
    assert abs(kept.float().mean() - 0.5) < TOLERANCE
    assert factor[~kept].min() > 0.1999 and factor[~kept].max() < 0.6001
    assert abs(factor[~kept].mean() - 0.4) < 0.01
    mono = torch.rand(5, 1, 1, 9)
    torch.testing.assert_close(augmentation("stereo_width", p=1.0)(mono), mono)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_channels_are_swapped_as_often_as_said(batch, p):
    result = augmentation("channel_swap", p=p)(batch)
    swapped = (result == batch.flip(2)).all(dim=(2, 3))
    kept = (result == batch).all(dim=(2, 3))
    assert (swapped ^ kept).all()
    assert abs(swapped.float().mean() - p) < (TOLERANCE if p == 0.5 else 1e-9)
    if p == 0.5:
        assert_independent(swapped.float())


def test_sources_are_silenced_as_often_as_said(batch):
    result = augmentation("silent_source", p=0.1)(batch)
    silent = (result == 0).all(dim=(2, 3))
    assert torch.equal(result, batch * ~silent[..., None, None])
    assert (silent.float().mean(dim=0) - 0.1).abs().max() < 0.02
    assert_independent(silent.float())


def test_only_targets_are_silenced(batch):
    before = batch.clone()
    result = augmentation("silent_target", p=0.1, targets=[3, 1])(batch)
    assert torch.equal(batch, before)
    silent = (result == 0).all(dim=(2, 3))
    assert torch.equal(result, batch * ~silent[..., None, None])
    share = silent.float().mean(dim=0)
    assert share[0] == share[2] == 0
    assert (share[[1, 3]] - 0.1).abs().max() < 0.02
    both = (silent[:, 1] & silent[:, 3]).float().mean()
    assert abs(both - 0.01) < 0.008


def test_what_lies_above_a_frequency_is_taken_away_from_all_sources_alike():
    batch = torch.randn(400, 1, 1, 2048).repeat(1, 2, 2, 1)
    result = augmentation("band_limit", low=0.1, high=0.4, p=0.5)(batch)
    limited = (result != batch).any(dim=-1).all(dim=(1, 2))
    assert abs(limited.float().mean() - 0.5) < 0.1
    assert torch.equal(result[~limited], batch[~limited])

    def level(signal, low, high):
        """Mean power in dB between two frequencies, as shares of the sample rate."""
        window = torch.hann_window(signal.shape[-1])
        power = torch.fft.rfft(signal * window).abs().square()
        bins = slice(round(low * signal.shape[-1]), round(high * signal.shape[-1]))
        return 10 * power[..., bins].mean(dim=-1).log10()

    change = level(result, 0.45, 0.5) - level(batch, 0.45, 0.5)
    assert change[limited].max() < -30
    kept = level(result, 0.0, 0.08) - level(batch, 0.0, 0.08)
    assert kept.abs().max() < 0.2
    # The same filter everywhere in an example, another one in each.
    assert torch.equal(result, result[:, :1, :1].expand_as(result))
    middle = level(result, 0.1, 0.4) - level(batch, 0.1, 0.4)
    assert middle[limited].std() > 1


def test_examples_begin_or_end_with_silence():
    batch = torch.randn(400, 2, 2, 50)
    result = augmentation("shift", low=-0.4, high=0.2, p=0.5)(batch)
    shifts = []
    for before, after in zip(batch, result, strict=True):
        silent = (after == 0).all(dim=(0, 1))
        front = int(silent[0]) and int((~silent).int().argmax())
        back = int(silent.sum()) - front
        assert front == 0 or back == 0
        assert torch.equal(after[..., front : 50 - back], before[..., back : 50 - front])
        shifts.append(front - back)
    assert min(shifts) == -20 and max(shifts) == 10
    assert abs(shifts.count(0) / 400 - 0.5) < 0.1


def test_one_after_the_other(batch):
    steps = [
        {"gain_linear": {"low": 0.5, "high": 0.75}},
        "channel_swap",
        {"silent_target": None},
    ]
    result = Augmentations(steps, targets=[0])(batch)
    silent = (result == 0).all(dim=(2, 3))
    assert abs(silent[:, 0].float().mean() - 0.1) < 0.02 and not silent[:, 1:].any()
    total = result.abs().sum(dim=(2, 3)) / batch.abs().sum(dim=(2, 3))
    assert total[~silent].min() > 0.4999 and total[~silent].max() < 0.7501
    direction = (result.sign() == batch.sign()).all(dim=(2, 3))
    assert 0.4 < direction[:, 1:].float().mean() < 0.6
    assert torch.equal(Augmentations([])(batch), batch)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_torchs_seed_decides(batch, name):
    batch, augment = batch[:100], augmentation(name, targets=[0], p=0.5)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(batch))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_nothing_is_learned_or_changed_in_evaluation(batch, name):
    batch, augment = batch[:100], augmentation(name, targets=[0], p=1.0)
    assert not augment.state_dict()
    assert not torch.equal(augment(batch), batch)
    assert torch.equal(augment.eval()(batch), batch)


@pytest.mark.parametrize("shape", [(1, 1, 1, 5), (3, 2, 1, 5), (2, 4, 2, 2), (1, 1, 6, 7)])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_any_numbers_of_sources_and_channels(name, shape):
    batch = torch.rand(shape) + 1
    assert augmentation(name, targets=[0])(batch).shape == shape


def test_slices_of_batches_are_taken(batch):
    augment = augmentation("gain_db")
    sliced = batch.transpose(0, 1)[:2, :10]
    assert augment(sliced).shape == sliced.shape


def test_silence_stops_nan():
    batch = torch.full((1, 1, 2, 5), torch.nan)
    assert not augmentation("silent_source", p=1.0)(batch).any()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: augmentation("gain"), "'gain' is unknown.*gain_db, gain_linear, equaliser"),
        (lambda: augmentation("gain_db", min=1), "gain_db has no option 'min'; it has high, low"),
        (lambda: augmentation("channel_swap", p=1.5), "channel_swap: p must be from 0 to 1"),
        (lambda: augmentation("silent_source", p="1e-1"), "p must be a number, got '1e-1'"),
        (lambda: augmentation("silent_source", p=True), "p must be a number, got True"),
        (lambda: augmentation("gain_db", low=float("nan")), "low must be a number, got nan"),
        (lambda: augmentation("gain_db", low=3, high=3), "low must be below high, got 3 and 3"),
        (lambda: augmentation("gain_linear", low=2), "low must be below high, got 2 and 1.25"),
        (lambda: augmentation("band_limit", high=0.6), "band_limit: 0 < low < high <= 0.5"),
        (
            lambda: augmentation("equaliser", low=7),
            "equaliser: low must be below high, got 7 and 6",
        ),
        (lambda: augmentation("stereo_width", low=2), "low must be below high, got 2 and 1.0"),
        (lambda: augmentation("shift", high=2), "shift: -1 <= low < high <= 1, got -0.5 and 2"),
        (lambda: augmentation("silent_target"), "silent_target needs the indices"),
        (lambda: Augmentations([{"gain_db": {}, "channel_swap": {}}]), "one name and its options"),
        (lambda: Augmentations([3]), "got 3"),
        (lambda: Augmentations([{"gain_db": 3}]), "got {'gain_db': 3}"),
    ],
)
def test_wrong_descriptions_are_refused(make, words):
    with pytest.raises(UserError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_joint_peak_is_one():
    mixture, targets = torch.randn(3, 2, 50), 0.1 * torch.randn(3, 4, 2, 50)
    targets[1, 2, 0, 7] = -20  # here a target is louder than the mixture
    mixture[2], targets[2] = 0, 0
    normalised, normalised_targets = peak_normalise(mixture, targets)
    peaks = [mixture[0].abs().max(), 20, 1]
    for example, peak in enumerate(peaks):
        torch.testing.assert_close(normalised[example], mixture[example] / peak)
        torch.testing.assert_close(normalised_targets[example], targets[example] / peak)
    assert normalised[0].abs().max() == 1 and normalised_targets[1].min() == -1
