"""Queries of scores."""

from openstems.music import CHORD_INTERVALS, Chord, Note, Part, Score, Section, by_start, chord_at


def _score():
    bass = Part("bass", 33, (Note(0.0, 1.0, 40, 90),))
    left = Part("guitar", 29, (Note(0.0, 2.0, 52, 90),), "left")
    right = Part("guitar", 29, (Note(0.0, 2.0, 52, 90),), "right")
    chords = (Chord(0.0, 2.0, 4, "min"), Chord(2.0, 4.0, 9, "7"))
    sections = (Section("verse", 0.0, 2.0, 0.5), Section("chorus", 2.0, 4.0, 0.9))
    return Score(
        4.0, 120.0, 4, 4, "minor", (0.0, 2.0), chords, sections, (bass, left, right), {"a": 1}
    )


def test_parts_are_found_by_role():
    score = _score()
    assert [part.name for part in score.part("guitar")] == ["left", "right"]
    assert score.part("vocals") == ()


def test_chords_are_found_by_time():
    chords = _score().chords
    assert chord_at(chords, 1.99).quality == "min" and chord_at(chords, 2.0).quality == "7"
    assert chord_at(chords, 4.0) is None


def test_chords_are_spelled_from_their_root():
    assert Chord(0.0, 1.0, 9, "7").pitch_classes == (9, 1, 4, 7)
    for quality, intervals in CHORD_INTERVALS.items():
        assert intervals[0] == 0 and len(set(intervals)) == len(intervals), quality


def test_notes_are_ordered_by_start_then_pitch():
    notes = [Note(1.0, 2.0, 50, 1), Note(0.0, 3.0, 60, 1), Note(1.0, 2.0, 40, 1)]
    assert [note.pitch for note in by_start(notes)] == [60, 40, 50]
    assert notes[0].duration == 1.0
