"""Every example in a docstring runs, and everything public has a docstring."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import asteroid_bsrnn

PACKAGE = Path(asteroid_bsrnn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in FILES]
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def module_name(name: str) -> str:
    parts = Path("asteroid_bsrnn", name).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def examples(name: str) -> list[doctest.Example]:
    """The examples in a file's docstrings, found without importing it."""
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    nodes = [tree, *(node for node in ast.walk(tree) if isinstance(node, DEFINITIONS))]
    texts = [ast.get_docstring(node) or "" for node in nodes]
    return [example for text in texts for example in doctest.DocTestParser().get_examples(text)]


def test_examples_run():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    with_examples = [name for name in NAMES if examples(name)]
    known = {"bands.py", "models/bsrnn.py", "presets.py", "separation/separator.py"}
    assert known <= set(with_examples), "the search for examples finds these"
    for name in with_examples:
        results = doctest.testmod(importlib.import_module(module_name(name)), optionflags=flags)
        assert results.failed == 0, name
        assert results.attempted == len(examples(name)), f"{name}: an example is not found"


def undocumented(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Public definitions without a docstring; what lies inside functions is not public."""
    for node in body:
        if isinstance(node, (ast.If, ast.Try)):
            yield from undocumented([*node.body, *node.orelse], prefix)
        if not isinstance(node, DEFINITIONS) or node.name.startswith("_"):
            continue
        if not (ast.get_docstring(node) or "").strip():
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, f"{prefix}{node.name}.")


def test_everything_public_has_a_docstring():
    for name in NAMES:
        tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{name}: the module"
        missing = list(undocumented(tree.body))
        assert not missing, f"{name}: {missing}"


def test_the_search_finds_what_lacks_a_docstring():
    source = '''
def documented():
    """Yes."""
    def inner(): ...
def bare(): ...
def _private(): ...
class Class:
    """Yes."""
    def method(self): ...
    def __len__(self): ...
if True:
    class Conditional: ...
'''
    assert list(undocumented(ast.parse(source).body)) == ["bare", "Class.method", "Conditional"]
