"""Which part imports which, what importing the package needs, and what it registers."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asteroid_bsrnn

PACKAGE = Path(asteroid_bsrnn.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))

# For each part of the package (a module or a folder) the parts that it may import, besides itself,
# `errors`, `files`, `tables` and `_version`. Imports go down only.
LADDER: dict[str, set[str]] = {
    "_version": set(),
    "errors": set(),
    "files": set(),
    "tables": set(),
    "options": set(),
    "progress": set(),
    "bands": set(),
    "filterbank": set(),
    "audio": {"options"},
    "kernels": set(),
    "losses": set(),
    "memory": set(),
    "metrics": set(),
    "data": {"audio", "bands"},
    "masknn": {"bands", "kernels"},
    "separation": {"kernels", "memory", "options"},
    "models": {
        "audio", "bands", "filterbank", "kernels", "masknn", "memory", "options", "separation",
    },
    "presets": {"bands", "models"},
    "peers": {"bands", "filterbank", "models"},
    "weights": {"audio", "bands", "memory", "models", "peers", "presets", "progress"},
    "zoo": {"models", "options", "weights"},
    "export": {"models"},
    # A file apart from its folder, which models import: it loads models by name.
    "separation.separator": {
        "audio", "kernels", "memory", "options", "progress", "separation", "zoo",
    },
    "engine": {"costs", "kernels", "losses", "metrics", "separation"},
    "costs": {"bands"},
}  # fmt: skip
# What stands on top of all this, from below upwards.
TOP = ["evaluation", "report", "cli", "__init__", "__main__"]

# Imported inside functions only, where they are used, but for the places named below, which are
# themselves imported where they are used.
HEAVY = {
    "pytorch_lightning", "lightning", "musdb", "museval", "stempeg", "codecarbon", "omegaconf",
    "pandas", "matplotlib", "torch_audiomentations", "tensorboard", "librosa", "asteroid.engine",
    "asteroid.data", "triton", "norbert", "openunmix", "adjustText", "PIL", "onnx",
    "onnxruntime", "onnxscript",
}  # fmt: skip
HEAVY_PLACES = {
    "engine": {"pytorch_lightning", "lightning", "asteroid.engine", "omegaconf"},
    "data/transforms.py": {"torch_audiomentations"},
    "kernels/lstm_triton.py": {"triton"},
}
EXTRAS = sorted(name for name in HEAVY if "." not in name)


def part_of(path: Path) -> str:
    """Return the part of the package that a file belongs to."""
    return _part(list(path.relative_to(PACKAGE).with_suffix("").parts))


def _part(names: list[str]) -> str:
    file = ".".join(names[:2])
    return file if file in LADDER else names[0]


def imports_of(path: Path, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Absolute names of the modules that the import statements among `nodes` import."""
    module = ("asteroid_bsrnn", *path.relative_to(PACKAGE).with_suffix("").parts)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [*module[: -node.level]] if node.level else []
            parts += [node.module] if node.module else []
            for alias in node.names:
                yield ".".join([*parts, alias.name])


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from statements(node)


def parts_imported(path: Path) -> set[str]:
    """Other parts of the package that a file imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [name.split(".") for name in imports_of(path, ast.walk(tree))]
    # The package's own top names (`from asteroid_bsrnn import BSRNN`) count as importing all of it.
    places = {part_of(file).split(".")[0] for file in FILES}
    parts = {
        _part(name[1:]) if len(name) > 1 and name[1] in places else "__init__"
        for name in names
        if name[0] == "asteroid_bsrnn"
    }
    return parts - {part_of(path)}


def test_every_part_has_its_place():
    assert {part_of(path) for path in FILES} <= {*LADDER, *TOP}
    for part, below in LADDER.items():
        assert below <= LADDER.keys(), part
    order: list[str] = []
    waiting = dict(LADDER)
    while waiting:
        free = [part for part, below in waiting.items() if below <= set(order)]
        assert free, f"a circle: {sorted(waiting)}"
        order += free
        for part in free:
            del waiting[part]


def test_imports_go_down_only():
    for path in FILES:
        part, imported = part_of(path), parts_imported(path)
        if part in LADDER:
            wrong = imported - {*LADDER[part], "errors", "files", "tables", "_version"}
        else:
            wrong = imported & set(TOP[TOP.index(part) :])
        assert not wrong, f"{path.relative_to(PACKAGE)} may not import {sorted(wrong)}"


def test_the_ladder_sees_the_imports_there_are():
    assert {"models", "weights"} <= parts_imported(PACKAGE / "zoo.py")
    assert "bands" in parts_imported(PACKAGE / "masknn" / "mask.py")
    assert "errors" in parts_imported(PACKAGE / "audio" / "reader.py")
    assert parts_imported(PACKAGE / "bands.py") == set()


def test_heavy_packages_are_imported_where_they_are_used():
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        place = path.relative_to(PACKAGE).as_posix()
        refused = HEAVY - HEAVY_PLACES.get(place, HEAVY_PLACES.get(part_of(path), set()))
        for name in imports_of(path, statements(tree)):
            heavy = any(f"{name}.".startswith(f"{package}.") for package in refused)
            assert not heavy, f"{place}: {name} is imported with the module"


def test_the_package_imports_nothing_that_stands_beside_it():
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {name.split(".")[0] for name in imports_of(path, ast.walk(tree))}
        beside = names & {"egs", "tests", "hubconf", "examples", "tools", "benchmarks"}
        assert not beside, f"{path.relative_to(PACKAGE)}: {beside}"


# --- importing the package -----------------------------------------------------------------------

SCRIPT = """
import importlib, json, sys

hidden = set(json.loads(sys.argv[1]))


class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by the test)", name=name)


sys.meta_path.insert(0, Hide())

import asteroid_filterbanks
import asteroid.models
import torch
from asteroid import separate

registrations = []
for registry, name in ((asteroid.models, "register_model"),
                       (asteroid_filterbanks, "register_filterbank")):
    def wrapper(cls, original=getattr(registry, name)):
        registrations.append(cls.__name__)
        return original(cls)
    setattr(registry, name, wrapper)
before = set(sys.modules)
host, registered = dict(vars(separate)), set(vars(asteroid.models))

import asteroid_bsrnn

assert vars(separate) == host, "the host is left alone"
own_models = sorted(set(vars(asteroid.models)) - registered)
loaded = sorted({name.split(".")[0] for name in set(sys.modules) - before})
importlib.reload(asteroid_bsrnn)
importlib.reload(asteroid_bsrnn)
once = list(registrations)
for name in json.loads(sys.argv[2]):
    importlib.import_module(name)

from asteroid_bsrnn import peers

assert asteroid.models.get("XUMXPeer") is peers.XUMXPeer
assert vars(separate) == host, "the host is left alone"

# A fresh import in the same process, as after torch.hub has removed a module.
for name in [name for name in sys.modules if name.split(".")[0] == "asteroid_bsrnn"]:
    del sys.modules[name]
import asteroid_bsrnn as again

models = {name: asteroid.models.get(name) for name in
          ("BSRNN", "bsrnn", "BSCNN", "bscnn", "PerSourceSeparator", "persourceseparator")}
assert all(models[name] is models[name.lower()] for name in models)
model = models["BSRNN"](feature_dim=4, n_repeats=1).eval()
conf = model.serialize()
wav = torch.randn(1, 2, 8000)
with torch.no_grad():  # as separate runs it, which a CPU rounds otherwise than with gradients
    assert torch.equal(model.separate(wav), model(wav))
encoder, decoder = asteroid_filterbanks.make_enc_dec("fft_stft", 512, 512, 128)
print(json.dumps({
    "loaded": loaded,
    "models": own_models,
    "once": once,
    "engine": [name for name in sys.modules if name.startswith("asteroid.engine")],
    "modules": {name: cls.__module__ for name, cls in models.items()},
    "current": models["BSRNN"] is again.BSRNN,
    "filterbank": type(encoder.filterbank).__name__,
    "versions": conf["infos"]["software_versions"],
}))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> dict:
    """What importing the package does where there is no ffmpeg and no extra."""
    folder = tmp_path_factory.mktemp("imports")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PATH": str(folder), "PYTHONPATH": str(ROOT)}
    environment["OMP_NUM_THREADS"] = "1"
    modules = [
        ".".join(("asteroid_bsrnn", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in FILES
        if path.name not in ("__init__.py", "__main__.py")
        and not path.relative_to(PACKAGE).as_posix().startswith(tuple(HEAVY_PLACES))
    ]
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(EXTRAS), json.dumps(modules)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_needs_neither_ffmpeg_nor_an_extra(imported):
    assert "asteroid_bsrnn" in imported["loaded"]
    assert not set(imported["loaded"]) & set(EXTRAS)
    assert not imported["engine"]


def test_importing_registers_once(imported):
    assert sorted(imported["once"]) == [
        "BSCNN", "BSRNN", "Ensemble", "FFTSTFTFB", "PerSourceSeparator"
    ]  # fmt: skip
    assert imported["models"] == ["BSCNN", "BSRNN", "Ensemble", "PerSourceSeparator"]
    assert imported["modules"]["bscnn"] == "asteroid_bsrnn.models.bscnn"
    assert imported["current"], "a fresh import's classes take the place of the earlier ones"
    assert imported["filterbank"] == "FFTSTFTFB"


def test_serializing_needs_no_lightning(imported):
    assert set(imported["versions"]) == {
        "torch_version", "pytorch_lightning_version", "asteroid_version"
    }  # fmt: skip


def test_public_names():
    """Adding or removing one changes the package's interface."""
    assert set(asteroid_bsrnn.__all__) == {
        "BSCNN", "BSRNN", "FFTSTFTFB", "PerSourceSeparator", "Separator", "UserError",
        "__version__", "data", "metrics", "presets", "zoo",
    }  # fmt: skip
    missing = [name for name in asteroid_bsrnn.__all__ if not hasattr(asteroid_bsrnn, name)]
    assert not missing, "in __all__ only"
    assert issubclass(asteroid_bsrnn.UserError, ValueError)
