"""Tables that are data: the TOML file beside a module, by the module's name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def data_beside(module_file: str) -> dict[str, Any]:
    """Return the tables of a module, for its ``__file__``."""
    return tomllib.loads(Path(module_file).with_suffix(".toml").read_text("utf-8"))


def by_item(lists: Mapping[str, Iterable[Any]]) -> dict[Any, str]:
    """Return, for each item of some lists, the name of its list."""
    return {item: name for name, items in lists.items() for item in items}
