"""Tables that are data: the TOML files beside a module."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def data_beside(module_file: str, name: str = "") -> dict[str, Any]:
    """Return the tables of a name, by default the module's, for its ``__file__``."""
    path = Path(module_file)
    path = path.with_name(f"{name or path.stem}.toml")
    return tomllib.loads(path.read_text("utf-8"))


def by_item(lists: Mapping[str, Iterable[Any]]) -> dict[Any, str]:
    """Return, for each item of some lists, the name of its list."""
    return {item: name for name, items in lists.items() for item in items}
