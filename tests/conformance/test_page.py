"""The documents' table can be written anew."""

from __future__ import annotations

import pytest
from measure.declared import HEAD
from measure.page import PAGE, with_table

NEW = f"{HEAD}\n| new |"


@pytest.mark.parametrize("after", ["", "\nMore.\n"])
def test_only_the_table_is_replaced(after: str) -> None:
    """What stands before and after the table stays."""
    page = f"Before.\n\n{HEAD}\n| old |\n| older |\n{after}"
    assert with_table(page, NEW) == f"Before.\n\n{NEW}\n{after}"


def test_a_page_without_the_table_is_refused() -> None:
    """Nothing is written into a page that has no place for it."""
    with pytest.raises(ValueError, match="is not in list"):
        with_table("Nothing.", NEW)


def test_the_page_has_a_place_for_it() -> None:
    """The documents have the table that is written anew."""
    assert HEAD in PAGE.read_text(encoding="utf-8").splitlines()
