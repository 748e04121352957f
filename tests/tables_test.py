"""Tables of values: rounding, and what the writers make of values, intervals, marks and links."""

import csv
import io

import pytest

from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.tables import (
    EMPTY,
    Cell,
    Column,
    Table,
    rounded,
    to_csv,
    to_latex,
    to_markdown,
    to_text,
    write,
)

TABLE = Table(
    ["Model", ""],
    [Column("uSDR", "dB", 2), Column("energy", "kWh")],
    [
        (
            ["`a_b`", "50 %"],
            [
                Cell(7.126, 6.5, 8.0, link="a b/c#1.json"),
                Cell(1234.5, 1.0, 2.0, 3, ("unfinished",)),
            ],
        ),
        (["a|b", ""], [Cell(-0.001, signed=True), Cell(0.0123456, marks=("extrapolated",))]),
        (["none", ""], [EMPTY, Cell(float("nan"), 1.0, 2.0)]),
    ],
)


def test_rounding():
    for value, decimals, signed, text in [
        (None, 1, False, ""),
        (float("nan"), None, False, ""),
        (7.25, 1, False, "7.2"),
        (-0.04, 1, False, "0.0"),
        (-0.04, 1, True, "0.0"),
        (0.06, 1, True, "+0.1"),
        (-0.06, 1, True, "-0.1"),
        (1234.5, None, False, "1234"),
        (99.96, None, False, "100"),
        (32.329, None, False, "32.3"),
        (0.012345, None, False, "0.0123"),
        (127, None, False, "127"),
    ]:
        assert rounded(value, decimals, signed) == text, (value, decimals, signed)


def test_text():
    assert [line.split() for line in to_text(TABLE).splitlines()] == [
        ["Model", "uSDR", "(dB)", "energy", "(kWh)"],
        ["a_b", "50", "%", "7.13", "1234†"],
        ["[6.50,", "8.00]", "(1", "to", "2,", "n=3)"],
        ["a|b", "0.00", "≈0.0123"],
    ]
    assert TABLE.legend() == [
        "≈ extrapolated from some epochs.",
        "† the training has not come to its end.",
    ]


def test_markdown():
    lines = to_markdown(TABLE).splitlines()
    assert lines[:3] == [
        "| Model |  | uSDR (dB) | energy (kWh) |",
        "| --- | --- | ---: | ---: |",
        "| `a_b` | 50 % | [7.13](<a b/c#1.json>) [6.50, 8.00] | 1234† (1 to 2, n=3) |",
    ]
    assert lines[3:] == [r"| a\|b |  | 0.00 | ≈0.0123 |", "| none |  |  |  |"]


def test_latex():
    lines = to_latex(TABLE, ["a comment"]).splitlines()
    assert lines[:2] == ["% a comment", r"\begin{tabular}{llrr}"]
    assert lines[5] == (
        r"\texttt{a\_b} & 50 \% & \href{run:a b/c\#1.json}{7.13} {\scriptsize [6.50, 8.00]} & "
        r"1234$^\dagger$ {\scriptsize (1 to 2, n=3)} \\"
    )
    assert lines[6] == r"a|b &  & 0.00 & $\approx$0.0123 \\"


def test_csv_is_not_rounded():
    text = to_csv(["a", "b"], [[1 / 3, None], ["x,y", float("nan")]])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], [str(1 / 3), ""], ["x,y", ""]]


def test_files_by_their_suffix(tmp_path):
    write(tmp_path / "new" / "a.md", {".md": lambda: "text\n", ".csv": lambda: ""})
    assert (tmp_path / "new" / "a.md").read_text() == "text\n"
    with pytest.raises(UserError, match=r"must end in one of \.md, \.csv"):
        write(tmp_path / "a.xls", {".md": str, ".csv": str})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "file" / "a.md", {".md": str})
