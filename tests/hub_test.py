"""`torch.hub` on a plain copy of the repository that nobody installed, in a process of its own."""

from __future__ import annotations

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import asteroid_bsrnn
from asteroid_bsrnn import presets, zoo
from asteroid_bsrnn.weights import checkpoint

from . import study
from .models_test import build
from .web_server import Server

ROOT = Path(asteroid_bsrnn.__file__).parents[1]
ENTRY_POINTS = {
    "bsrnn", "bsrnn_large", "bscnn", "obsrnn_notac", "obsrnn", "simo_bsrnn", "obsrnn_simo",
    "separator",
}  # fmt: skip

# Runs where no installation of the package can be found: torch.hub must find the copy's own.
SCRIPT = """
import json, sys, warnings
from pathlib import Path

root, copy, weights, answers = map(Path, sys.argv[1:])
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != root.resolve()]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
assert not any((Path(entry) / "asteroid_bsrnn").exists() for entry in sys.path)

import torch

# list and help know GitHub only; the copy lies where they look for an earlier download.
torch.hub.set_dir(copy.parent)
repository = {"github": "owner/repository:main", "skip_validation": True, "trust_repo": True}
copy = str(copy)
found = {"list": torch.hub.list(**repository)}
# Later calls import more of the package.
found["files"] = [module.__file__ for name, module in list(sys.modules.items())
                  if name.split(".")[0] == "asteroid_bsrnn"]
found["help"] = {name: torch.hub.help(model=name, **repository) for name in found["list"]}


def load(*arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = torch.hub.load(copy, *arguments, source="local", **options)
        except Exception as error:
            return None, {"error": [type(error).__name__, str(error)]}
    mine = [str(w.message) for w in caught if "random" in str(w.message)]
    description = {"class": type(model).__name__, "sources": list(model.sources), "warnings": mine}
    if isinstance(model, torch.nn.Module):
        description["parameters"] = sum(p.numel() for p in model.parameters())
        networks = getattr(model, "networks", [model])
        description["networks"] = [network.get_model_args() for network in networks]
    return model, description


found["obsrnn"] = load("obsrnn")[1]
for name in sorted(set(found["list"]) - {"obsrnn", "separator"}):
    options = {} if "simo" in name else {"sources": "vocals"}
    model, found[name] = load(name, feature_dim=8, n_repeats=1, **options)
found["two"] = load("bscnn", sources=["bass", "drums"], feature_dim=8, n_repeats=1)[1]
found["simo_sources"] = load("simo_bsrnn", sources="vocals")[1]
found["unknown_option"] = load("bsrnn", n_fft=2048)[1]
found["missing"] = load("obsrnn", "obsrnn")[1]
found["unknown"] = load("bsrnn", "bsnn")[1]
found["no_separator"] = load("separator", "obsrnn")[1]
found["pretrained"] = load("obsrnn_simo", pretrained=True)[1]
found["again"] = load("separator", "obsrnn_simo", stems=["drums"])[1]
found["unpublished"] = load("bscnn", pretrained=True)[1]
found["both"] = load("obsrnn_simo", "obsrnn_simo", pretrained=True)[1]

model, found["file"] = load("bsrnn", str(weights))
with torch.no_grad():
    found["file"]["output"] = model(torch.linspace(-1, 1, 600).view(1, 2, 300)).flatten().tolist()

separator, found["separator"] = load("separator")
mixture = (torch.arange(2 * 8000).reshape(2, 8000).sin() / 2).numpy()
stems = separator.separate(mixture, sample_rate=16000)
found["stems"] = {name: [type(stem).__name__, *stem.shape] for name, stem in stems.items()}

import asteroid_bsrnn

found["package"] = asteroid_bsrnn.__file__
answers.write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> dict:
    """What torch.hub answered, in the process that runs `SCRIPT`."""
    folder = tmp_path_factory.mktemp("hub")
    copy = folder / "hub" / "owner_repository_main"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "asteroid_bsrnn", copy / "asteroid_bsrnn", ignore=ignored)
    shutil.copy(ROOT / "hubconf.py", copy)
    weights = checkpoint.save_model(build("all"), folder / "weights.pth")
    (folder / "script").mkdir()
    script = folder / "script" / "hub_script.py"
    script.write_text(SCRIPT)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"ASTEROID_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    answers = folder / "answers.json"
    archive = study.archive(folder / "simo.zip", [study.SOURCES], optimized=True)
    with Server({archive.name: archive}) as server:
        sizes = {"feature_dim": 4, "n_repeats": 1}
        published = {
            "obsrnn_simo": study.entry(archive, [server.url("simo.zip")], "obsrnn_simo", **sizes),
            "obsrnn": study.entry(archive, [server.url("none.zip")], "obsrnn", **sizes),
        }
        registry = study.write_registry(folder / "registry.json", published)
        environment |= {"ASTEROID_BSRNN_REGISTRY": str(registry), "no_proxy": "*"}
        done = subprocess.run(
            [sys.executable, str(script), str(ROOT), str(copy), str(weights), str(answers)],
            cwd=folder / "script",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert len(server.asked("simo.zip")) == 1, "downloaded once"
    assert done.returncode == 0, done.stderr
    found = json.loads(answers.read_text())
    assert Path(found["package"]).is_relative_to(copy)
    return found


def test_list_and_help(hub):
    assert set(hub["list"]) == ENTRY_POINTS
    for name, text in hub["help"].items():
        assert text and "rguments as for" in text or "Args:" in text, name


def test_no_name_means_random_weights_and_says_so(hub):
    fresh = hub["obsrnn"]
    assert fresh["class"] == "PerSourceSeparator"
    assert fresh["sources"] == ["vocals", "bass", "drums", "other"]
    assert [network["bands"] for network in fresh["networks"]] == [None] * 4
    assert {network["feature_dim"] for network in fresh["networks"]} == {128}
    with torch.device("meta"):
        preset = presets.build_separator("obsrnn")
    assert fresh["parameters"] == sum(parameter.numel() for parameter in preset.parameters())
    for name in ENTRY_POINTS - {"separator"}:
        (warning,) = hub[name]["warnings"]
        assert warning.startswith(f"{name}: no weights were named, so these are random")


def test_options_reach_the_network(hub):
    for name in ENTRY_POINTS - {"separator", "obsrnn"}:
        found = hub[name]
        simo = "simo" in name
        assert found["sources"] == (["vocals", "bass", "drums", "other"] if simo else ["vocals"]), (
            name
        )
        assert found["class"] == ("BSRNN" if simo else "PerSourceSeparator")
        assert {network["feature_dim"] for network in found["networks"]} == {8}
    heads = {name: hub[name]["networks"][0]["attention_heads"] for name in ("bsrnn", "obsrnn")}
    assert heads == {"bsrnn": 0, "obsrnn": 2}
    stereo = {name: hub[name]["networks"][0]["stereo"] for name in ("obsrnn_notac", "obsrnn_simo")}
    assert stereo == {"obsrnn_notac": None, "obsrnn_simo": "tac"}
    assert hub["two"]["sources"] == ["bass", "drums"]
    assert "time_dilations" in hub["two"]["networks"][0]
    assert hub["simo_sources"]["error"][0] == "ValueError"
    kind, message = hub["unknown_option"]["error"]
    assert kind == "TypeError" and "'n_fft'" in message and "n_filters" in message


def test_a_file_is_loaded_without_a_warning(hub):
    assert hub["file"]["warnings"] == []
    assert hub["file"]["sources"] == ["a", "b"]
    with torch.no_grad():
        expected = build("all")(torch.linspace(-1, 1, 600).view(1, 2, 300)).flatten()
    torch.testing.assert_close(torch.tensor(hub["file"]["output"]), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", ["missing", "no_separator"])
def test_weights_that_are_not_there_are_never_random(hub, case):
    kind, message = hub[case]["error"]
    assert kind == "UserError"
    assert message.startswith("obsrnn: simo.zip: ")
    assert "download failed (127.0.0.1: HTTP 404 Not Found)" in message


def test_pretrained_weights_by_the_name_of_the_entry_point(hub):
    assert hub["pretrained"]["class"] == "BSRNN" and hub["pretrained"]["warnings"] == []
    assert hub["pretrained"]["sources"] == study.SOURCES
    assert hub["again"]["class"] == "Separator" and hub["again"]["sources"] == ["drums"]


def test_weights_that_nobody_published_are_refused(hub):
    kind, message = hub["unpublished"]["error"]
    assert kind == "UserError" and message.startswith("bscnn: nobody has published")
    assert "obsrnn_simo, obsrnn" in message
    kind, message = hub["both"]["error"]
    assert kind == "UserError" and "either pretrained=True or the name" in message


def test_an_unknown_name_is_refused(hub):
    kind, message = hub["unknown"]["error"]
    assert kind == "UserError" and "'bsnn'" in message and zoo.DEFAULT in message


def test_the_separator_separates(hub):
    assert hub["separator"]["class"] == "Separator"
    assert hub["separator"]["warnings"] == []
    assert hub["stems"] == {
        name: ["ndarray", 2, 8000] for name in ("vocals", "drums", "bass", "other")
    }


def test_dependencies_are_complete_and_importable(hub):
    tree = ast.parse((ROOT / "hubconf.py").read_text())
    (listed,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "dependencies"
    )
    for name in listed:
        importlib.import_module(name)
    imported = set()
    for path in hub["files"]:
        for node in ast.parse(Path(path).read_text()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    needed = imported - set(sys.stdlib_module_names) - {"asteroid_bsrnn"}
    assert needed <= set(listed)
    assert {"torch", "asteroid", "soundfile"} <= needed
