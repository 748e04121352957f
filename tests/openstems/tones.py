"""A renderer that takes no time, for tests of everything around the songs."""

import os
import time
from types import SimpleNamespace

import numpy as np

from openstems.dataset import BuildSettings
from openstems.music import RATE
from openstems.randomness import generator

STEMS = ("vocals", "drums", "bass", "other")


def settings(materials, **changes):
    """Of a small data set."""
    return BuildSettings(
        **{"n_songs": 4, "seconds": 4, "materials": materials, "workers": 1, **changes}
    )


def render(index, settings):
    """Noise that depends on the song alone; what it uses is named after the split."""
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
    """As `render`, but song 1 of train cannot be made."""
    if (settings.split, index) == ("train", 1):
        raise RuntimeError("no such tone")
    return render(index, settings)


def render_slowly(index, settings):
    """As `render`, but as slow as music."""
    time.sleep(0.5)
    return render(index, settings)


def render_leaking(index, settings):
    """As `render`, but with one singer in all splits."""
    song = render(index, settings)
    song.entry["uses"]["speaker"] = ["the same singer"]
    return song


def render_loudly(index, settings):
    """Stems whose sum is beyond 16 bits."""
    song = render(index, settings)
    song.stems = {name: np.full_like(stem, 9000) for name, stem in song.stems.items()}
    return song


def render_and_die(index, settings):
    """As a process that the system ends for want of memory."""
    if index == 1:
        os._exit(9)
    return render(index, settings)
