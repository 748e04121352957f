"""The picture of a separation: what is drawn where."""

import matplotlib.image
import numpy as np
import pytest

from asteroid_bsrnn import UserError
from asteroid_bsrnn.report.drawing import draw_separation

RATE = 44100


def tone(hertz, seconds=2.0):
    time = np.arange(int(seconds * RATE)) / RATE
    return np.tile(0.5 * np.sin(2 * np.pi * hertz * time), (2, 1))


def height_of_brightest_row(picture):
    """0 at the bottom, 1 at the top, within the dark panel that a spectrogram is."""
    left, right = int(0.5 * picture.shape[1]), int(0.85 * picture.shape[1])
    rows = picture[:, left:right, :3].mean(axis=2)
    dark = np.flatnonzero(np.median(rows, axis=1) < 0.3)
    panel = rows[dark[0] : dark[-1]]
    return 1 - panel.mean(axis=1).argmax() / len(panel)


def test_a_higher_tone_is_drawn_higher(tmp_path):
    stems = {"low": tone(100), "high": tone(5000)}
    mixture = sum(stems.values())
    path = draw_separation(tmp_path / "picture.png", mixture, stems, RATE, {"low": "uSDR 3 dB"})
    picture = matplotlib.image.imread(path)
    third = picture.shape[0] // 3
    low = height_of_brightest_row(picture[third : 2 * third])
    high = height_of_brightest_row(picture[2 * third :])
    # On an axis from 30 Hz to 22 kHz, logarithmic.
    assert low == pytest.approx(0.18, abs=0.06)
    assert high == pytest.approx(0.78, abs=0.06)


@pytest.mark.parametrize("seconds", [0.01, 1.0])
def test_short_silent_and_mono_signals_are_drawn(tmp_path, seconds):
    silence = np.zeros((1, int(seconds * RATE)))
    path = draw_separation(tmp_path / "picture.svg", silence, {"vocals": silence}, RATE)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"missing.*cannot be written"):
        draw_separation(tmp_path / "missing" / "p.png", tone(440), {"vocals": tone(440)}, RATE)
