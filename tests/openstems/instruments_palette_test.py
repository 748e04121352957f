"""The choice of instruments: splits, plain types, reproducible sound."""

import json

import numpy as np
import pytest

from openstems.instruments import banks, palette, recordings
from openstems.materials import Materials
from openstems.music import RATE, Note
from openstems.randomness import generator
from tests.openstems.instruments_own_test import check_sound

ROLES = ("drums", "bass", "guitar", "keys", "pad", "strings", "lead", "brass", "choir")
SPLITS = ("train", "valid", "test")
DRUM_NOTES = tuple(Note(i * 0.2, i * 0.2 + 0.1, p, 100) for i, p in enumerate((36, 42, 38, 46, 49)))
NOTES = tuple(Note(i * 0.3, i * 0.3 + 0.28, p, 100) for i, p in enumerate((45, 48, 52)))


def notes_for(role):
    return DRUM_NOTES if role == "drums" else NOTES


@pytest.mark.parametrize("split", SPLITS)
def test_pip_alone_serves_every_role_of_every_split(split, pip_materials):
    for role in ROLES:
        choice = palette.choose(role, split, pip_materials, generator(1, role, split))
        assert choice["material"] is None, role
        sound = palette.render(choice, notes_for(role), RATE, generator(2), pip_materials)
        check_sound(sound, RATE)


@pytest.mark.parametrize("split", SPLITS)
def test_a_choice_read_back_plays_the_same_samples(split, materials):
    for seed in range(2):
        for role in ROLES:
            choice = palette.choose(role, split, materials, generator(seed, role))
            # Kits and recordings of apt, which these tests do not download, have their own tests.
            if choice["kind"] == "kit":
                continue
            again = json.loads(json.dumps(choice))
            assert again == choice
            one, two = (
                palette.render(found, notes_for(role), RATE, generator(seed), materials)
                for found in (choice, again)
            )
            check_sound(one, RATE)
            assert np.array_equal(one, two)


@pytest.mark.parametrize("profile", ["clean", "full"])
def test_splits_share_nothing(profile):
    materials = Materials(profile=profile)
    used = {}
    for split in SPLITS:
        for seed in range(40):
            for role in ("drums", "bass", "guitar", "lead"):
                choice = palette.choose(role, split, materials, generator(seed, role, split))
                for kind, names in choice["uses"].items():
                    used.setdefault(kind, {}).setdefault(split, set()).update(names)
    assert set(used) == {"soundfont_family", "kit_family", "synthesizer_mode"}
    for splits in used.values():
        assert set(splits) == set(SPLITS)
        assert not splits["train"] & splits["valid"]
        assert not splits["train"] & splits["test"]
        assert not splits["valid"] & splits["test"]


def test_families_and_songs_belong_to_one_split():
    families = {}
    for source in banks.SOURCES.values():
        assert families.setdefault(source.family, source.split) == source.split
    songs = [song for split in SPLITS for song in recordings.SPLIT_SONGS[split]]
    assert len(songs) == len(set(songs))


def test_a_clean_build_uses_no_source_of_the_profile_full():
    clean = Materials(profile="clean")
    for split in SPLITS:
        for sources in (banks.SOUNDFONTS, banks.KITS):
            chosen = banks.usable(sources, split, clean)
            assert chosen
            assert all(source.profile == "clean" for source in chosen)


def test_programs_stay_within_the_role(materials):
    for seed in range(40):
        choice = palette.choose("bass", "train", materials, generator(seed))
        if choice["kind"] == "soundfont":
            assert 32 <= choice["program"] <= 39


def test_an_unknown_role_is_an_error(pip_materials):
    with pytest.raises(ValueError, match="vocals"):
        palette.choose("vocals", "train", pip_materials, generator(0))
