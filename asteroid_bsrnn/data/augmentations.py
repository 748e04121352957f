"""Augmentations of training batches by name, as configurations write them.

All take and give `(B, S, C, L)` on any device, with random numbers from torch's global generators.
Every source of every example gets draws of its own, which its channels share; `shift` and
`band_limit` alone treat all sources of an example alike. As with all of torch-audiomentations,
nothing is changed in evaluation mode.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import nn

from ..errors import UserError


class PerSource(nn.Module):
    """Applies a transform of torch-audiomentations to each source by itself.

    Args:
        transform: from and to `(B, C, L)`, with results of the type `dict`.
        indices: which sources; None for all.
    """

    def __init__(self, transform: nn.Module, indices: Sequence[int] | None = None):
        super().__init__()
        self.transform = transform
        self.indices = None if indices is None else list(indices)

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        """From and to `(B, S, C, L)`; the input is left as it is."""
        if self.indices is None:
            return self._transformed(sources)
        result = sources.clone()
        result[:, self.indices] = self._transformed(sources[:, self.indices])
        return result

    def _transformed(self, sources: torch.Tensor) -> torch.Tensor:
        examples = sources.flatten(0, 1)  # (B * S, C, L)
        return self.transform(examples).samples.view_as(sources)


class PerExample(nn.Module):
    """Applies a transform of torch-audiomentations to all sources of an example alike.

    Args:
        transform: from and to `(B, C, L)`, with results of the type `dict`.
    """

    def __init__(self, transform: nn.Module):
        super().__init__()
        self.transform = transform

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        """From and to `(B, S, C, L)`; the input is left as it is."""
        return self.transform(sources.flatten(1, 2)).samples.view_as(sources)


def _gain_db(*, low: float = -10.0, high: float = 10.0, p: float = 1.0) -> PerSource:
    from .transforms import Gain

    _check_range("gain_db", low, high)
    return PerSource(Gain(low, high, mode="per_example", p=p, output_type="dict"))


def _gain_linear(*, low: float = 0.25, high: float = 1.25, p: float = 1.0) -> PerSource:
    from .transforms import LinearGain

    _check_range("gain_linear", low, high)
    return PerSource(LinearGain(low, high, p=p))


def _equaliser(*, low: float = -6.0, high: float = 6.0, p: float = 0.5) -> PerSource:
    from .transforms import Equaliser

    _check_range("equaliser", low, high)
    return PerSource(Equaliser(low, high, p=p))


def _stereo_width(*, low: float = 0.0, high: float = 1.0, p: float = 0.5) -> PerSource:
    from .transforms import StereoWidth

    _check_range("stereo_width", low, high)
    return PerSource(StereoWidth(low, high, p=p))


def _channel_swap(*, p: float = 0.5) -> PerSource:
    from .transforms import SwapChannels

    return PerSource(SwapChannels(p))


def _silent_source(*, p: float = 0.1) -> PerSource:
    from .transforms import Silence

    return PerSource(Silence(p))


def _silent_target(*, p: float = 0.1, targets: Sequence[int] | None = None) -> PerSource:
    from .transforms import Silence

    if not targets:
        raise UserError("silent_target needs to know which sources are targets, got none")
    return PerSource(Silence(p), targets)


def _shift(*, low: float = -0.5, high: float = 0.5, p: float = 0.1) -> PerExample:
    from .transforms import Shift

    _check_range("shift", low, high)
    if low < -1 or high > 1:
        raise UserError(f"augmentation shift: -1 <= low < high <= 1, got {low} and {high}")
    # Shares of the example need no sample rate, yet the transform asks for one.
    shift = Shift(low, high, rollover=False, p=p, sample_rate=1, output_type="dict")
    return PerExample(shift)


def _band_limit(*, low: float = 0.2, high: float = 0.45, p: float = 0.3) -> PerExample:
    from .transforms import BandLimit

    _check_range("band_limit", low, high)
    if low <= 0 or high > 0.5:
        raise UserError(f"augmentation band_limit: 0 < low < high <= 0.5, got {low} and {high}")
    return PerExample(BandLimit(low, high, p=p))


_BUILDERS: dict[str, Callable[..., PerSource | PerExample]] = {
    "gain_db": _gain_db,
    "gain_linear": _gain_linear,
    "equaliser": _equaliser,
    "stereo_width": _stereo_width,
    "channel_swap": _channel_swap,
    "silent_source": _silent_source,
    "silent_target": _silent_target,
    "shift": _shift,
    "band_limit": _band_limit,
}

AUGMENTATIONS = tuple(_BUILDERS)


def augmentation(
    name: str, *, targets: Sequence[int] | None = None, **options: float
) -> PerSource | PerExample:
    """Makes an augmentation.

    Args:
        name: `gain_db` (options `low`, `high` in decibels: -10, 10), `gain_linear` (`low`, `high`:
            0.25, 1.25), `equaliser` (`low`, `high` in decibels: -6, 6; p: 0.5), which raises and
            lowers frequencies along a smooth curve, `stereo_width` (`low`, `high`, factors of what
            the channels differ in: 0, 1; p: 0.5), `channel_swap` (p: 0.5), `silent_source` or
            `silent_target` (p: 0.1), `shift` (`low`, `high`, as shares of the example: -0.5, 0.5;
            p: 0.1), which lets an example begin or end with silence, `band_limit` (`low`, `high`,
            as shares of the sample rate: 0.2, 0.45; p: 0.3), which takes away what lies above a
            frequency, as lossy codecs do. The gains have a `p` too, of 1.
        targets: indices of the sources to be estimated, the only ones that `silent_target` changes.
        **options: by name; p is the probability for a source of an example to be changed.

    Returns:
        A module from and to `(B, S, C, L)`.

    Raises:
        UserError: the name or an option is unknown, or a value out of its range; or the package
            torch-audiomentations is not there.
    """
    if name not in _BUILDERS:
        raise UserError(
            f"augmentation {name!r} is unknown; the augmentations are {', '.join(AUGMENTATIONS)}"
        )
    builder = _BUILDERS[name]
    known = set(inspect.signature(builder).parameters)
    for option, value in options.items():
        if option not in known:
            valid = ", ".join(sorted(known - {"targets"}))
            raise UserError(f"augmentation {name} has no option {option!r}; it has {valid}")
        _check_number(f"augmentation {name}: {option}", value)
    if not 0 <= options.get("p", 0) <= 1:
        raise UserError(f"augmentation {name}: p must be from 0 to 1, got {options['p']}")
    return builder(**options, **({"targets": targets} if "targets" in known else {}))


class Augmentations(nn.Sequential):
    """Augmentations one after the other.

    Args:
        steps: each a name, or a mapping from one name to its options: `{"gain_db": {"low": -6}}`.
        targets: indices of the sources to be estimated, for those that need it.

    Raises:
        UserError: as `augmentation`, or a step has another form.
    """

    def __init__(
        self,
        steps: Iterable[str | Mapping[str, Mapping[str, float] | None]],
        targets: Sequence[int] | None = None,
    ):
        parsed = [_parse(step) for step in steps]
        super().__init__(*(augmentation(name, targets=targets, **opts) for name, opts in parsed))


def _parse(step: object) -> tuple[str, dict[str, float]]:
    if isinstance(step, str):
        return step, {}
    if isinstance(step, Mapping) and len(step) == 1:
        [(name, options)] = step.items()
        if isinstance(name, str) and (options is None or isinstance(options, Mapping)):
            return name, dict(options or {})
    raise UserError(f"an augmentation is a name, or one name and its options, got {step!r}")


def _check_number(what: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value)):
        raise UserError(f"{what} must be a number, got {value!r}")


def _check_range(name: str, low: float, high: float) -> None:
    if low >= high:
        raise UserError(f"augmentation {name}: low must be below high, got {low} and {high}")
