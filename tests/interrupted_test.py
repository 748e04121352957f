"""Separations and evaluations that are killed leave whole files only, and go on where they were."""

import json

import pytest

from . import processes
from .cli_test import main, save_network
from .sounds import noise, write
from .tiny_musdb import make_tiny_musdb


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with songs, a data set and a model."""
    root = tmp_path_factory.mktemp("place")
    (root / "music").mkdir()
    for number in range(4):
        write(root / "music" / f"{number}.wav", noise(20_000, seed=number, scale=0.4))
    make_tiny_musdb(root / "data", train=0, valid=0, test=4, seconds=1.0)
    save_network(root / "tiny.pth", ["vocals", "other"], last_source_as_residual=True)
    return root


def separation(place, output):
    arguments = [place / "music", "-o", output, "--model", place / "tiny.pth"]
    return [*arguments, "--skip-existing", "--device", "cpu"]


def evaluation(place, output):
    arguments = [place / "tiny.pth", "--root", place / "data", "-o", output, "--device", "cpu"]
    return arguments


def contents(folder):
    """Return the bytes of each visible file; of records, what does not depend on the time."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[str(name)] = path.read_bytes()
            if path.suffix == ".json":
                record = json.loads(found[str(name)])
                found[str(name)] = {key: record.get(key) for key in ("name", "scores", "n_tracks")}
                found[str(name)]["settings"] = record.get("settings", record.get("settings_hash"))
            elif path.suffix == ".csv":  # the last column is the computing time
                found[str(name)] = [line.rsplit(",", 1)[0] for line in path.read_text().split()]
    return found


PROGRAMS = {"separate": separation, "evaluate": evaluation}


@pytest.fixture(scope="module")
def whole(place):
    """What runs that nothing interrupted write."""
    for program, arguments in PROGRAMS.items():
        assert main(program, *arguments(place, place / "whole" / program)) == 0
    return {program: contents(place / "whole" / program) for program in PROGRAMS}


def kill(place, whole, program, root, seed, kills):
    """Kill runs that go on in the same folder, until so many processes were killed.

    Returns:
        The moments of the kills.
    """
    # A process that ends before its moment ends the run: on a fast machine that is frequent.
    moments, last = [], seed + 5 * kills
    while len(moments) < kills:
        assert seed < last, moments
        folder = root / str(seed)
        ends = processes.kill(program, seed, 8, folder, *PROGRAMS[program](place, folder))
        assert contents(folder) == whole[program]
        hidden = list(folder.rglob(".*"))
        if program == "separate":  # an empty folder may stay where the stems were complete
            assert not any(list(path.iterdir()) for path in hidden), (ends, hidden)
        else:  # a record that was being written keeps its hidden name, which nothing reads
            assert all(path.name.count(".") == 3 for path in hidden), hidden
        moments += [moment for moment, _ in ends[:-1]]
        seed += 1
    return moments


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_several_times(place, whole, tmp_path, program):
    assert len(whole[program]) > 5
    kill(place, whole, program, tmp_path, seed=1, kills=3)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_at_twenty_moments(place, whole, tmp_path, program):
    moments = kill(place, whole, program, tmp_path, seed=100, kills=20)
    assert len({(event, name) for event, name, *_ in moments}) >= 4, moments
