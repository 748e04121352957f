"""Named streams of random numbers.

Every random choice is drawn from a stream named after its purpose, so that a song depends neither
on other songs nor on the number of workers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*names: str | int) -> np.random.Generator:
    """Return a random generator that depends on `names` alone.

    The seed is a hash of the names, so streams of different names are independent, and the same
    names give the same numbers on every machine. PCG64 is explicit because numpy's default may
    change.

    Args:
        *names: text and integers, e.g. `generator(seed, "song", 12, "drums")`. Their order matters,
            and 1 differs from "1".

    Raises:
        TypeError: for a name that is neither text nor an integer.
    """
    digest = hashlib.sha256()
    for name in names:
        if isinstance(name, bool) or not isinstance(name, (str, int, np.integer)):
            raise TypeError(f"names of a stream must be text or integers, got {name!r}")
        kind = "s" if isinstance(name, str) else "i"
        text = str(name).encode()
        # The length distinguishes ("ab", "c") from ("a", "bc").
        digest.update(f"{kind}{len(text)}:".encode() + text)
    entropy = int.from_bytes(digest.digest(), "little")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
