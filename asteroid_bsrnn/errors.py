"""The exception for mistakes that a user can correct, and the check for transposed audio."""

from __future__ import annotations

from collections.abc import Sequence

MOST_CHANNELS = 64
"""The highest number of channels of an array or tensor that is taken for a recording."""


class UserError(ValueError):
    """A wrong file, name, option or value.

    The message is one line that says what is wrong and what to do. The command line prints it and
    exits with code 2.
    """


def one_line(message: object) -> str:
    """Return a message, such as an error's, in one line."""
    return " ".join(str(message).split())


def check_channels(shape: Sequence[int], what: str = "audio") -> None:
    """Refuse a shape (..., channels, time) whose channels and samples are probably transposed.

    With more channels than samples, or more than `MOST_CHANNELS`, the shape is almost certainly
    (time, channels), and each sample would be processed as a channel of its own. Files are not
    checked, because their headers tell channels from samples. `what` names the array in the
    message.

    Raises:
        UserError: the array is probably transposed.
    """
    shape = tuple(shape)
    if len(shape) < 2:
        return
    n_channels, n_samples = shape[-2:]
    if n_channels > min(n_samples, MOST_CHANNELS):
        raise UserError(
            f"{what} of shape {shape}: {n_channels} channels of {n_samples} sample(s); "
            f"transpose: (channels, time), with at most {MOST_CHANNELS} channels"
        )
