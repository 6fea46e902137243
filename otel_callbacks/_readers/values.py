"""Single values of a payload, made safe to be an attribute.

OpenTelemetry's exporters send a whole batch or nothing: one lone surrogate, or one
integer beyond 64 bits, and every span of the batch is lost. So nothing reaches an
attribute but by these functions.
"""

from __future__ import annotations

from typing import Final

LONGEST_TEXT: Final = 1024
"""Characters kept of a name, an id or a description."""

MOST_STRINGS: Final = 64
"""Items kept of a list of strings."""

LARGEST_INTEGER: Final = 2**53
"""Beyond it Prometheus' doubles are not exact, and sums could leave 64 bits."""


def text(value: object) -> str:
    """Read a string."""
    if type(value) is str:
        if value.isascii() and len(value) <= LONGEST_TEXT:
            return value
        return _valid(value[:LONGEST_TEXT])
    if isinstance(value, str):
        return _valid(str.__str__(value)[:LONGEST_TEXT])
    return ""


def _valid(value: str) -> str:
    """Join paired surrogates, and put U+FFFD for lone ones."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def number(value: object) -> float | None:
    """Read a double."""
    if type(value) is float:
        return value if value - value == 0 else None
    if type(value) is int:
        return float(value) if abs(value) <= LARGEST_INTEGER else None
    if isinstance(value, float):
        return number(float.__float__(value))
    return None


def integer(value: object) -> int | None:
    """Read an integer of at most 53 bits."""
    if type(value) is int:
        return value if abs(value) <= LARGEST_INTEGER else None
    if type(value) is float and value.is_integer() and abs(value) <= LARGEST_INTEGER:
        return int(value)
    return None


def count(value: object) -> int | None:
    """Read a number of things: an integer that is not negative."""
    if type(value) is int:
        return value if 0 <= value <= LARGEST_INTEGER else None
    if value is None:
        return None
    whole = integer(value)
    return whole if whole is not None and whole >= 0 else None


def strings(value: object) -> tuple[str, ...] | None:
    """Read a list of strings."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, (list, tuple)):
        return None
    if len(value) > MOST_STRINGS:
        value = value[:MOST_STRINGS]
    return tuple([found for item in value if (found := text(item))]) or None


def is_given(value: object) -> bool:
    """Say whether something is said: neither nothing nor empty, as far as known."""
    if value is None or value is False:
        return False
    return bool(value) if type(value) in _MAY_BE_EMPTY else True


_MAY_BE_EMPTY: Final = frozenset({str, list, dict, tuple})


def mapping(value: object) -> dict[object, object]:
    """Read a dictionary."""
    return value if isinstance(value, dict) else {}
