"""The exception for mistakes that a user can correct, and checks that all parts share."""

from __future__ import annotations

MOST_CHANNELS = 64
"""The highest number of channels of an array or tensor that is taken for a recording."""


class UserError(ValueError):
    """A wrong file, name, option or value.

    The message is one line that says what is wrong and what to do. The command line prints it and
    exits with code 2.
    """


def check_layout(n_channels: int, n_samples: int, shape: tuple[int, ...]) -> None:
    """Refuse a recording whose channels and samples are probably transposed.

    Mono and stereo recordings may have any length. With more channels than samples, or more than
    `MOST_CHANNELS`, the shape is almost certainly (time, channels), and each sample would be
    separated as a recording of its own.

    Args:
        n_channels: size of the dimension taken for channels.
        n_samples: size of the dimension taken for time.
        shape: the whole shape, for the message.

    Raises:
        UserError: the recording is probably transposed.
    """
    if n_channels > MOST_CHANNELS or n_channels > max(n_samples, 2):
        raise UserError(
            f"the shape {tuple(shape)} has {n_channels} channels of {n_samples} samples; "
            f"transpose: (channels, time), with at most {MOST_CHANNELS} channels"
        )
