"""Augmentations of training batches, by the names that configurations use, and normalisation.

Augmentations map `(B, S, C, L)` to the same shape on any device, with random numbers from torch's
global generators. Each source of each example is drawn separately, its channels together; `shift`
and `band_limit` draw once for all sources of an example. As in torch-audiomentations, nothing
changes in evaluation mode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from ..errors import UserError

# Options of each augmentation, with their defaults.
_OPTIONS: dict[str, dict[str, float]] = {
    "gain_db": {"low": -10.0, "high": 10.0, "p": 1.0},
    "gain_linear": {"low": 0.25, "high": 1.25, "p": 1.0},
    "equaliser": {"low": -6.0, "high": 6.0, "p": 0.5},
    "stereo_width": {"low": 0.0, "high": 1.0, "p": 0.5},
    "channel_swap": {"p": 0.5},
    "silent_source": {"p": 0.1},
    "silent_target": {"p": 0.1},
    "shift": {"low": -0.5, "high": 0.5, "p": 0.1},
    "band_limit": {"low": 0.2, "high": 0.45, "p": 0.3},
}
_WHOLE_EXAMPLES = ("shift", "band_limit")

AUGMENTATIONS = tuple(_OPTIONS)


class Augmentation(nn.Module):
    """A transform of torch-audiomentations applied to sources.

    Args:
        transform: from and to `(N, C, L)`, with results of the type `dict`.
        together: whether all sources of an example are transformed alike.
        indices: which sources are transformed, each separately; None for all.
    """

    def __init__(
        self, transform: nn.Module, together: bool = False, indices: Sequence[int] | None = None
    ):
        super().__init__()
        self.transform, self.together = transform, together
        self.indices = None if indices is None else list(indices)

    def forward(self, sources: torch.Tensor) -> torch.Tensor:
        """Transform `(B, S, C, L)`; the input is not modified."""
        if self.together:
            return self.transform(sources.flatten(1, 2)).samples.view_as(sources)
        chosen = sources if self.indices is None else sources[:, self.indices]
        transformed = self.transform(chosen.flatten(0, 1)).samples.view_as(chosen)
        if self.indices is None:
            return transformed
        result = sources.clone()
        result[:, self.indices] = transformed
        return result


def augmentation(
    name: str, *, targets: Sequence[int] | None = None, **options: float
) -> Augmentation:
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
    if name not in _OPTIONS:
        raise UserError(
            f"augmentation {name!r} is unknown; the augmentations are {', '.join(AUGMENTATIONS)}"
        )
    chosen = {**_OPTIONS[name], **options}
    for option, value in options.items():
        if option not in _OPTIONS[name]:
            valid = ", ".join(sorted(_OPTIONS[name]))
            raise UserError(f"augmentation {name} has no option {option!r}; it has {valid}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and math.isfinite(value)):
            raise UserError(f"augmentation {name}: {option} must be a number, got {value!r}")
    if not 0 <= chosen["p"] <= 1:
        raise UserError(f"augmentation {name}: p must be from 0 to 1, got {chosen['p']}")
    if "low" in chosen:
        _check_range(name, chosen["low"], chosen["high"])
    if name == "silent_target" and not targets:
        raise UserError("silent_target needs the indices of the targets, got none")
    from .transforms import TRANSFORMS

    return Augmentation(
        TRANSFORMS[name](**chosen),
        together=name in _WHOLE_EXAMPLES,
        indices=targets if name == "silent_target" else None,
    )


def _check_range(name: str, low: float, high: float) -> None:
    if low >= high:
        raise UserError(f"augmentation {name}: low must be below high, got {low} and {high}")
    if name == "shift" and (low < -1 or high > 1):
        raise UserError(f"augmentation shift: -1 <= low < high <= 1, got {low} and {high}")
    if name == "band_limit" and (low <= 0 or high > 0.5):
        raise UserError(f"augmentation band_limit: 0 < low < high <= 0.5, got {low} and {high}")


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


def _parse(step: object) -> tuple[str, dict[str, float]]:
    if isinstance(step, str):
        return step, {}
    if isinstance(step, Mapping) and len(step) == 1:
        [(name, options)] = step.items()
        if isinstance(name, str) and (options is None or isinstance(options, Mapping)):
            return name, dict(options or {})
    raise UserError(f"an augmentation is a name, or one name and its options, got {step!r}")


def peak_normalise(
    mixture: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Divide each example by the highest peak among its mixture and targets.

    Mixtures `(B, C, L)` and targets `(B, S, C, L)` keep their shapes and get a joint peak of 1;
    silent examples are unchanged.
    """
    peak = torch.maximum(mixture.abs().amax(dim=(1, 2)), targets.abs().amax(dim=(1, 2, 3)))
    divisor = torch.where(peak > 0, peak, 1)
    return mixture / divisor[:, None, None], targets / divisor[:, None, None, None]
