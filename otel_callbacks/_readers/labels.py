"""Read the values of the app's labels from a run's metadata and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks._readers.values import integer, items, mapping, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_callbacks._records import Request, Start

_LONGEST: Final = 128
"""Characters of a value; Prometheus keeps every value in memory."""

_SEPARATORS: Final = (":", "=")
"""Between key and value in a tag: ``team:flowers``, ``team=flowers``."""


def add_labels(
    request: Request, start: Start, choices: Sequence[tuple[str, bool]]
) -> Request:
    """Return the request with the values of the chosen labels."""
    if not request.operation:
        return request
    about, tags = mapping(start.metadata), [*filter(None, map(text, items(start.tags)))]
    values = [
        ("true" if key in tags else "") if is_tag else _value(key, about, tags)
        for key, is_tag in choices
    ]
    return request._replace(labels=tuple(values))


def _value(key: str, about: dict[object, object], tags: list[str]) -> str:
    """Return a key's value from the metadata, else from a tag with that key."""
    if not key:
        return ""
    value = about.get(key)
    if type(value) is bool:
        return str(value).lower()
    if (number := integer(value)) is not None:
        return str(number)
    if found := text(value):
        return found[:_LONGEST]
    for tag in tags:
        for separator in _SEPARATORS:
            name, found, after = tag.partition(separator)
            if found and name.strip() == key:
                return after.strip()[:_LONGEST]
    return ""
