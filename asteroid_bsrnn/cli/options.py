"""Types of arguments, and arguments that several commands share.

The module imports nothing heavy, so that `--help` is fast.
"""

from __future__ import annotations

import argparse
import math
import re

from ..errors import UserError
from ..files import is_url
from ..options import PRECISIONS, Shard


def name(text: str) -> str:
    """Return a name, which must not be empty."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; was a variable not set?")
    return text


def local_path(text: str) -> str:
    """Return the path of a file or folder, which must not be a URL."""
    if is_url(name(text)):
        raise argparse.ArgumentTypeError(f"{text} is a URL; give the path of a file or folder")
    return text


def number_within(at_least: float = -math.inf, above: float = -math.inf):
    """Return the type of an argument that is a number within bounds."""
    bound = f"above {above:g}" if above > at_least else f"of at least {at_least:g}"

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (at_least <= value < math.inf and above < value):
            raise argparse.ArgumentTypeError(f"must be a number {bound}, got {text!r}")
        return value

    return number


def seconds(at_least: float = -math.inf, above: float = -math.inf):
    """Return the type of an argument that is a time within bounds, in seconds or as [h:]m:ss."""
    number = number_within(at_least, above)

    def time(text: str) -> float:
        if ":" not in text:
            return number(text)
        if not re.fullmatch(r"([0-9]+:[0-5]?[0-9]|[0-9]+):[0-5][0-9](\.[0-9]+)?", text):
            raise argparse.ArgumentTypeError(f"must be seconds or [h:]m:ss, got {text!r}")
        *larger, last = text.split(":")
        minutes = sum(int(part) * 60**i for i, part in enumerate(reversed(larger)))
        return number(str(60 * minutes + float(last)))

    return time


def segment_or_none(text: str) -> float | None:
    """Return seconds, or None for the word none."""
    return None if text.lower() == "none" else number_within(above=0)(text)


def count(text: str) -> int:
    """Return a whole number of at least 1."""
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def bitrate(text: str) -> int:
    """Return bits per second of a number with k, or of at least 1000."""
    match = re.fullmatch(r"([0-9]+)(k?)", text.lower())
    value = int(match[1]) * (1000 if match[2] else 1) if match else 0
    if value < 1000:
        raise argparse.ArgumentTypeError(f"must be a bit rate such as 192k, got {text!r}")
    return value


def shard(text: str) -> Shard:
    """Return the shard that an argument names."""
    try:
        return Shard.parse(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_chunks(group: argparse._ArgumentGroup) -> None:
    """Add the options for chunks."""
    group.add_argument(
        "--segment",
        type=segment_or_none,
        default=10.0,
        metavar="SECONDS",
        help="length of a chunk, or 'none' for the whole song at once, which needs more memory; if "
        "it does not fit, separate halves it and says so; default: %(default)g",
    )
    group.add_argument(
        "--overlap",
        type=number_within(at_least=0),
        default=0.1,
        metavar="SHARE",
        help="length of the cross-fade between chunks as a share of the segment, from 0 to below "
        "1; default: %(default)s",
    )
    group.add_argument(
        "--hop",
        type=number_within(above=0),
        metavar="SECONDS",
        help="average overlapping chunks that start this far apart, at most a segment, instead of "
        "cross-fading them: slower, smoother",
    )
    group.add_argument(
        "--batch-size",
        type=count,
        metavar="N",
        help="number of chunks in a batch; default: 1 on a CPU, 4 elsewhere",
    )


def add_computation(
    group: argparse._ArgumentGroup, precision: str = "auto", several_devices: bool = False
) -> None:
    """Add the options for device, several of them if asked for, precision and passes."""
    several = "; several, such as cuda:0,cuda:1, share the songs" if several_devices else ""
    group.add_argument(
        "--device",
        default="auto",
        help=f"auto (a GPU if there is one), cpu, cuda, cuda:1, mps, ...{several}; default: "
        "%(default)s",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=precision,
        help="precision of the network; its STFT is always computed in 32. bf16 is faster on GPUs "
        "and on CPUs that support it, 16 only on GPUs; auto means bf16 if the device supports it "
        "and the network stays within -45 dB of 32, as the study's recurrent networks do, else 32; "
        "default: %(default)s",
    )
    group.add_argument(
        "--shifts",
        type=count,
        default=1,
        metavar="N",
        help="number of passes with shifted STFT frame grids whose estimates are averaged: "
        "slightly better, N times slower; default: %(default)s",
    )


def add_running(group: argparse._ArgumentGroup, what: str) -> None:
    """Add the options for many machines, which share `what`, and for programs that call this."""
    group.add_argument(
        "--shard",
        type=shard,
        metavar="K/N",
        help=f"take the K-th of every N {what} only, the same ones on every run and machine",
    )
    group.add_argument(
        "--progress",
        choices=("bar", "json"),
        default="bar",
        help="json: print one JSON object a line on stdout, for programs; default: %(default)s, on "
        "a terminal",
    )


def separator_options(options: argparse.Namespace) -> dict:
    """Return the arguments of `Separator` that `add_chunks` and `add_computation` set."""
    names = ("segment", "overlap", "hop", "batch_size", "device", "precision", "shifts")
    return {name: getattr(options, name) for name in names}
