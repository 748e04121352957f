"""Named streams of random numbers.

Every choice of the data set is drawn from a stream that is named after what it decides, so that
song N does not depend on which songs were made before it, nor by how many workers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*names: str | int) -> np.random.Generator:
    """Return a generator of random numbers that depends on `names` alone.

    The names are hashed, not drawn from: streams of different names have nothing in common, and
    the same names give the same numbers on every machine. PCG64 is named rather than left to
    numpy's default, which may change.

    Args:
        *names: any mix of text and integers, e.g. `generator(seed, "song", 12, "drums")`. Order
            counts, and 1 differs from "1".

    Raises:
        TypeError: for a name that is neither text nor an integer.
    """
    digest = hashlib.sha256()
    for name in names:
        if isinstance(name, bool) or not isinstance(name, (str, int, np.integer)):
            raise TypeError(f"a stream is named by text and integers, got {name!r}")
        kind = "s" if isinstance(name, str) else "i"
        text = str(name).encode()
        # The length keeps ("ab", "c") apart from ("a", "bc").
        digest.update(f"{kind}{len(text)}:".encode() + text)
    entropy = int.from_bytes(digest.digest(), "little")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
