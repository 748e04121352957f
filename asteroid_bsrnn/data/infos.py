"""What a data set tells about itself, as Asteroid's do."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from .tracks import Track


def dataset_infos(tracks: Sequence[Track], infos: Mapping[str, object] | None) -> dict:
    """Asteroid's description of a data set.

    Args:
        tracks: in the layout `<root>/<subset>/<track>`; one or more.
        infos: its name and licences; None names the root's folder, and no licence.

    Returns:
        `dataset`, `task` and `licenses`.
    """
    root = Path(os.path.abspath(tracks[0].folder)).parent.parent
    given = {} if infos is None else copy.deepcopy(dict(infos))
    return {"dataset": root.name, "task": "separation", "licenses": [], **given}
