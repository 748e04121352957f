"""A page that plays the stems of a song together, opened from disk.

The page has relative links to the stems and contains everything else. It plays them by `<audio>`
elements, because a page opened from disk may not read the samples of other files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from .._version import __version__
from ..audio.names import page_name
from ..errors import UserError
from ..files import write_text
from .page import STATIC, environment

_MARK = '<meta name="generator" content="asteroid-bsrnn separate '
"""Beginning of a line of every page; files with it may be replaced."""


def page_path(track: str, stems: Mapping[str, Path], overwrite: bool = False) -> Path:
    """Return the path of a song's page, `<track>.html` in the folder that contains all stems.

    Args:
        track: name of the song.
        stems: path of each stem by name.
        overwrite: whether the page may replace another file.

    Raises:
        UserError: if its place is taken by something else.
    """
    folder = os.path.commonpath([path.parent for path in stems.values()])
    path = Path(folder, page_name(track))
    if path.is_dir():
        raise UserError(f"{path}: a folder is in the place of the page; move it away")
    if path.exists() and not overwrite and not _is_page(path):
        raise UserError(
            f"{path}: exists and is no page of this program; use --overwrite to replace it"
        )
    return path


def write_page(path: Path, track: str, stems: Mapping[str, Path]) -> None:
    """Write the page of a song to the path that `page_path` returned.

    Raises:
        UserError: if the page cannot be written.
    """
    links = {name: stem.relative_to(path.parent).as_posix() for name, stem in stems.items()}
    style, script = (
        Markup((STATIC / name).read_text(encoding="utf-8")) for name in ("report.css", "theme.js")
    )
    text = (
        environment()
        .get_template("listening.html")
        .render(
            # File names may be invalid Unicode, but the page must be valid.
            track=os.fsencode(track).decode("utf-8", "replace"),
            stems={name: quote(os.fsencode(link)) for name, link in links.items()},
            mark=Markup(_MARK),
            version=__version__,
            report_css=style,
            theme_js=script,
        )
    )
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: the page cannot be written ({error.strerror})") from error


def _is_page(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _MARK in file.read(1000)
    except OSError:
        return False
