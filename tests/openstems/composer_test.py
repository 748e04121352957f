"""Properties of composed songs, measured over many of them."""

import collections

import numpy as np
import pytest

from openstems.composer import compose
from openstems.composer.bass import COMPUTED, FIGURES, FIGURES_12
from openstems.composer.comping import KINDS
from openstems.composer.drums import DRUMS, FILLS, GROOVES, LEVELS
from openstems.composer.form import plan
from openstems.composer.grid import Grid, Meter
from openstems.composer.harmony import CLOSES, LOOPS, MOVES, ladder, parse, voicing
from openstems.composer.styles import STYLES
from openstems.music import CHORD_INTERVALS, ROLES, SECTION_NAMES, chord_at
from openstems.randomness import generator

SONGS = 100
SECONDS = 30.0


@pytest.fixture(scope="module")
def songs():
    return [compose(SECONDS, generator("composer test", index)) for index in range(SONGS)]


def _notes(score, *roles):
    return [note for part in score.parts if part.role in roles for note in part.notes]


def _sounding(notes, seconds):
    """Return the share of the time in which at least one note sounds."""
    active = np.zeros(round(seconds * 100), bool)
    for note in notes:
        active[int(note.start * 100) : int(note.end * 100)] = True
    return active.mean()


OTHERS = tuple(role for role in ROLES if role not in ("drums", "bass", "vocals"))


def test_a_song_depends_on_its_stream_alone():
    assert compose(20, generator(1, "song")) == compose(20, generator(1, "song"))
    assert compose(20, generator(1, "song")) != compose(20, generator(2, "song"))


def test_every_note_is_playable_and_within_the_song(songs):
    for score in songs:
        assert score.seconds == SECONDS
        for part in score.parts:
            assert part.role in ROLES and 0 <= part.program <= 127 and part.notes
            starts = [note.start for note in part.notes]
            assert starts == sorted(starts)
            for note in part.notes:
                assert 0 <= note.start < note.end <= SECONDS
                assert 0 <= note.pitch <= 127 and 1 <= note.velocity <= 127


def test_roles_and_ranges(songs):
    for score in songs:
        assert score.part("drums") and score.part("bass") and score.part("vocals")
        assert _notes(score, *OTHERS)
        assert {note.pitch for note in _notes(score, "drums")} <= set(DRUMS.values())
        assert all(26 <= note.pitch <= 50 for note in _notes(score, "bass"))
        assert all(48 <= note.pitch <= 84 for note in _notes(score, "vocals"))
        assert all(36 <= note.pitch <= 96 for note in _notes(score, *OTHERS))
    low = [28 <= note.pitch <= 46 for score in songs for note in _notes(score, "bass")]
    assert np.mean(low) > 0.92


def test_excerpts_are_dense(songs):
    """In nearly every song, drums, bass, others and voice play most of the time."""
    drums = [len(_notes(score, "drums")) / SECONDS for score in songs]
    bass = [_sounding(_notes(score, "bass"), SECONDS) for score in songs]
    others = [_sounding(_notes(score, *OTHERS), SECONDS) for score in songs]
    vocals = [_sounding(_notes(score, "vocals"), SECONDS) for score in songs]
    assert np.percentile(drums, 5) > 3 and max(drums) < 25
    assert np.mean(bass) > 0.75 and np.percentile(bass, 5) > 0.35
    assert np.mean(others) > 0.9 and np.percentile(others, 5) > 0.45
    assert 0.62 < np.mean(vocals) < 0.8 and np.percentile(vocals, 5) > 0.5


def test_the_voice_sings_one_note_at_a_time_in_phrases(songs):
    lengths = []
    for score in songs:
        notes = _notes(score, "vocals")
        count = 1
        for before, after in zip(notes, notes[1:], strict=False):
            assert before.end <= after.start + 1e-9
            if after.start - before.end < 1e-6:
                count += 1
                continue
            # Rests are long enough for a breath.
            assert after.start - before.end > 0.1
            lengths.append(count)
            count = 1
        lengths.append(count)
    assert max(lengths) <= 12 and 4 < np.mean(lengths) < 10


def test_the_voice_moves_by_steps_and_returns_to_its_motifs(songs):
    steps, repeated = [], []
    for score in songs:
        notes = _notes(score, "vocals")
        moves = [b.pitch - a.pitch for a, b in zip(notes, notes[1:], strict=False)]
        steps += [abs(move) for move in moves]
        figures = [tuple(moves[i : i + 3]) for i in range(len(moves) - 2)]
        counts = collections.Counter(figures)
        repeated.append(sum(counts[figure] > 1 for figure in figures) / len(figures))
    assert np.mean(np.array(steps) <= 2) > 0.5 and np.mean(np.array(steps) > 9) < 0.03
    assert np.mean(repeated) > 0.4


def test_bass_and_voice_agree_with_the_chords(songs):
    """Nearly all bass notes on the first beat, and most sung ones, are chord tones."""
    bass, voice, shuffled = [], [], []
    for score in songs:
        bars = np.array(score.bars)
        for note in _notes(score, "bass"):
            if np.abs(bars - note.start).min() < 0.03:
                tones = chord_at(score.chords, min(note.start + 0.03, SECONDS - 0.01)).pitch_classes
                bass.append(note.pitch % 12 in tones)
                shuffled.append((note.pitch + 6) % 12 in tones)
        for note in _notes(score, "vocals"):
            voice.append(note.pitch % 12 in chord_at(score.chords, note.start).pitch_classes)
    assert np.mean(bass) > 0.95 and np.mean(voice) > 0.65
    assert np.mean(shuffled) < 0.3


def test_chords_bars_and_sections_cover_the_song(songs):
    for score in songs:
        assert score.bars[0] == 0 and all(np.diff(score.bars) > 0)
        assert score.chords[0].start == 0 and score.chords[-1].end == SECONDS
        assert score.sections[0].start == 0 and score.sections[-1].end == SECONDS
        for spans in (score.chords, score.sections):
            for before, after in zip(spans, spans[1:], strict=False):
                assert before.end == pytest.approx(after.start)
        assert all(section.name in SECTION_NAMES for section in score.sections)
        assert all(0 <= section.energy <= 1 for section in score.sections)
        assert 65 <= score.tempo <= 180
        bar = np.median(np.diff(score.bars))
        assert 60 / bar * score.beats_per_bar == pytest.approx(score.tempo, rel=0.03)


def test_songs_differ(songs):
    assert len({score.origin["style"] for score in songs}) > 20
    assert len({score.origin["drums"]["verse"] for score in songs}) > 20
    assert len({score.key for score in songs}) == 12
    assert {score.mode for score in songs} == {"major", "minor"}
    firsts = [tuple(note.pitch for note in _notes(score, "vocals")[:8]) for score in songs]
    assert len(set(firsts)) == SONGS


def test_every_style_can_be_asked_for():
    for style in STYLES:
        score = compose(12, generator("style", style), style)
        assert score.origin["style"] == style
        assert all(map(score.part, ("drums", "bass", "vocals"))), style


def test_chords_and_basses_are_held_over_bar_lines():
    """In styles of slow chords, each note lasts exactly as long as its chord."""
    longest = {"bass": [], "other": []}
    for index in range(20):
        score = compose(SECONDS, generator("slow", index), "wall_of_guitars")
        bar = np.median(np.diff(score.bars))
        for name, roles in (("bass", ("bass",)), ("other", OTHERS)):
            notes = _notes(score, *roles)
            longest[name].append(max(note.end - note.start for note in notes) / bar)
            held = [note for note in notes if note.end - note.start > 1.1 * bar]
            for note in held:
                middle, late = note.start + 0.1 * bar, note.end - 0.1 * bar
                first, last = chord_at(score.chords, middle), chord_at(score.chords, late)
                assert (first.root, first.quality) == (last.root, last.quality)
                assert note.pitch % 12 in {*first.pitch_classes, (first.root + 7) % 12}
    assert np.mean(np.array(longest["other"]) > 1.9) > 0.3 and max(longest["other"]) > 3.5
    assert np.mean(np.array(longest["bass"]) > 1.9) > 0.2
    assert max(map(max, longest.values())) < 16.5


def test_a_long_song_has_a_whole_form():
    for index in range(3):
        score = compose(150, generator("long", index))
        names = [section.name for section in score.sections]
        assert names[-1] == "outro" and names[-2] == "chorus" and "verse" in names
        assert score.chords[-1].end == 150
        verse = [s.energy for s in score.sections if s.name == "verse"]
        chorus = [s.energy for s in score.sections if s.name == "chorus"]
        assert np.mean(chorus) > np.mean(verse)
        # The last chord is the tonic and rings to the end.
        assert score.chords[-1].root == score.key
        assert max(note.end for part in score.parts for note in part.notes) > 147


def test_choruses_return_with_the_same_chords():
    score = compose(200, generator("form", 3))
    chorus = [section for section in score.sections if section.name == "chorus"]
    first, second = (
        [(c.root, c.quality) for c in score.chords if s.start - 0.05 < c.start < s.end - 0.1]
        for s in chorus[:2]
    )
    assert first[:4] == second[:4]


def test_any_length_can_be_asked_for():
    for seconds, count in ((1, 6), (2.5, 6), (74.9, 2), (75, 2), (300, 1)):
        for index in range(count):
            score = compose(seconds, generator("length", index))
            assert score.seconds == seconds and score.part("drums"), seconds
            assert all(note.end <= seconds for part in score.parts for note in part.notes), seconds


def test_wrong_lengths_and_styles_are_refused():
    with pytest.raises(ValueError, match="at least one second"):
        compose(0.5, generator(1))
    with pytest.raises(ValueError, match="unknown style 'polka'"):
        compose(10, generator(1), "polka")


def test_tables_are_well_formed():
    assert len(GROOVES) >= 20 and len(FIGURES) >= 10 and len(KINDS) >= 8
    for name, groove in GROOVES.items():
        for drum, text in groove.lines.items():
            assert drum in DRUMS and set(text) <= {*LEVELS, "."}, name
            assert len(text) % groove.steps == 0, (name, drum)
    assert all(len(text) == 16 for text in FIGURES.values())
    assert all(len(text) == 12 for text in FIGURES_12.values())
    for name, kind in KINDS.items():
        assert all(len(text) == 16 for text in kind.rhythms.split()), name
        assert all(len(text) == 12 for text in kind.rhythms_12.split()), name
        assert kind.style == "riff" or kind.rhythms and kind.rhythms_12, name
    for name, style in STYLES.items():
        steps = style.meter.steps_per_bar
        figures = FIGURES if steps == 16 else FIGURES_12
        assert all(GROOVES[g].steps == steps for g in style.verse + style.chorus), name
        assert set(style.bass + style.bass_chorus) <= {*figures, *COMPUTED}, name
        assert all(kind in KINDS for layer in style.layers for kind in layer.kinds), name
        assert set(style.fills) <= set(FILLS), name


def test_all_chord_symbols_can_be_read_and_the_grammar_has_no_dead_end():
    symbols = {symbol for loops in LOOPS.values() for loop in loops for symbol in loop.split()}
    for symbol in symbols:
        offset, quality = parse(symbol)
        assert 0 <= offset < 12 and quality in CHORD_INTERVALS, symbol
    assert parse("bVII") == (10, "maj") and parse("iv7") == (5, "min7")
    for mode, moves in MOVES.items():
        assert CLOSES[mode] in moves
        assert all(target in moves for targets in moves.values() for target in targets)


def test_voicings_move_little():
    c_major = voicing((0, 4, 7), (), 53, 74, 4)
    f_major = voicing((5, 9, 0), c_major, 53, 74, 4)
    assert len(c_major) == len(f_major) == 4
    assert {pitch % 12 for pitch in f_major} == {5, 9, 0}
    assert all(53 <= pitch <= 74 for pitch in c_major + f_major)
    assert sum(min(abs(p - q) for q in c_major) for p in f_major) <= 6


def test_melodies_bend_the_scale_where_the_chord_leaves_it():
    # E7 in A minor: G sharp instead of G; B flat major in C major: B flat instead of B.
    assert {p % 12 for p in ladder(9, "minor", (4, 8, 11, 2), 48, 71)} == {9, 11, 0, 2, 4, 5, 8}
    assert {p % 12 for p in ladder(0, "major", (10, 2, 5), 48, 71)} == {0, 2, 4, 5, 7, 9, 10}


def test_swing_delays_off_beats_alone():
    grid = Grid((0.0, 2.0, 4.0), 4, swing=2 / 3, pair=1.0)
    assert grid.seconds([0, 0.5, 1, 4, 5.5]) == pytest.approx([0, 1 / 3, 0.5, 2, 2.5 + 1 / 3])
    assert float(grid.seconds(9)) == pytest.approx(4.5) and float(grid.seconds(-1)) == -0.5


def test_length_of_forms():
    for index in range(30):
        rng = generator("form", index)
        for bars, whole in ((4, False), (17, False), (60, True), (301, True)):
            sections = plan(bars, whole, 1, rng)
            assert sections[0].bar == 0 and sections[-1].end == bars
            for before, after in zip(sections, sections[1:], strict=False):
                assert before.end == after.bar and after.bars > 0


def test_meters_count_sixteenths():
    assert [Meter(4, 4).steps_per_bar, Meter(2, 6).steps_per_bar] == [16, 12]
