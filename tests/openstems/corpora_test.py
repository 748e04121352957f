"""MIDI pieces of packages: search, splits and excerpts."""

import io
import logging
import struct
from pathlib import Path

import mido
import numpy as np
import pytest

from openstems import corpora
from openstems.composer import compose
from openstems.corpora import analysis, midi, mma, roles
from openstems.corpora.sources import lumps
from openstems.materials import default_directory
from openstems.music import Note, Part, chord_at
from openstems.randomness import generator
from openstems.splits import SPLITS, split_of_digest

SECONDS = 20.0


class Folder:
    """Materials unpacked in a folder."""

    def __init__(self, root, *names):
        self.root, self.names = Path(root), names

    def path(self, name):
        return self.root / name


@pytest.fixture(scope="module")
def simutrans(materials):
    return Folder(materials.path("simutrans-data").parent, "simutrans-data")


def _unpacked(*names):
    """Skip without materials that need the profile full or a large download."""
    missing = [name for name in names if not (default_directory() / name).is_dir()]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    return Folder(default_directory(), *names)


def _midi(score, programs=True):
    """Return a score as the bytes of a MIDI file, with a tempo of 120."""
    file = mido.MidiFile(ticks_per_beat=480)
    for number, part in enumerate(score.parts):
        channel = 9 if part.role == "drums" else number + (number >= 9)
        events = []
        for note in part.notes:
            key = {"channel": channel, "note": note.pitch}
            events.append((note.start, mido.Message("note_on", velocity=note.velocity, **key)))
            events.append((note.end - 0.004, mido.Message("note_off", **key)))
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=part.name)])
        program = part.program if programs else 0
        track.append(mido.Message("program_change", channel=channel, program=program))
        now = 0
        for time, message in sorted(events, key=lambda event: event[0]):
            tick = round(time * 960)
            track.append(message.copy(time=max(0, tick - now)))
            now = max(now, tick)
        file.tracks.append(track)
    stream = io.BytesIO()
    file.save(file=stream)
    return stream.getvalue()


def _song(name, programs=True):
    return _midi(compose(40, generator("corpora test", name), "rock"), programs)


def _wad(path, **contents):
    """Return a WAD archive with the given lumps."""
    body, entries = b"", b""
    for name, data in contents.items():
        entries += struct.pack("<II8s", 12 + len(body), len(data), name.encode())
        body += data
    header = struct.pack("<4sII", b"IWAD", len(contents), 12 + len(body))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + body + entries)


@pytest.fixture
def doom(tmp_path):
    """Make two archives that share a song; one also has a damaged song."""
    folder = tmp_path / "freedoom/usr/share/games/doom"
    _wad(
        folder / "freedoom1.wad", D_E1M1=_song("a"), D_BAD=b"MThd\0\0", E1M1=b"", D_E1M2=_song("b")
    )
    _wad(folder / "freedoom2.wad", D_MAP01=_song("a"), D_MAP02=_song("c"), D_OGG=b"OggS")
    return Folder(tmp_path, "freedoom")


def test_lumps_are_read_in_order(doom):
    file = doom.path("freedoom") / "usr/share/games/doom/freedoom2.wad"
    names = [name for name, _ in lumps(file)]
    assert names == ["D_MAP01", "D_MAP02", "D_OGG"]
    assert dict(lumps(file))["D_OGG"] == b"OggS"


@pytest.mark.parametrize("damage", [lambda d: b"PK" + d, lambda d: d[:-5], lambda d: d[:6]])
def test_damaged_archives_are_refused(doom, damage):
    file = doom.path("freedoom") / "usr/share/games/doom/freedoom1.wad"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"freedoom1\.wad"):
        list(lumps(file))


def test_a_piece_in_two_archives_is_one_piece(doom):
    found = corpora.all_pieces(doom)
    assert len(found) == 3 and len({piece.digest for piece in found}) == 3
    assert sum(piece.name == "freedoom1 D_E1M1" for piece in found) == 1
    assert not any("MAP01" in piece.name for piece in found)


def test_broken_files_are_left_out_by_name(doom, caplog):
    with caplog.at_level(logging.WARNING):
        found = corpora.all_pieces(doom)
    assert any("D_BAD" in line for line in caplog.messages)
    assert not any("D_BAD" in piece.name for piece in found)


def test_copies_with_other_instruments_have_the_same_digest():
    assert midi.read(_song("a")).digest == midi.read(_song("a", programs=False)).digest
    assert midi.read(_song("a")).digest != midi.read(_song("b")).digest


def test_reading_gives_the_notes_in_seconds():
    score = compose(20, generator("corpora test", "times"), "rock")
    song = midi.read(_midi(score))
    drums = next(track for track in song.tracks if track.is_drum)
    starts = [note.start for note in score.part("drums")[0].notes]
    assert [note.start for note in drums.notes] == pytest.approx(starts, abs=0.002)
    assert np.diff(song.bars)[:-1] == pytest.approx(2.0) and song.beats_per_bar == 4


def test_tempo_metre_pedal_and_volume():
    file = mido.MidiFile(ticks_per_beat=100)
    meta = [
        mido.MetaMessage("time_signature", numerator=6, denominator=8),
        mido.MetaMessage("set_tempo", tempo=500_000),
        mido.MetaMessage("set_tempo", tempo=1_000_000, time=200),
    ]
    control = [
        mido.Message("control_change", control=7, value=25),
        mido.Message("control_change", control=64, value=127),
        mido.Message("note_on", note=60, velocity=100),
        mido.Message("note_off", note=60, time=100),
        mido.Message("control_change", control=64, value=0, time=200),
        mido.Message("note_on", note=62, velocity=100, time=100),
        mido.Message("note_off", note=62, time=200),
    ]
    file.tracks += [mido.MidiTrack(meta), mido.MidiTrack(control)]
    stream = io.BytesIO()
    file.save(file=stream)
    song = midi.read(stream.getvalue())
    held, plain = song.tracks[0].notes
    assert (held.start, held.end) == pytest.approx((0.0, 2.0)) and held.velocity == 50
    assert (plain.start, plain.end) == pytest.approx((3.0, 5.0))
    assert song.beats_per_bar == 2 and song.bars == pytest.approx((0.0, 2.0, 5.0))


@pytest.mark.parametrize("data", [b"", b"no midi", b"MThd" + bytes(20)])
def test_data_that_are_not_midi(data):
    with pytest.raises(ValueError):
        midi.read(data)


def test_splits_share_nothing_and_have_the_right_sizes(simutrans):
    found = corpora.all_pieces(simutrans)
    splits = {name: corpora.pieces(simutrans, name) for name in SPLITS}
    assert sum(map(len, splits.values())) == len(found) > 40
    assert len({piece.digest for piece in found}) == len(found)
    assert list(found) == sorted(found)
    for name, pieces in splits.items():
        assert pieces and all(split_of_digest(piece.digest) == name for piece in pieces)
    assert len(splits["train"]) > len(splits["valid"]) + len(splits["test"]) - 5


def test_missing_materials_have_no_pieces():
    assert corpora.pieces(Folder("/nowhere"), "train") == ()
    assert corpora.all_pieces(Folder("/nowhere", "simutrans-data")) == ()


@pytest.fixture(scope="module")
def excerpts(simutrans):
    """Return pieces and excerpts of them."""
    return [
        (piece, corpora.excerpt(piece, SECONDS, generator("excerpt", index)))
        for index, piece in enumerate(corpora.all_pieces(simutrans)[:20])
    ]


def test_excerpts_have_a_band_and_a_voice(excerpts):
    active = []
    for piece, score in excerpts[:12]:
        assert score.seconds == SECONDS and score.origin["digest"] == piece.digest
        for part in score.parts:
            for note in part.notes:
                assert 0 <= note.start < note.end <= SECONDS and 0 <= note.pitch <= 127
        drums = {int(note.start) for part in score.part("drums") for note in part.notes}
        bass = {int(note.start) for part in score.part("bass") for note in part.notes}
        active.append((len(drums) / SECONDS, len(bass) / SECONDS))
        (vocals,) = score.part("vocals")
        for before, after in zip(vocals.notes, vocals.notes[1:], strict=False):
            assert before.end <= after.start + 1e-9
        assert all(48 <= note.pitch <= 84 for note in vocals.notes)
        assert sum(note.duration for note in vocals.notes) > 0.3 * SECONDS
        assert any(part.role not in ("drums", "bass", "vocals") for part in score.parts)
        assert score.bars[0] == 0 and score.chords[0].start == 0
        assert score.chords[-1].end == score.sections[-1].end == SECONDS
    assert np.mean(active, axis=0).min() > 0.6


def test_the_same_stream_gives_the_same_excerpt(simutrans):
    piece = corpora.all_pieces(simutrans)[0]
    first = corpora.excerpt(piece, SECONDS, generator(1))
    assert first == corpora.excerpt(piece, SECONDS, generator(1))
    assert first != corpora.excerpt(piece, SECONDS, generator(2))


def test_the_origin_has_window_transposition_and_stretch(excerpts):
    shifts = set()
    for piece, score in excerpts[:12]:
        origin = score.origin
        start, stop = origin["window"]
        assert 0.9 <= origin["stretch"] <= 1.12 and abs(origin["transposition"]) <= 4
        assert stop - start == pytest.approx(SECONDS * origin["stretch"], abs=1e-3)
        shifts.add(origin["transposition"])
        song = midi.read(piece.file.read_bytes())
        drums = {(round(n.start, 3), n.pitch) for t in song.tracks if t.is_drum for n in t.notes}
        pitched = {}
        for track in song.tracks:
            for note in track.notes if not track.is_drum else ():
                pitched.setdefault(round(note.start, 3), set()).add(note.pitch)
        length = song.bars[-1] - song.bars[0]
        for part in score.parts:
            for note in part.notes if part.role != "vocals" else ():
                source = start + note.start * origin["stretch"]
                if note.start < 0.05 or source > length - 0.1:
                    continue
                near = [round(source + k * 0.001, 3) for k in (-1, 0, 1)]
                if part.role == "drums":
                    assert any((time, note.pitch) in drums for time in near)
                elif part.role == "bass":
                    classes = {p % 12 for time in near for p in pitched.get(time, ())}
                    assert (note.pitch - origin["transposition"]) % 12 in classes
                else:
                    played = {p for time in near for p in pitched.get(time, ())}
                    assert note.pitch - origin["transposition"] in played
    assert len(shifts) > 3


def test_the_sung_melody_is_removed_from_the_instruments(excerpts):
    taken = 0
    for piece, score in excerpts:
        if score.origin["melody"] == "composed":
            continue
        taken += 1
        (vocals,) = score.part("vocals")
        sung = {(round(note.start, 3), note.pitch % 12) for note in vocals.notes}
        for part in score.parts:
            if part.role not in ("vocals", "drums", "bass"):
                played = {(round(note.start, 3), note.pitch % 12) for note in part.notes}
                twice = len(sung & played) / len(sung)
                assert twice < 0.8 or len(played) > 2 * len(sung), (piece.name, part.name)
    assert taken > 3


def test_short_pieces_are_repeated(doom):
    piece = corpora.all_pieces(doom)[0]
    score = corpora.excerpt(piece, 100, generator(3))
    assert max(note.start for note in score.part("drums")[0].notes) > 90
    with pytest.raises(ValueError, match="at least one second"):
        corpora.excerpt(piece, 0, generator(3))


def test_programs_have_roles():
    assert [roles.role(p) for p in (0, 27, 33, 48, 52, 61, 73, 81, 89)] == [
        "keys", "guitar", "bass", "strings", "pad", "brass", "lead", "lead", "pad"
    ]  # fmt: skip
    assert roles.role(119) is None and roles.role(127) is None


def test_sung_melodies_are_legato_with_breaths():
    notes = tuple(Note(k * 0.5, k * 0.5 + 0.25, 72 + k % 3, 90) for k in range(30))
    sung = roles.singable(Part("lead", 80, notes), 15.0)
    gaps = [b.start - a.end for a, b in zip(sung, sung[1:], strict=False)]
    assert sum(gap == 0 for gap in gaps) > 20
    assert 1 <= sum(gap > 0.1 for gap in gaps) <= 6
    assert all(48 <= note.pitch <= 84 for note in sung)


def test_key_and_chords_are_found():
    """The analysis finds the composed chords in most bars."""
    keys, right, total = 0, 0, 0
    for index in range(20):
        score = compose(40, generator("analysis", index), "acoustic")
        others = [part for part in score.parts if part.role != "vocals"]
        lines = [*score.bars, 40.0]
        tones = analysis.chroma(others, lines)
        bass = analysis.chroma(score.part("bass"), lines)
        keys += analysis.key(tones)[0] in (score.key, (score.key + 3) % 12, (score.key - 3) % 12)
        for bar, (root, _) in zip(score.bars, analysis.chords(tones, bass), strict=True):
            chord = chord_at(score.chords, min(bar + 0.05, 39.99))
            if chord.end - chord.start > 0.9 * (score.bars[1] - score.bars[0]):
                right += root == chord.root
                total += 1
    assert keys >= 15 and right / total > 0.85


def test_analysis_of_silence():
    assert analysis.key(np.zeros((2, 12))) == (0, "major")
    assert analysis.chords(np.zeros((2, 12)), np.zeros((2, 12))) == [(0, "maj")] * 2


def test_freedoom_has_no_duplicates():
    found = corpora.all_pieces(_unpacked("freedoom"))
    archives = {file: dict(lumps(file)) for file in {piece.file for piece in found}}
    songs = [midi.read(archives[piece.file][piece.lump]) for piece in found]
    played = {
        tuple((round(n.start, 2), n.pitch) for t in song.tracks for n in t.notes[:40])
        for song in songs
    }
    assert len(played) == len(found) > 40
    assert {piece.file.stem for piece in found} == {"freedoom1", "freedoom2"}


def test_mma_plays_our_chords_the_same_way_twice():
    materials = _unpacked("mma")
    found = corpora.all_pieces(materials)
    assert len(found) > 40
    piece = next(piece for piece in found if piece.name == "8beat")
    score = corpora.excerpt(piece, 12.0, generator(4))
    assert score == corpora.excerpt(piece, 12.0, generator(4))
    assert score.part("drums") and score.part("bass") and score.part("vocals")
    assert score.origin["groove"] and score.origin["transposition"] == 0
    bass = [note for part in score.part("bass") for note in part.notes if note.start < 11.9]
    fits = [n.pitch % 12 in chord_at(score.chords, n.start + 0.05).pitch_classes for n in bass]
    assert np.mean(fits) > 0.6


def test_mma_styles_name_their_grooves():
    text = (
        "DefGroove Waltz\n  defgroove Waltz1 brighter\nDefGroove WaltzIntro\nDefGroove WaltzEnd\n"
    )
    assert mma.grooves(text) == ["Waltz", "Waltz1"]
