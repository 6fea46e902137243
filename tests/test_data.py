"""Tables that are data stand beside the modules that read them."""

from __future__ import annotations

import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import otel_callbacks

PACKAGE = Path(otel_callbacks.__file__).parent
FILES = sorted(PACKAGE.rglob("*.toml"))


def lists_of(table: dict[str, Any]) -> list[list[Any]]:
    """Return the lists of a table."""
    return [value for value in table.values() if isinstance(value, list)]


def test_data_has_the_name_of_its_module() -> None:
    """Each file of ours is beside a module of the same name, or of its folder."""
    for path in FILES:
        module = path.with_suffix(".py")
        assert module.exists() or path.with_name("__init__.py").exists(), path


@pytest.mark.parametrize(
    ("module", "table"),
    [
        ("_readers/errors", "langchain"),
        ("_readers/errors", "names"),
        ("_readers/errors", "codes"),
        ("_readers/errors", "statuses"),
        ("_readers/errors", "last_names"),
        ("_content/parts", "types"),
        ("_content/parts", "keys"),
        ("_content/messages", "finish_reasons"),
        ("_content/messages", "roles"),
        ("_spend/price_list", "names"),
        ("_spend/price_list", "prefixes"),
        ("_spend/price_list", "hosts"),
    ],
)
def test_no_item_is_in_two_lists(module: str, table: str) -> None:
    """What a provider calls something has one meaning."""
    data = tomllib.loads((PACKAGE / f"{module}.toml").read_text("utf-8"))
    items = [*chain.from_iterable(lists_of(data[table]))]
    assert sorted(set(items)) == sorted(items)


@pytest.mark.parametrize("key", ["names", "types", "classes"])
def test_no_name_is_of_two_providers(key: str) -> None:
    """Each name, type and class belongs to one provider."""
    data = tomllib.loads((PACKAGE / "_readers" / "provider.toml").read_text("utf-8"))
    items = [*chain.from_iterable(facts.get(key, ()) for facts in data.values())]
    assert sorted(set(items)) == sorted(items)
