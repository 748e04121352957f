"""Types of arguments: text in, checked values out."""

from __future__ import annotations

import argparse
import math
import re


def name(text: str) -> str:
    """A name of a file, which is empty only by mistake."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; was a variable not set?")
    return text


def number_within(at_least: float = -math.inf, above: float = -math.inf):
    """The type of an argument that is a number within bounds."""
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


def segment_or_none(text: str) -> float | None:
    """Seconds, or None for the word none."""
    return None if text.lower() == "none" else number_within(above=0)(text)


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)
