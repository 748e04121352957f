"""Band tables: hertz to bins, grouping by width, and what is refused."""

from __future__ import annotations

import itertools

import pytest

from asteroid_bsrnn.bands import TABLES, band_widths, default_table, runs_of_equal_width

# (number of bands, width in bins) at 44.1 kHz and n_filters=2048, the last band included.
RUNS_AT_2048 = {
    "vocals": [(10, 4), (12, 11), (8, 23), (8, 46), (2, 92), (1, 117)],
    "bass": [(10, 2), (5, 4), (6, 23), (4, 46), (4, 92), (1, 295)],
    "drums": [(20, 2), (10, 4), (8, 11), (8, 23), (8, 46), (1, 305)],
    "other": [(10, 4), (12, 11), (8, 23), (8, 46), (2, 92), (1, 117)],
    "joint": [(20, 2), (10, 4), (8, 11), (8, 23), (8, 46), (2, 92), (1, 121)],
}
RUNS_AT_2048 |= dict.fromkeys(("speech", "guitar", "piano"), RUNS_AT_2048["vocals"])
RUNS_AT_2048 |= dict.fromkeys(("accompaniment", "music", "effects"), RUNS_AT_2048["joint"])
N_BANDS = {"vocals": 41, "bass": 30, "drums": 55, "other": 41, "joint": 57}
RATES = [8000, 16000, 22050, 32000, 44100, 48000, 96000, 44100.0]


@pytest.mark.parametrize("table", TABLES)
def test_named_tables_at_the_default_fft(table):
    widths = band_widths(table)
    runs = [(run.n_bands, run.width) for run in runs_of_equal_width(widths)]
    assert runs == RUNS_AT_2048[table]
    assert len(widths) == N_BANDS.get(table, sum(count for count, _ in RUNS_AT_2048[table]))
    assert widths == band_widths(table, sample_rate=44100, n_filters=2048)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("n_filters", [512, 1000, 1024, 2048, 4096])
@pytest.mark.parametrize("sample_rate", RATES)
def test_widths_sum_to_the_bins_or_are_refused(table, sample_rate, n_filters):
    narrowest = min(hertz for _, hertz in TABLES[table])
    n_bins = n_filters // 2 + 1
    if narrowest < sample_rate / 2 / n_bins:
        with pytest.raises(ValueError, match="would hold no bin.*larger n_filters"):
            band_widths(table, sample_rate, n_filters)
        return
    widths = band_widths(table, sample_rate, n_filters)
    assert sum(widths) == n_bins
    assert min(widths) >= 1
    # All but the last, which takes the rest, have the width that the table gives them.
    hertz = [hertz for count, hertz in TABLES[table] for _ in range(count)]
    for width, band in zip(widths[:-1], hertz, strict=False):
        assert width == int(band / (sample_rate / 2 / n_bins))


def test_a_named_table_ends_at_the_nyquist_frequency():
    # 10 bands of 100 Hz and 12 of 250 Hz end at 4 kHz; rounding down leaves 7 bins.
    runs = runs_of_equal_width(band_widths("vocals", 8000, 2048))
    assert [(run.n_bands, run.width) for run in runs] == [(10, 25), (12, 64), (1, 7)]
    assert len(band_widths("vocals", 16000)) < len(band_widths("vocals", 44100))


def test_an_fft_too_small_for_the_narrowest_band_is_refused():
    for table in ("bass", "drums", "joint"):
        with pytest.raises(ValueError) as caught:
            band_widths(table, sample_rate=44100, n_filters=512)
        message = str(caught.value)
        assert "band 0" in message and repr(table) in message
        assert "50 Hz" in message and "n_filters=512" in message and "44100 Hz" in message


def test_an_unknown_table_lists_the_valid_ones():
    with pytest.raises(ValueError) as caught:
        band_widths("vocal")
    assert all(name in str(caught.value) for name in TABLES)
    assert "'vocal'" in str(caught.value)


def test_custom_tables():
    assert band_widths([(3, 2000)], 16000, 32) == (4, 4, 4, 5)
    assert band_widths([[3, 2000.0]], 16000, 32) == (4, 4, 4, 5)
    assert band_widths([], 16000, 32) == (17,)
    assert band_widths([(1, 8000)], 16000, 32) == (17,), "no empty band follows the last"
    assert band_widths(TABLES["drums"]) == band_widths("drums")
    assert band_widths(iter([(2, 1000), (1, 500)]), 16000, 32) == (2, 2, 1, 12)


@pytest.mark.parametrize("table", [[(5, 2000)], [(3, 2000), (1, 6000)], [(1, 8001), (1, 600)]])
def test_a_custom_table_beyond_the_nyquist_frequency_is_refused(table):
    with pytest.raises(ValueError, match="Nyquist frequency of 8000 Hz"):
        band_widths(table, 16000, 32)


@pytest.mark.parametrize(
    "entry",
    [(3,), (3, 100, 1), (0, 100), (-1, 100), (1.5, 100), (3, 0), (3, -100), 7, None, "ab",
     ("3", 100), (3, "100"), (float("nan"), 100), (float("inf"), 100), (3, float("nan")),
     (3, float("inf"))],
)  # fmt: skip
def test_a_malformed_entry_is_named(entry):
    with pytest.raises(ValueError) as caught:
        band_widths([entry])
    assert repr(entry) in str(caught.value)
    assert "(count, hertz) pair" in str(caught.value)


def test_an_absurd_count_is_refused_at_once():
    with pytest.raises(ValueError, match="Nyquist"):
        band_widths([(10**15, 1000)])


@pytest.mark.parametrize("sample_rate", [0, -44100, float("nan"), float("inf")])
def test_a_sample_rate_must_be_positive(sample_rate):
    with pytest.raises(ValueError, match="sample_rate must be positive"):
        band_widths("vocals", sample_rate)


@pytest.mark.parametrize(
    "widths",
    [*(band_widths(table) for table in TABLES), (1,), (2, 1, 2), (3, 3, 3), (1, 1, 2, 2, 1)],
)
def test_runs_cover_every_band_and_bin_once(widths):
    runs = runs_of_equal_width(widths)
    bands = [index for run in runs for index in range(*run.bands.indices(10**6))]
    bins = [index for run in runs for index in range(*run.bins.indices(10**6))]
    assert bands == list(range(len(widths)))
    assert bins == list(range(sum(widths)))
    for run in runs:
        assert set(widths[run.bands]) == {run.width}
        assert run.first_bin == sum(widths[: run.first_band])
    assert all(a.width != b.width for a, b in itertools.pairwise(runs)), "neighbours are one run"


@pytest.mark.parametrize("table", TABLES)
def test_named_tables_have_few_runs(table):
    for sample_rate, n_filters in [(44100, 2048), (44100, 4096), (48000, 4096), (22050, 2048)]:
        assert len(runs_of_equal_width(band_widths(table, sample_rate, n_filters))) <= 7


def test_default_table():
    for source in ("vocals", "bass", "drums", "other"):
        assert default_table([source]) == source
    assert default_table(["zither"]) == "joint"
    assert default_table(["vocals", "bass"]) == "joint"
