"""One spelling: British, with -ise, `licence` as the noun, and `cannot`.

The test reads prose: pages without their code, docstrings and comments. Names in code keep the
spelling of the libraries that they belong to.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = ["."]

STEMS = (
    "equali|generali|initiali|maximi|minimi|normali|optimi|organi|parallelli|paralleli|penali"
    "|quanti|randomi|recogni|regulari|seriali|summari|synchroni|synthesi|utili|vectori|visuali"
)
WORDS = {
    rf"\w*(?:{STEMS})z(?:e[ds]?|ers?|ing|ations?)": "-ise",
    r"licenses?": "licence, the noun",
    r"analyz(?:e[ds]?|ers?|ing)": "analyse",
    r"(?:dis)?color(?:s|ed|ing)?": "colour",
    r"behaviors?": "behaviour",
    r"center(?:s|ed|ing)?": "centre",
    r"gray": "grey",
    r"(?:un)?label(?:ed|ing)|(?:re)?model(?:ed|ing)|cancel(?:ed|ing)|signal(?:ed|ing)": "-lled",
    r"catalogs?": "catalogue",
    r"artifacts?": "artefact",
    r"fulfill": "fulfil",
    r"can['’]t": "cannot",
}
# Not within a name of code: before and behind it stand no underscore, dot, slash or bracket.
PATTERN = re.compile(
    r"(?<![\w./=-])(?:" + "|".join(f"({word})" for word in WORDS) + r")(?![\w/=(-]|\.\w)",
    re.IGNORECASE,
)
# File names, and words in titles of papers.
NAMES = {"LICENSE", "LICENSES"}
TITLES = ["sub-band modeling for speech separation"]


def page_prose(text: str) -> str:
    """Text of a page, its code and the targets of its links blanked."""
    text = re.sub(r"^```.*?^```", blank, text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\]\([^)]*\)|`[^`]*`|<[^>]*>|https?:\S+", blank, text)


def script_prose(text: str) -> str:
    """Comments of a shell script, a Makefile or a configuration, the rest blanked."""
    lines = [re.search(r"(?:^|\s)#.*$", line) for line in text.splitlines()]
    return page_prose("\n".join(comment.group() if comment else "" for comment in lines))


def python_prose(text: str) -> str:
    """Comments and docstrings of Python code, the rest blanked."""
    lines = [""] * (text.count("\n") + 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = token.string
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            part = slice(node.body[0].lineno - 1, node.body[0].end_lineno)
            # Names of arguments are names of code.
            lines[part] = [re.sub(r"^ *\w+:", "", line) for line in text.splitlines()[part]]
    lines = [line if not line.lstrip().startswith((">>>", "...")) else "" for line in lines]
    return page_prose("\n".join(lines))


def blank(match: re.Match) -> str:
    """As many line breaks as the match has."""
    return "\n" * match.group().count("\n")


READERS = {
    ".md": page_prose, ".py": python_prose, ".sh": script_prose, ".yml": script_prose,
    ".cfg": script_prose, ".toml": script_prose, "": script_prose,
}  # fmt: skip


def mistakes(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, word and rule of each spelling that is not the project's."""
    for number, line in enumerate(text.splitlines(), start=1):
        for title in TITLES:
            line = line.replace(title, "")
        for match in PATTERN.finditer(line):
            if match.group() not in NAMES:
                yield number, match.group(), list(WORDS.values())[match.lastindex - 1]


def files(*places: str) -> list[Path]:
    """Files under version control, without the outputs that others wrote."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *places],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in paths if path.suffix in READERS and path.is_file()]


def test_one_spelling():
    texts = {path: path.read_text(encoding="utf-8") for path in files(*PLACES)}
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word} ({rule})"
        for path, text in texts.items()
        if PATTERN.search(text)  # else neither does its prose match
        for number, word, rule in mistakes(READERS[path.suffix](text))
    ]
    assert not found, "\n".join(found)


def test_mistakes_are_found_in_prose_only():
    page = "We can't normalize.\n```\ncolor\n```\n[License](LICENSE) `optimizer` a.center\nLabeled"
    assert [(line, word) for line, word, _ in mistakes(page_prose(page))] == [
        (1, "can't"), (1, "normalize"), (5, "License"), (6, "Labeled"),
    ]  # fmt: skip
    code = '"""The center."""\nnormalize = "color"  # a catalog\n\n\ndef f():\n    """Gray."""\n'
    assert [word for _, word, _ in mistakes(python_prose(code))] == ["center", "catalog", "Gray"]
    assert [word for _, word, _ in mistakes(script_prose("color=1  # behavior"))] == ["behavior"]
