"""Augmentations of training batches, by the names that configurations use, and normalisation.

Augmentations map `(B, S, C, L)` to the same shape on any device, with random numbers from torch's
global generators. Each source of each example is drawn separately, its channels together; `shift`
and `band_limit` draw once for all sources of an example. As in torch-audiomentations, nothing
changes in evaluation mode.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import nn

from ..errors import UserError


class PerSource(nn.Module):
    """A transform of torch-audiomentations applied to each source separately.

    Args:
        transform: from and to `(B, C, L)`, with results of the type `dict`.
        indices: which sources; None for all.
    """

    def __init__(self, transform: nn.Module, indices: Sequence[int] | None = None):
        super().__init__()
        self.transform = transform
        self.indices = None if indices is None else list(indices)

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        """Transform `(B, S, C, L)`; the input is not modified."""
        if self.indices is None:
            return self._transformed(sources)
        result = sources.clone()
        result[:, self.indices] = self._transformed(sources[:, self.indices])
        return result

    def _transformed(self, sources: torch.Tensor) -> torch.Tensor:
        examples = sources.flatten(0, 1)  # (B * S, C, L)
        return self.transform(examples).samples.view_as(sources)


class PerExample(nn.Module):
    """A transform of torch-audiomentations applied to all sources of an example alike.

    Args:
        transform: from and to `(B, C, L)`, with results of the type `dict`.
    """

    def __init__(self, transform: nn.Module):
        super().__init__()
        self.transform = transform

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        """Transform `(B, S, C, L)`; the input is not modified."""
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
        raise UserError("silent_target needs the indices of the targets, got none")
    return PerSource(Silence(p), targets)


def _shift(*, low: float = -0.5, high: float = 0.5, p: float = 0.1) -> PerExample:
    from .transforms import Shift

    _check_range("shift", low, high)
    if low < -1 or high > 1:
        raise UserError(f"augmentation shift: -1 <= low < high <= 1, got {low} and {high}")
    # The transform requires a sample rate even though it is not used for shares of the example.
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
    """Return an augmentation.

    Args:
        name: one of the names below.
        targets: indices of the estimated sources, the only ones that `silent_target` changes.
        **options: by name. All have `p`, the probability that a source of an example is changed.

    | name | what it does | options and their defaults |
    |---|---|---|
    | `gain_db` | multiplies by a gain drawn in decibels | `low` -10, `high` 10, `p` 1 |
    | `gain_linear` | multiplies by a factor | `low` 0.25, `high` 1.25, `p` 1 |
    | `equaliser` | filters along a smooth curve in decibels | `low` -6, `high` 6, `p` 0.5 |
    | `stereo_width` | scales the difference of the channels | `low` 0, `high` 1, `p` 0.5 |
    | `channel_swap` | swaps left and right | `p` 0.5 |
    | `silent_source` | silences sources | `p` 0.1 |
    | `silent_target` | silences targets | `p` 0.1 |
    | `shift` | moves by a share of the example; silence follows | `low` -0.5, `high` 0.5, `p` 0.1 |
    | `band_limit` | low-pass, cutoff as a share of the rate | `low` 0.2, `high` 0.45, `p` 0.3 |

    Returns:
        A module that maps `(B, S, C, L)` to the same shape.

    Raises:
        UserError: the name or an option is unknown, a value is out of its range, or the package
            torch-audiomentations is not installed.
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
    """A sequence of augmentations.

    Args:
        steps: each a name, or a mapping from one name to its options: `{"gain_db": {"low": -6}}`.
        targets: indices of the estimated sources.

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


def peak_normalise(
    mixture: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Divide each example by the highest peak among its mixture and targets.

    Args:
        mixture: `(B, C, L)`.
        targets: `(B, S, C, L)`.

    Returns:
        Both, with a joint peak of 1; silent examples are unchanged.
    """
    peak = torch.maximum(mixture.abs().amax(dim=(1, 2)), targets.abs().amax(dim=(1, 2, 3)))
    divisor = torch.where(peak > 0, peak, 1)
    return mixture / divisor[:, None, None], targets / divisor[:, None, None, None]


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
