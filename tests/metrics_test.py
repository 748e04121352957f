"""uSDR and the SDR of frames: by hand, against museval, and where they are not defined."""

import functools
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from asteroid_bsrnn import UserError
from asteroid_bsrnn.metrics import (
    csdr,
    frame_sdr,
    museval_many,
    museval_scores,
    museval_sdr,
    si_sdr,
    usdr,
)

from .warm_python import python


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
    with pytest.warns(UserWarning, match="no score for source 0: the reference is silent"):
        scores = usdr(references, torch.full((2, 2, 10), 0.5))
    assert scores.isnan().tolist() == [True, False]
    with pytest.warns(UserWarning, match="source 0"):
        assert usdr(torch.zeros(1, 2, 10), torch.zeros(1, 2, 10)).isnan().all()


def test_a_perfect_estimate_scores_infinity():
    assert usdr(torch.ones(1, 2, 10), torch.ones(1, 2, 10)).item() == float("inf")


def test_arrays_that_cannot_be_written_are_read():
    references = np.broadcast_to(np.ones((1, 10)), (2, 1, 10))
    assert usdr(references, 0.5 * references).tolist() == pytest.approx([6.0206] * 2, abs=1e-3)


# What every measure refuses.


@pytest.mark.parametrize("measure", [usdr, frame_sdr, csdr, museval_scores])
def test_shapes_without_a_meaning_are_refused(measure):
    with pytest.raises(UserError, match=r"\(1, 2, 10\) and \(1, 2, 11\)"):
        measure(torch.ones(1, 2, 10), torch.ones(1, 2, 11))
    with pytest.raises(UserError, match="sources, channels, time"):
        measure(np.ones((2, 10)), np.ones((2, 10)))
    with pytest.raises(UserError, match=r"nothing to score .* \(1, 2, 0\)"):
        measure(torch.ones(1, 2, 0), torch.ones(1, 2, 0))


@pytest.mark.parametrize("measure", [frame_sdr, csdr, museval_scores])
def test_what_is_not_a_number_of_samples_is_refused(measure):
    signals = torch.ones(1, 2, 10)
    for window, hop in ((0, 5), (5, 0), (-1, 5), (5, 2.5)):
        with pytest.raises(UserError, match=rf"whole samples from 1, got {window} and {hop}"):
            measure(signals, signals, window, hop)


@pytest.mark.parametrize("measure", [frame_sdr, csdr, museval_scores])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_samples_without_a_value_are_refused(measure, value):
    good = torch.ones(2, 2, 100)
    bad = good.clone()
    bad[1, 0, 50] = value
    with pytest.raises(UserError, match="estimates hold NaN or infinite"):
        measure(good, bad, 10, 10)
    with pytest.raises(UserError, match="references hold NaN or infinite"):
        measure(bad, good, 10, 10)


# The SDR of frames, by hand.


def test_frames_by_hand():
    reference = torch.tensor([[[3.0, 4.0, 1.0, 0.0, 2.0, 0.0, 9.0]]])
    estimate = torch.tensor([[[3.0, 4.5, 1.0, 0.1, 1.8, 0.0, 0.0]]])
    # 25 against 0.25, 1 against 0.01, 4 against 0.04; the seventh sample fills no frame.
    scores = frame_sdr(reference, estimate, window=2, hop=2)
    torch.testing.assert_close(scores, torch.full((1, 3), 20.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("length", "window", "hop", "n_frames"),
    [
        (9, 10, 5, 1),
        (10, 10, 5, 1),
        (14, 10, 5, 1),
        (15, 10, 5, 2),
        (100, 10, 10, 10),
        (25, 4, 10, 3),
    ],
)
def test_only_whole_windows_are_frames(length, window, hop, n_frames):
    reference = torch.ones(2, 1, length)
    scores = frame_sdr(reference, 0.9 * reference, window, hop)
    torch.testing.assert_close(scores, torch.full((2, n_frames), 20.0, dtype=torch.float64))


def test_one_silent_signal_takes_the_frame_from_all_sources():
    rng = np.random.default_rng(0)
    references, estimates = rng.normal(size=(2, 3, 2, 50))
    references[0, :, 10:20] = 0
    estimates[2, :, 30:40] = 0
    estimates[1, 0, 40:50] = 0  # one channel of two
    scores = frame_sdr(references, estimates, window=10, hop=10)
    assert scores.isnan().any(dim=0).tolist() == [False, True, False, True, False]
    assert scores.isnan().all(dim=0).tolist() == [False, True, False, True, False]


def test_csdr_is_the_mean_of_the_two_middle_frames():
    reference = torch.ones(1, 1, 5)
    error = -torch.tensor([[[1.0, 0.1, 0.01, 0.001, 0.0]]], dtype=torch.float64)
    reference[..., 4] = 0  # 0, 20, 40 and 60 dB are left
    assert csdr(reference, reference - error, window=1, hop=1).item() == pytest.approx(30.0)
    assert csdr(reference[..., 1:], (reference - error)[..., 1:], 1, 1).item() == pytest.approx(
        40.0
    )


def test_a_perfect_frame_is_infinite_and_counts():
    reference = torch.ones(1, 1, 3)
    estimate = torch.tensor([[[1.0, 1.0, 0.9]]])
    assert frame_sdr(reference, estimate, 1, 1)[0, :2].tolist() == [float("inf")] * 2
    assert csdr(reference, estimate, 1, 1).item() == float("inf")


def test_csdr_of_a_silent_track_is_nan_with_a_warning():
    references = torch.ones(2, 2, 30)
    references[1] = 0
    with pytest.warns(UserWarning, match="no score for source 0, 1: every frame has a silent"):
        assert csdr(references, torch.ones(2, 2, 30), 10, 10).isnan().tolist() == [True, True]


def test_long_tracks_are_scored_by_parts():
    rng = np.random.default_rng(0)
    references = rng.normal(size=(2, 1, 600_000)).astype(np.float32)
    references[0, :, 100_000:200_000] *= 1e-6
    references[0, :, 300_000:400_000] = 0
    estimates = references + 1e-7 * rng.normal(size=references.shape)
    window, hop = 20_000, 7_000
    scores = frame_sdr(references, estimates, window, hop)
    energy, error = references.astype(np.float64) ** 2, (references - estimates) ** 2
    starts = range(0, references.shape[-1] - window + 1, hop)
    for frame, start in enumerate(starts):
        part = np.s_[..., start : start + window]
        if references[0][part].any():
            expected = 10 * np.log10(energy[part].sum((1, 2)) / error[part].sum((1, 2)))
        else:
            expected = [np.nan, np.nan]
        np.testing.assert_allclose(scores[:, frame], expected, rtol=0, atol=1e-9)
    assert scores.shape == (2, len(starts))
    assert scores.isnan().any()
    whole = 10 * np.log10(energy.sum((1, 2)) / error.sum((1, 2)))
    np.testing.assert_allclose(usdr(references, estimates), whole, rtol=0, atol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same():
    references, estimates = torch.from_numpy(np.stack(_noise()))
    references[0, :, 1000:2000] = 0
    for measure in (usdr, frame_sdr, csdr):
        arguments = () if measure is usdr else (1000, 500)
        expected = measure(references, estimates, *arguments)
        actual = measure(references.cuda(), estimates.cuda(), *arguments)
        assert actual.is_cuda
        torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=1e-9, equal_nan=True)


# Against museval itself. Its time goes by sources and channels more than by length.


@pytest.fixture(scope="module")
def museval():
    if shutil.which("ffmpeg") is None:
        pytest.skip("museval needs ffmpeg")
    return pytest.importorskip("museval")


def _noise(n_channels=2, length=3500, seed=0):
    rng = np.random.default_rng(seed)
    references = rng.normal(size=(2, n_channels, length))
    return references, references + 0.3 * rng.normal(size=references.shape)


def _museval(museval, references, estimates, window, hop):
    """SDR, ISR, SIR and SAR, called as museval calls itself for a track of MUSDB18."""
    signals = (np.swapaxes(signal, 1, 2) for signal in (references, estimates))
    return museval.evaluate(*signals, win=window, hop=hop)


def _assert_equals_museval(museval, references, estimates, window, hop):
    expected = _museval(museval, references, estimates, window, hop)[0]
    actual = frame_sdr(references, estimates, window, hop)
    # Infinite and NaN at the same places, too.
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-6)
    return expected


@pytest.mark.parametrize(
    ("n_channels", "window", "hop"),
    [(1, 1000, 300), (2, 1000, 300), (2, 700, 1400), (1, 3500, 1000), (2, 5000, 5000)],
)
def test_frames_are_those_of_museval(museval, n_channels, window, hop):
    _assert_equals_museval(museval, *_noise(n_channels), window, hop)


@pytest.mark.parametrize(
    ("signal", "part"),
    [
        ("reference", slice(0, 1000)),
        ("estimate", slice(900, 2100)),
        ("reference", slice(2000, None)),
    ],
)
def test_silence_is_that_of_museval(museval, signal, part):
    references, estimates = _noise()
    (references if signal == "reference" else estimates)[1, :, part] = 0
    expected = _assert_equals_museval(museval, references, estimates, 1000, 1000)
    assert np.isnan(expected).any() and not np.isnan(expected).all()


def test_channels_that_cancel_are_silent_as_for_museval(museval):
    references, estimates = _noise()
    estimates[0, 1, 1000:2000] = -estimates[0, 0, 1000:2000]
    expected = _assert_equals_museval(museval, references, estimates, 1000, 1000)
    assert np.isnan(expected).all(axis=0).tolist() == [False, True, False]


def test_an_equal_estimate_scores_as_by_museval(museval):
    references, estimates = _noise()
    estimates[0] = references[0]
    estimates[1, :, 1000:2000] = references[1, :, 1000:2000]
    actual = frame_sdr(references, estimates, 1000, 1000).numpy()
    assert np.isinf(actual).tolist() == [[True] * 3, [False, True, False]]
    expected = _museval(museval, references, estimates, 1000, 1000)[0]
    np.testing.assert_allclose(actual[1, ::2], expected[1, ::2], rtol=0, atol=1e-6)
    # museval subtracts what it filtered in parts, which may leave a rounding error.
    assert expected[np.isinf(actual)].min() > 300


@pytest.mark.parametrize("level", [1e-12, 3e4])
def test_the_level_makes_no_difference(museval, level):
    references, estimates = _noise()
    _assert_equals_museval(museval, level * references, level * estimates, 1000, 1000)


def test_very_good_estimates_score_as_by_museval(museval):
    references, estimates = _noise()
    estimates = references + 1e-8 * (estimates - references)
    assert _assert_equals_museval(museval, references, estimates, 1000, 1000).min() > 150


@pytest.mark.parametrize("signals", ["references", "both"])
def test_mono_in_two_channels_scores_as_by_museval(museval, signals):
    references, estimates = _noise()
    references[:, 1] = references[:, 0]
    if signals == "both":
        estimates[:, 1] = estimates[:, 0]
    _assert_equals_museval(museval, references, estimates, 1000, 1000)


def _music(start, length):
    """Four stems of a song, (sources, channels, time), and estimates with what is wrong in them."""
    stempeg = pytest.importorskip("stempeg")
    stems, _ = stempeg.read_stems(stempeg.example_stem_path())
    stop = None if length is None else start + length
    references = stems[1:, start:stop].transpose(0, 2, 1).astype(np.float32)
    rng = np.random.default_rng(0)
    bleeding = np.array([0.3, 0.1, 0.03, 0.2])[:, None, None] * (references.sum(0) - references)
    noise = 1e-3 * rng.normal(size=references.shape)
    return references, (0.9 * references + bleeding + noise).astype(np.float32)


def test_music_scores_as_by_museval(museval):
    # museval takes half the time for three stems that it takes for four.
    references, estimates = (signals[1:] for signals in _music(start=44100, length=70_000))
    references[1, :, 20_000:67_000] = 0
    _assert_equals_museval(museval, references, estimates, 44100, 11025)


@pytest.mark.slow
def test_a_whole_excerpt_scores_as_by_museval(museval):
    references, estimates = _music(start=0, length=None)
    expected = _assert_equals_museval(museval, references, estimates, 44100, 44100)
    medians = [np.nanmedian(frames) for frames in expected]
    np.testing.assert_allclose(csdr(references, estimates), medians, rtol=0, atol=1e-6)


# The full BSS Eval.


def test_all_four_ratios_are_those_of_museval(museval):
    references, estimates = _noise()
    references[0, :, :1000] = 0
    scores = museval_scores(torch.from_numpy(references), estimates, window=1000, hop=500)
    sdr = museval_sdr(references, estimates, window=1000, hop=500)
    np.testing.assert_array_equal(sdr.numpy(), scores["sdr"])
    expected = _museval(museval, references, estimates, window=1000, hop=500)
    assert list(scores) == ["sdr", "isr", "sir", "sar"]
    for name, values in zip(scores, expected, strict=True):
        assert scores[name].shape == (2, 6)
        np.testing.assert_allclose(scores[name], values, rtol=0, atol=1e-6)


def test_a_silent_signal_leaves_no_museval_score(museval):
    references, estimates = _noise()
    estimates[1] = 0
    with pytest.warns(UserWarning, match="no score for the track: silent estimate 1"):
        scores = museval_scores(references, estimates, window=1000, hop=1000)
    assert all(values.shape == (2, 3) and np.isnan(values).all() for values in scores.values())
    references[0] = 0
    with pytest.warns(UserWarning, match="silent reference 0, estimate 1"):
        museval_scores(references, estimates)


def _noise_of_one_thread(seed):
    """Read in the process that scores it, which must have been told to use one thread."""
    if os.environ["OPENBLAS_NUM_THREADS"] != "1":
        raise RuntimeError("this process would use all cores")
    return _noise(seed=seed)


def test_many_tracks_are_scored_in_their_order(museval):
    before = dict(os.environ)
    first = tuple(torch.from_numpy(signals) for signals in _noise(seed=0))
    tracks = [first, *(functools.partial(_noise_of_one_thread, seed) for seed in (1, 2, 3))]
    many = list(museval_many(iter(tracks), processes=2, window=1000, hop=1000))
    assert dict(os.environ) == before
    for seed, scores in enumerate(many):
        expected = frame_sdr(*_noise(seed=seed), 1000, 1000)
        np.testing.assert_allclose(scores["sdr"], expected, rtol=0, atol=1e-6)
    assert len(many) == 4


def test_no_process_is_no_pool(museval):
    with pytest.raises(UserError, match="processes must be at least 1, got 0"):
        next(museval_many([], processes=0))


def test_museval_without_ffmpeg_says_what_to_install(museval):
    code = """
        import torch
        from asteroid_bsrnn import UserError, metrics
        try:
            metrics.museval_scores(torch.ones(1, 1, 10), torch.ones(1, 1, 10))
        except UserError as error:
            print(error)
    """
    done = subprocess.run(
        [python(), "-c", textwrap.dedent(code)],
        env={**os.environ, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pip install asteroid-bsrnn[eval]" in done.stdout and "ffmpeg" in done.stdout
    assert done.stdout.count("\n") == 1


def test_without_museval_the_other_measures_remain(monkeypatch):
    monkeypatch.setitem(sys.modules, "museval.metrics", None)  # as if it were not installed
    with pytest.raises(UserError, match=r"pip install asteroid-bsrnn\[eval\]"):
        museval_scores(*_noise())
    assert csdr(*_noise(), 1000, 1000).isfinite().all()


@pytest.mark.parametrize("measure", [usdr, csdr, frame_sdr, si_sdr, museval_scores, museval_sdr])
def test_transposed_signals_are_refused(measure):
    for shape in ((2, 5000, 2), (1, 65, 5000), (1, 3, 2), (1, 2, 1)):
        signals = np.ones(shape, np.float32)
        for given in (signals, torch.from_numpy(signals)):
            with pytest.raises(UserError, match=r"transpose: \(channels, time\)") as error:
                measure(given, given)
            assert str(shape) in str(error.value)
    # The limits themselves.
    assert usdr(np.ones((1, 1, 1)), np.ones((1, 1, 1))).isinf().all()
    assert usdr(np.ones((1, 64, 64)), np.ones((1, 64, 64))).isinf().all()
