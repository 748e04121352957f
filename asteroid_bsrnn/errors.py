"""The error for mistakes that a user can correct, and the check for transposed audio."""

from __future__ import annotations

from collections.abc import Sequence

MOST_CHANNELS = 64


class UserError(ValueError):
    """A wrong file, name, option or value: one line that says what, why and what to do.

    The command line prints the message alone and exits with code 2. Programs can catch it as a
    `ValueError`.
    """


def check_channels(shape: Sequence[int], what: str = "audio") -> None:
    """Refuse a shape with more channels than a recording has, which is most likely transposed.

    Args:
        shape: (..., channels, time) or (time,).
        what: name of the array in the message.

    Raises:
        UserError: if there are more channels than samples or more than `MOST_CHANNELS` channels.
    """
    shape = tuple(shape)
    if len(shape) < 2:
        return
    n_channels, n_samples = shape[-2:]
    if n_channels > min(n_samples, MOST_CHANNELS):
        raise UserError(
            f"{what} of shape {shape} has {n_channels} channels of {n_samples} samples, which is "
            "not supported; transpose: (channels, time)"
        )
