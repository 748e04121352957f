"""Audio effects on numpy arrays of shape (2, samples), float32 at 44.1 kHz.

An effect chain is plain data, a list of dictionaries such as
`{"effect": "peak", "frequency": 900.0, "gain": -3.0, "q": 1.0}`, which a
manifest can store and `process` can run again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import dynamics, filters, modulation, saturation, space

_FILTERS = {
    name: getattr(filters, name)
    for name in ("peak", "low_shelf", "high_shelf", "high_pass", "low_pass", "steep_low_pass")
}
_EFFECTS = {
    "compress": dynamics.compress,
    "deess": dynamics.deess,
    "shape_transients": dynamics.shape_transients,
    "saturate": saturation.saturate,
    "amplify": saturation.amplify,
    "chorus": modulation.chorus,
    "double": modulation.double,
    "wow": modulation.wow,
    "delay": space.delay,
    "reverberate": space.reverberate,
    "pan": space.pan,
    "widen": space.widen,
    "mono_below": space.mono_below,
}
NAMES = tuple(sorted({**_FILTERS, **_EFFECTS}))


def process(sound: np.ndarray, chain: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Run a chain of effects.

    Args:
        sound: shape (2, L), float32 at 44.1 kHz.
        chain: effects in order. The key "effect" is one of `NAMES`; the other keys are arguments of
            the function of that name in this package.

    Returns:
        Shape (2, L), float32.

    Raises:
        ValueError: for an unknown effect.
    """
    waiting: list[np.ndarray] = []
    for link in chain:
        arguments = {key: value for key, value in link.items() if key != "effect"}
        name = link["effect"]
        if name in _FILTERS:
            # Consecutive filters run as one cascade, in one pass over the samples.
            waiting.append(_FILTERS[name](**arguments))
        elif name in _EFFECTS:
            sound = _EFFECTS[name](filters.equalize(sound, *waiting), **arguments)
            waiting = []
        else:
            raise ValueError(f"unknown effect {name!r}: choose from {', '.join(NAMES)}")
    return filters.equalize(sound, *waiting).astype(np.float32, copy=False)
