"""Drawings by matplotlib: charts for papers and for the page, and the picture of a separation.

A chart is written as files, and as SVG in the colours of the page: twice, wide and narrow, so that
its text has the size of the page's text on every screen. The page shows the one that fits.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from ..errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Widths in inches of 72 points; a point is a pixel of the page.
WIDE, NARROW = 10.0, 4.6
INK, MUTED, RULE, SURFACE = "#1f2328", "#6a737d", "#d8dce2", "#fefefe"
# The palette of Okabe and Ito, which suits colour-blind readers, and two more colours.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#6a51a3")
MARKERS = "osD^vPXh"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    SURFACE: "--surface",
    **{colour: f"--series-{index}" for index, colour in enumerate(PALETTE)},
}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_STYLE = {
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "patch.linewidth": 1.0,
    # Names of models and tracks are not formulas.
    "text.parse_math": False,
    "svg.hashsalt": "asteroid-bsrnn",
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class Chart:
    """Chart for the page: SVG for wide and for narrow screens.

    Attributes:
        name: name of the files, without a suffix.
        alternative: description of the chart.
    """

    name: str
    wide: str
    narrow: str
    alternative: str


# Function from a width in inches to a figure, and to tooltips by the gid of its parts.
Plot = Callable[[float], "tuple[Figure, Mapping[str, str]]"]


def draw(folder: Path, name: str, plot: Plot, alternative: str) -> Chart:
    """Draw a chart, and write `<name>.svg` and `<name>.png` to a folder.

    `alternative` is a description for readers who cannot see the chart.
    """
    with _import_matplotlib().rc_context(_STYLE):
        figure, tooltips = _laid_out(plot(WIDE))
        white = {"facecolor": "white", "metadata": {"Date": None}}
        figure.savefig(folder / f"{name}.svg", **white)
        figure.savefig(folder / f"{name}.png", facecolor="white")
        wide = _inline(figure, f"{name}-wide-", tooltips)
        figure, tooltips = _laid_out(plot(NARROW))
        narrow = _inline(figure, f"{name}-narrow-", tooltips)
    return Chart(name, wide, narrow, alternative)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; width and height are in inches.

    Raises:
        UserError: if matplotlib is missing.
    """
    _import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label_points(axes: Any, points: list[tuple[float, float, str]]) -> None:
    """Write names beside points without overlaps."""
    from adjustText import adjust_text

    texts = [axes.text(x, y, name, size=9.5, va="center") for x, y, name in points]
    # It warns of names that are nearly as wide as a narrow chart, and uses deprecated calls.
    logging.getLogger("adjustText").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        adjust_text(
            texts,
            x=[x for x, _, _ in points],
            y=[y for _, y, _ in points],
            ax=axes,
            expand=(1.3, 1.9),
            # By default it stops after a second: the same report would look different each time.
            iter_lim=100,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.6},
        )


def _laid_out(drawn: tuple[Figure, Mapping[str, str]]) -> tuple[Figure, Mapping[str, str]]:
    """Lay out a figure once, because the layout takes most of the time."""
    drawn[0].get_layout_engine().execute(drawn[0])
    # The name "none" would leave a placeholder, for which every file is drawn twice.
    drawn[0].set_layout_engine(None)
    return drawn


def _import_matplotlib():
    try:
        import adjustText  # noqa: F401
        import matplotlib
    except ImportError as error:
        raise UserError(
            f'a report needs {error.name}: pip install "asteroid-bsrnn[report]"'
        ) from error
    return matplotlib


def _inline(figure: Figure, prefix: str, tooltips: Mapping[str, str]) -> str:
    """Return the figure as SVG for the page, with text as text and with the page's colours."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    for name, space in (("", _SVG), ("xlink", _XLINK)):
        ElementTree.register_namespace(name, space)
    root = ElementTree.fromstring(text.getvalue())
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    root.attrib.pop("width"), root.attrib.pop("height")
    root.set("aria-hidden", "true")
    for element in root.iter():
        # The chart as a whole has a description; parts with a name get a tooltip.
        name = element.attrib.get("id")
        if name in tooltips:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = tooltips[name]
            element.insert(0, title)
            element.set("class", "point")
        _rename(element, prefix)
    inline = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in _VARIABLES.items():
        inline = inline.replace(colour, f"var({variable})")
    return inline


def _rename(element: ElementTree.Element, prefix: str) -> None:
    """Add a prefix to ids and references, so that ids are unique in the page."""
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, prefix + value)
        elif key == f"{{{_XLINK}}}href" and value.startswith("#"):
            element.set(key, f"#{prefix}{value[1:]}")
        elif "url(#" in value:
            element.set(key, re.sub(r"url\(#", f"url(#{prefix}", value))


# --- the picture of a separation -----------------------------------------------------------------


_LOWEST_HERTZ = 30.0
RANGE_DB = 80.0  # below the loudest bin of the mixture, where the colours end
_COLUMNS = 1200  # of a waveform: more than a picture has pixels for
WINDOW = 4096  # samples of a frame of the spectrogram


def draw_separation(
    path: str | Path,
    mixture: np.ndarray,
    stems: Mapping[str, np.ndarray],
    sample_rate: float,
    captions: Mapping[str, str] | None = None,
) -> Path:
    """Draw the waveforms and spectrograms of a mixture and its stems, and return the path.

    Waveforms share a scale and spectrograms a range of colours, so that levels can be compared.
    Spectrograms are averages over the channels, on a logarithmic frequency axis.

    Args:
        path: path of the picture; its suffix (.png, .svg, .pdf) is the format.
        mixture: (channels, time).
        stems: source -> (channels, time).
        sample_rate: in hertz.
        captions: source (or "mixture") -> text beside its name, such as its uSDR.

    Raises:
        UserError: if matplotlib is missing, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError('pictures need matplotlib: pip install "asteroid-bsrnn[report]"') from error
    rows = {"mixture": np.asarray(mixture), **{name: np.asarray(x) for name, x in stems.items()}}
    hop = max(WINDOW // 4, mixture.shape[-1] // _COLUMNS)
    spectra = {name: spectrogram(signal, sample_rate, hop)[0] for name, signal in rows.items()}
    loudest = spectra["mixture"].max()
    peak = max(float(np.abs(signal).max()) for signal in rows.values()) or 1.0

    figure = Figure(figsize=(13, 2.1 * len(rows)), dpi=120, layout="constrained")
    axes = figure.subplots(len(rows), 2, sharex=True, squeeze=False, width_ratios=(2, 3))
    for (wave_axes, spectrum_axes), (name, signal) in zip(axes, rows.items(), strict=True):
        _draw_waveform(wave_axes, signal, sample_rate, peak)
        caption = (captions or {}).get(name)
        wave_axes.set_title(f"{name}   {caption}" if caption else name, loc="left", fontsize=10)
        image = _draw_spectrum(
            spectrum_axes, spectra[name] - loudest, signal.shape[-1] / sample_rate, sample_rate
        )
    for last in axes[-1]:
        last.set_xlabel("time in s")
    figure.colorbar(image, ax=axes[:, 1], label="dB below the mixture's peak", aspect=60, pad=0.01)
    path = Path(path)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the picture cannot be written ({error})") from error
    return path


def spectrogram(signal: np.ndarray, sample_rate: float, hop: int) -> tuple[np.ndarray, int]:
    """Return the power of (channels, time) in dB, (bins, frames), averaged over the channels.

    The second result is the number of frames centred before the first sample; `hop` is in samples.
    """
    transform = ShortTimeFFT(hann(WINDOW, sym=False), hop, sample_rate)
    if signal.shape[-1] < WINDOW:
        signal = np.pad(signal, ((0, 0), (0, WINDOW - signal.shape[-1])))
    power = sum(transform.spectrogram(channel.astype(np.float64)) for channel in signal)
    return 10 * np.log10(power / len(signal) + 1e-12), -transform.p_min


def _draw_waveform(axes, signal: np.ndarray, sample_rate: float, peak: float) -> None:
    """Draw the highest and lowest sample of each column of pixels."""
    step = max(signal.shape[-1] // _COLUMNS, 1)
    starts = np.arange(0, signal.shape[-1], step)
    high = np.maximum.reduceat(signal.max(axis=0), starts)
    low = np.minimum.reduceat(signal.min(axis=0), starts)
    axes.fill_between(starts / sample_rate, low, high, linewidth=0.3, color="#3b6fb6")
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.margins(x=0)
    axes.grid(alpha=0.3)


def _draw_spectrum(axes, decibels: np.ndarray, seconds: float, sample_rate: float):
    """Draw the spectrogram, and return the image for the colour bar."""
    image = axes.pcolormesh(
        np.linspace(0, seconds, decibels.shape[1]),
        np.linspace(0, sample_rate / 2, decibels.shape[0]),
        decibels,
        vmin=-RANGE_DB,
        vmax=0,
        cmap="magma",
        shading="nearest",
        # As vectors, a quarter of a million rectangles would make huge files.
        rasterized=True,
    )
    axes.set_yscale("log")
    axes.set_ylim(_LOWEST_HERTZ, sample_rate / 2)
    axes.set_ylabel("Hz")
    return image
