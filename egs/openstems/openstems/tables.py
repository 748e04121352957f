"""Reader of the tables of data, YAML files beside the modules that use them."""

from pathlib import Path
from typing import Any

import yaml


def load(module: str, name: str) -> Any:
    """Return the content of a table.

    Args:
        module: `__file__` of the module that uses it.
        name: name of the YAML file beside it.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(Path(module).with_name(name).read_text(encoding="utf-8"), loader)
