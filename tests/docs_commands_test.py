"""The commands and Python examples of the documentation run, or at least parse.

Commands of README.md and docs/ run on short files, a tiny data set and the weights in the package.
What cannot run here is listed in `PARSED_ONLY`; it still goes through the real parsers. Commands of
the recipes' READMEs are parsed: the tests of the recipes run them.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

import asteroid_bsrnn
from asteroid_bsrnn import cli, presets
from asteroid_bsrnn.weights import checkpoint

from .sounds import RATE, noise, write
from .tiny_musdb import make_tiny_musdb, make_tiny_recipe
from .tiny_networks import FEW_BANDS
from .warm_python import python

ROOT = Path(asteroid_bsrnn.__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted(path.with_name("README.md") for path in (ROOT / "egs").rglob("run.sh"))
RECIPE_PAGES = [ROOT / "benchmarks" / "README.md", *RECIPES]

# Commands of PAGES that are parsed only, by a pattern, and why.
PARSED_ONLY = {
    r"^(make|pip|\.) ": "sets up the environment that this test runs in, or runs the tests",
    r"/data/musdb18": "needs MUSDB18 or MUSDB18-HQ, which must be requested",
    r"/data/(moisesdb|slakh2100|dnr)": "needs this data; recipe_stems_test.py makes small sets",
    r"--model (obsrnn|hf:)|models \S+ --(download|remove)": "downloads weights, or removes them",
    r"compare spleeter": "downloads Spleeter's weights",
    r"convert": "needs checkpoints of the study's code; reference_test.py has some",
    r"--device cuda": "needs a GPU",
    r"finetune/run.sh": "needs a teacher's estimates; recipe_finetune_test.py makes some",
    r"egs/openstems": "downloads materials and renders music; tests/openstems does so",
    r"ray_separate": "needs Ray; ray_example_test.py runs it where there is one",
    r"sbatch": "needs SLURM; the lines below it run what each job of the array does",
    r"asteroid-bsrnn export|separate_onnx": "takes a minute; export_test.py runs it",
    r"benchmarks/": "measures for minutes; benchmarks_test.py runs it",
}

# Options that make a command of the package take less time.
SHORTER = {"compare": ("--cost-seconds", "0.5", "--cost-repeats", "1")}


class Command(NamedTuple):
    """One command of a page, joined to a line."""

    page: Path
    text: str

    @property
    def words(self) -> list[str]:
        """The program and its arguments, without comments and variables set for the command."""
        words = shlex.split(self.text, comments=True)
        while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words.pop(0)
        return words

    @property
    def reason(self) -> str | None:
        """Why the command is parsed only."""
        if self.page in RECIPE_PAGES:
            return "the tests of the recipe run it"
        return next((why for text, why in PARSED_ONLY.items() if re.search(text, self.text)), None)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[Command]:
    """The commands in the page's `sh` blocks."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", "").splitlines():
            if line.strip() and not line.startswith("#"):
                yield Command(page, line)


COMMANDS = [command for page in PAGES for command in commands(page)]


def test_each_reason_applies():
    """No pattern is stale, and most of the package's commands run."""
    for pattern in PARSED_ONLY:
        assert any(re.search(pattern, command.text) for command in COMMANDS), pattern
    run = [command for command in COMMANDS if command.reason is None]
    assert {"separate", "models", "evaluate", "compare", "report"} <= {c.words[1] for c in run}
    assert len(run) > 12


# --- commands that are parsed ---------------------------------------------------------------------


class Parsed(Exception):
    """The program has understood its arguments."""


def parse(command: Command, monkeypatch) -> None:
    """Have the command's real parser read its arguments."""
    program, *arguments = command.words
    program = program.removeprefix(".venv/bin/")
    if program == "asteroid-bsrnn":
        cli._parser(arguments).parse_args(arguments)
    elif program == "python":
        parse_script(find(command.page, arguments[0]), arguments[1:], monkeypatch)
    elif program == "sbatch" or program == "examples/slurm_separate.sh":
        script = next(word for word in command.words if word.endswith(".sh"))
        subprocess.run(["bash", "-n", find(command.page, script)], check=True)
    elif program.endswith(".sh"):
        parse_recipe(find(command.page, program), arguments, command.page.parent)
    elif program == "make":
        subprocess.run(["make", "-n", *arguments], cwd=ROOT, check=True, capture_output=True)
    elif program == "pip":
        check_extras(arguments)
    else:
        assert program in (".", "cd"), "a program without a parser here"


def find(page: Path, name: str) -> Path:
    """A program named in a page: relative to the page's folder, or to the repository."""
    path = next((p for p in (page.parent / name, ROOT / name) if p.is_file()), None)
    assert path is not None, f"{name}: no such file"
    return path


def parse_script(path: Path, arguments: list[str], monkeypatch) -> None:
    """Run a script until its parser has returned."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(parser, *args, **kwargs):
        parse_args(parser, *args, **kwargs)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", [str(path), *arguments])
        patch.setattr(sys, "path", [str(path.parent), *sys.path])
        with pytest.raises(Parsed):
            runpy.run_path(str(path), run_name="__main__")


def parse_recipe(path: Path, arguments: list[str], folder: Path) -> None:
    """Let a shell script read its options up to `--help`; check the row and the configuration."""
    program = os.path.relpath(path)  # as users call it
    done = subprocess.run(
        [program, *arguments, "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    recipe = ROOT / "egs" / "musdb18hq" / "BSRNN"
    row = options.get("--row", "bsrnn")
    places = (recipe / "conf" / "rows" / f"{row}.yml", folder / row, ROOT / row)
    assert any(place.is_file() for place in places), row
    known = yaml.safe_load((recipe / "local" / "conf.yml").read_text())
    for change in options.get("--set", "").split():
        group, key = change.split("=")[0].split(".")
        assert group == "model" or key in known[group], change


def check_extras(arguments: list[str]) -> None:
    """`pip install .[extra]` names extras that setup.cfg has."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = [name for text in arguments for name in re.findall(r"\[(.*)\]", text)]
    known = setup["options.extras_require"]
    assert all(name in known for names in named for name in names.split(",")), named


@pytest.mark.parametrize("page", [*PAGES, *RECIPE_PAGES], ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_parse(page, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for command in commands(page):
        try:
            parse(command, monkeypatch)
        except SystemExit as error:
            assert error.code == 0, f"{command.text}\n{capsys.readouterr().err}"
        except Exception as error:
            raise AssertionError(command.text) from error


# --- commands that run ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A folder with the files that the documentation names, and the recipes beside them."""
    folder = tmp_path_factory.mktemp("docs")
    sound = noise(RATE // 4)  # short, since most commands separate it
    song = write(folder / "song.wav", sound)
    long = write(folder / "long.wav", np.tile(sound, 241))  # a little more than a minute
    (folder / "album").mkdir()
    shutil.copy(song, folder / "album" / "one.wav")
    two = ["-map", "0", "-map", "1", "-c:a", "aac"]
    for inputs, options in [
        ([song], ["song.mp3"]),
        ([song], ["song.flac"]),
        ([long], ["-c:a", "alac", "concert.m4a"]),
        ([song, song], [*two, "film.mp4"]),
    ]:
        given = [word for path in inputs for word in ("-i", path)]
        subprocess.run(["ffmpeg", "-v", "error", *given, *options], cwd=folder, check=True)
    make_tiny_recipe(folder, train=2, valid=1, test=1, seconds=1.5)
    shutil.copytree(folder / "data" / "test", folder / "demucs_stems")
    network = presets.build("simo_bsrnn", None, feature_dim=8, n_repeats=1, bands=FEW_BANDS)
    checkpoint.save_model(network, folder / "model.pth")
    (folder / "bag.yml").write_text(blocks(ROOT / "docs" / "separate.md", "yaml")[0])
    for name in ("egs", "examples", "hubconf.py"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def lengthen_training_tracks(folder: Path) -> None:
    """Make tracks in which parts of six seconds, the unit of activity, can be active."""
    shutil.rmtree(folder / "data" / "train")
    make_tiny_musdb(folder / "data", train=2, test=0, seconds=6.5, held_out_seconds=1.5)


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """A warm interpreter first, the programs beside this one's, and this package."""
    command = tmp_path_factory.mktemp("bin") / "asteroid-bsrnn"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(python())} -m asteroid_bsrnn "$@"\n')
    command.chmod(0o755)
    folders = [command.parent, Path(python()).parent, Path(sys.executable).parent]
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run(page, material, environment, tmp_path, monkeypatch, capsys):
    to_run = [command for command in commands(page) if command.reason is None]
    if not to_run:
        pytest.skip("no command of this page can run here")
    shutil.copytree(material, tmp_path, symlinks=True, dirs_exist_ok=True)
    if page.name == "train.md":
        lengthen_training_tracks(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", python())  # starts the processes that measure costs
    for command in to_run:
        if command.words[0] == "asteroid-bsrnn":  # in this process, to save the imports
            arguments = [*command.words[1:], *SHORTER.get(command.words[1], ())]
            code, output = cli.main(arguments), capsys.readouterr().err
        else:
            line = ["bash", "-c", command.text]
            done = subprocess.run(line, env=environment, capture_output=True, text=True)
            code, output = done.returncode, done.stdout + done.stderr
        assert code == 0, f"{command.text}\n{output}"
    check_results(page.name, tmp_path)


def check_results(page: str, folder: Path) -> None:
    """The commands of a page write what the page says."""
    expected = {
        "README.md": ["stems/song/vocals.wav", "stems/song/other.wav"],
        "separate.md": [
            "stems/song/drums.wav", "stems/one/bass.wav", "karaoke/song/no_vocals.wav",
            "stems/song/bass.flac", "stems/concert/vocals.wav", "stems/film/vocals.wav",
            "averaged_bag/song/vocals.wav", "flat/one-drums.mp3", "by_stem/other/song.opus",
        ],
        "clusters.md": ["stems/one/vocals.flac", "several/one/bass.wav"],
        "train.md": [
            "runs/train_bsrnn_vocals_trial/ledger.json", "trial/song/vocals.wav", "table.md",
            "two/song/accompaniment.wav", "evaluation",
        ],
        "evaluate.md": ["table.md", "table.tex", "report/index.html", "report/tables"],
    }  # fmt: skip
    missing = [name for name in expected.get(page, []) if not (folder / name).exists()]
    assert not missing, missing


def test_python_examples_run(material, environment, tmp_path):
    """Each example runs in a namespace of its own, all in one process.

    Of examples on MUSDB18-HQ only the imports run.
    """
    shutil.copytree(material, tmp_path, symlinks=True, dirs_exist_ok=True)
    lengthen_training_tracks(tmp_path)
    script = ["import sys", "sys.path.insert(0, '.')"]
    for page in PAGES:
        for number, code in enumerate(blocks(page, "python"), start=1):
            where = f"{page.name}, example {number}"
            if "/data/musdb18" in code:
                code = "\n".join(re.findall(r"^(?:from|import) .*", code, re.MULTILINE))
            script.append(f"exec(compile({code!r}, {where!r}, 'exec'), {{}})")
    done = subprocess.run(
        [python(), "-W", "ignore", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere():
    """Relative links of README.md and docs/ lead to files, and their anchors to headings."""
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            target = target / "README.md" if anchor and target.is_dir() else target
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(
                    r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE
                )
                anchors = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
                assert anchor in anchors, f"{page.name}: {link}"
