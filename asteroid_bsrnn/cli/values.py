"""Types of command-line arguments: text to checked values."""

from __future__ import annotations

import argparse
import math
import re


def name(text: str) -> str:
    """Return a name, which must not be empty."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; was a variable not set?")
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
