"""Band tables in hertz, and their conversion to widths in bins.

A table is a sequence of `(count, hertz)` pairs from 0 Hz upwards: `count` neighbouring bands with a
width of `hertz` each. A last band takes the rest up to the Nyquist frequency. Such tables have
neither overlaps nor gaps. The tables of vocals, bass, drums, other and "joint" are those of
Band-Split RNN (arXiv 2209.15174), in the version of its replication (arXiv 2603.09187). Other stems
take the one that is closest to them; stems without a table take "joint".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from typing import NamedTuple

SOURCES = ("vocals", "bass", "drums", "other")
"""The sources of MUSDB18, in this project's order."""

BandTable = Sequence[Sequence[float]]

TABLES: dict[str, tuple[tuple[int, float], ...]] = {
    "vocals": ((10, 100), (12, 250), (8, 500), (8, 1000), (2, 2000)),
    "bass": ((10, 50), (5, 100), (6, 500), (4, 1000), (4, 2000)),
    "drums": ((20, 50), (10, 100), (8, 250), (8, 500), (8, 1000)),
    "other": ((10, 100), (12, 250), (8, 500), (8, 1000), (2, 2000)),
    "joint": ((20, 50), (10, 100), (8, 250), (8, 500), (8, 1000), (2, 2000)),
}
# Narrow bands up to 4 kHz for stems without bass, everywhere for stems with it.
TABLES.update(dict.fromkeys(("speech", "guitar", "piano"), TABLES["vocals"]))
TABLES.update(dict.fromkeys(("accompaniment", "music", "effects"), TABLES["joint"]))


class Run(NamedTuple):
    """Neighbouring bands of equal width, which one batched product processes together.

    Attributes:
        n_bands: number of bands.
        width: width of each band in bins.
        first_band: index of the first band.
        first_bin: index of the first bin.
    """

    n_bands: int
    width: int
    first_band: int
    first_bin: int

    @property
    def bands(self) -> slice:
        """Indices of the bands of the run."""
        return slice(self.first_band, self.first_band + self.n_bands)

    @property
    def bins(self) -> slice:
        """Indices of the bins of the run."""
        return slice(self.first_bin, self.first_bin + self.n_bands * self.width)


def default_table(sources: Sequence[str]) -> str:
    """Return the name of the table for `sources`: that of a single source if any, else "joint"."""
    return sources[0] if len(sources) == 1 and sources[0] in TABLES else "joint"


def band_widths(
    table: str | BandTable, sample_rate: float = 44100, n_filters: int = 2048
) -> tuple[int, ...]:
    """Return the widths of the bands of a table in bins; they sum to `n_filters // 2 + 1`.

    Bands are in order, from 0 Hz upwards. A band of `h` hertz has `floor(h / (nyquist / n_bins))`
    bins. Named tables end at the Nyquist frequency, so that they fit any sample rate.

    Args:
        table: name of a table (a key of `TABLES`) or `(count, hertz)` pairs.
        sample_rate: in hertz.
        n_filters: size of the FFT.

    Raises:
        ValueError: for an unknown name, a malformed table, a sample rate that is not positive, or
            a band that would hold no bin.

    Example:
        >>> band_widths([(3, 2000)], sample_rate=16000, n_filters=32)
        (4, 4, 4, 5)
    """
    if not 0 < sample_rate < math.inf:
        raise ValueError(f"sample_rate must be positive, got {sample_rate!r}")
    n_bins = n_filters // 2 + 1
    hertz_per_bin = sample_rate / 2 / n_bins
    widths: list[int] = []
    for index, hertz in enumerate(_band_hertz(table)):
        width = math.floor(hertz / hertz_per_bin)
        left = n_bins - sum(widths)
        if width < 1:
            raise ValueError(
                f"band {index} of table {table!r} is {hertz:g} Hz wide and would hold no bin: at "
                f"{sample_rate:g} Hz with n_filters={n_filters} a bin spans {hertz_per_bin:.4g} Hz;"
                f" use a larger n_filters or wider bands"
            )
        if width > left:
            if isinstance(table, str):
                break
            raise ValueError(
                f"band {index} of table {table!r} would reach beyond the Nyquist frequency of "
                f"{sample_rate / 2:g} Hz and hold no bin there; remove it or make it narrower"
            )
        widths.append(width)
    rest = n_bins - sum(widths)
    return (*widths, rest) if rest else tuple(widths)


def runs_of_equal_width(widths: Sequence[int]) -> list[Run]:
    """Return the runs of neighbouring bands of equal width, for the width of each band in bins.

    Together they contain every band and every bin once, in order.

    Example:
        >>> [(run.n_bands, run.width) for run in runs_of_equal_width([4, 4, 4, 5])]
        [(3, 4), (1, 5)]
    """
    runs: list[Run] = []
    first_band = first_bin = 0
    for width, group in groupby(widths):
        n_bands = len(list(group))
        runs.append(Run(n_bands, width, first_band, first_bin))
        first_band += n_bands
        first_bin += n_bands * width
    return runs


def _band_hertz(table: str | BandTable) -> Iterator[float]:
    """Yield the width of each band in hertz, without the last one that takes the rest."""
    # A generator: a table with a huge count fails at the first band that does not fit.
    if isinstance(table, str):
        if table not in TABLES:
            raise ValueError(f"unknown band table {table!r}; valid names: {', '.join(TABLES)}")
        table = TABLES[table]
    for pair in table:
        try:
            count, hertz = pair
            if int(count) != count or count < 1 or not 0 < hertz < math.inf:
                raise ValueError
        except (OverflowError, TypeError, ValueError):
            raise ValueError(
                f"band table entry {pair!r} is not a (count, hertz) pair of a whole number of "
                "bands and a positive width"
            ) from None
        yield from repeat(float(hertz), int(count))
