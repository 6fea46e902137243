"""The series that the pages list, which ``tests/test_documents.py`` compares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

_DOCS: Final = Path(__file__).parents[2] / "docs"
_ROW: Final = re.compile(
    r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*) \|", re.MULTILINE
)


class Series(NamedTuple):
    """One series, by its name in Prometheus."""

    name: str
    kind: str
    labels: tuple[str, ...]


def _named(text: str) -> tuple[str, ...]:
    """Return the names in a text."""
    return tuple(re.findall(r"`(\w+)`", text))


def _series() -> list[Series]:
    """Return the series, with those that have another name in the newest release."""
    page = (_DOCS / "series.md").read_text("utf-8")
    base = _named(page.partition("`base` stands for")[2].partition("\n\n")[0])
    series = [
        Series(name, kind, (*base * labels.startswith("base"), *_named(labels)))
        for name, kind, labels in _ROW.findall(page)
    ]
    renamed = re.findall(r"`(\w+)` is named\s+`(\w+)`", page)
    for old, new in renamed:
        series += [one._replace(name=new) for one in series if one.name == old]
    assert base
    assert renamed
    return series


ALL_SERIES: Final = _series()

WITH_CHOSEN_LABELS: Final = frozenset(
    _named(
        (_DOCS / "labels.md")
        .read_text("utf-8")
        .partition("The labels are on ")[2]
        .partition(".")[0]
    )
)
"""The series of spend, which have the labels that an app chooses."""
