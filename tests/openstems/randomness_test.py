"""Named random streams."""

import numpy as np
import pytest

from openstems.randomness import generator

EXPECTED = [342, 974, 594, 374, 573, 775]


def test_the_same_names_give_the_same_numbers_on_every_machine():
    # Fixed numbers, because a data set must not depend on numpy's version or the platform.
    assert generator(7, "song", 12, "drums").integers(0, 1000, 6).tolist() == EXPECTED
    assert np.array_equal(generator(1, "a").random(5), generator(1, "a").random(5))


@pytest.mark.parametrize(
    "other",
    [(7, "song", 13), (8, "song", 12), ("song", 7, 12), (7, "song", "12"), (7, "son", "g", 12)],
)
def test_other_names_give_other_numbers(other):
    assert not np.array_equal(generator(7, "song", 12).random(8), generator(*other).random(8))


def test_names_are_delimited():
    assert generator("ab", "c").random() != generator("a", "bc").random()


def test_numpy_integers_are_integers():
    assert generator(np.int64(5)).random() == generator(5).random()


@pytest.mark.parametrize("name", [1.5, None, b"drums", True])
def test_other_kinds_of_names_are_refused(name):
    with pytest.raises(TypeError, match="text or integers"):
        generator(1, name)
