"""Fast renderers for tests of builds."""

import os
import time
from types import SimpleNamespace

import numpy as np

from openstems.dataset import BuildSettings
from openstems.music import RATE
from openstems.randomness import generator

STEMS = ("vocals", "drums", "bass", "other")


def settings(materials, **changes):
    """Return the settings of a small data set."""
    return BuildSettings(
        **{"n_songs": 4, "seconds": 4, "materials": materials, "workers": 1, **changes}
    )


def render(index, settings):
    """Return noise that depends on the song alone, with used names of the split."""
    samples = round(settings.seconds * RATE)
    stems = {
        name: generator(settings.seed, settings.split, index, name)
        .integers(-8000, 8000, (2, samples))
        .astype(np.int16)
        for name in STEMS
    }
    uses = {"piece": [f"{settings.split} {index}"], "speaker": [f"{settings.split} singer"]}
    return SimpleNamespace(stems=stems, entry={"materials": ["pysinsy"], "uses": uses})


def render_some(index, settings):
    """Render like `render`, but fail for song 1 of train."""
    if (settings.split, index) == ("train", 1):
        raise RuntimeError("no such tone")
    return render(index, settings)


def render_slowly(index, settings):
    """Render like `render`, but as slowly as music."""
    time.sleep(0.5)
    return render(index, settings)


def render_leaking(index, settings):
    """Render like `render`, but with one singer in all splits."""
    song = render(index, settings)
    song.entry["uses"]["speaker"] = ["the same singer"]
    return song


def render_loudly(index, settings):
    """Return stems whose sum exceeds 16 bits."""
    song = render(index, settings)
    song.stems = {name: np.full_like(stem, 9000) for name, stem in song.stems.items()}
    return song


def render_and_die(index, settings):
    """End the process, as the system does for lack of memory."""
    if index == 1:
        os._exit(9)
    return render(index, settings)
