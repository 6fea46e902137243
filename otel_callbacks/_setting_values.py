"""How the text of a setting becomes its value, or is refused by name.

A reader takes the text and raises ``ValueError`` for what it does not allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final
from urllib.parse import urlsplit

CONTENT_MODES: Final = ("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")
_BOTH: Final = (frozenset({"both"}), frozenset({"otlp", "prometheus"}))
_SAMPLERS: Final = "opentelemetry_traces_sampler"


_USER: Final = re.compile(r"(?<=://)[^/?#\s]*@")
"""User and password of a URL: a message is logged."""


class SettingError(ValueError):
    """A setting has a value that is not allowed.

    The message names the variable, the value and what is allowed.
    """

    def __init__(self, variable: str, value: object, allowed: str) -> None:
        shown = _USER.sub("", str(value))
        super().__init__(f"{variable}={shown}: allowed is {allowed}")
        self.variable = variable
        self.value = value
        self.allowed = allowed


Parser = Callable[[str], Any]

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
PORT_AT_MOST: Final = 65_535
YES_OR_NO: Final = "true or false"


def flag(text: str) -> bool:
    """Read a yes or no."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def whole(least: int, most: int) -> Parser:
    """Return a reader of whole numbers in a range."""

    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError
        return number

    return read


def seconds(text: str) -> float:
    """Read a positive length of time."""
    number = float(text)
    # Written so that "nan" is refused; a year is as good as forever.
    if not 0 < number <= 365 * 86_400:
        raise ValueError
    return number


def one_of(*allowed: str) -> Parser:
    """Return a reader of one word of some."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError
        return text

    return read


def sampler(*known: str) -> Parser:
    """Return a reader of samplers' names: OpenTelemetry's own and installed ones."""

    def read(text: str) -> str:
        if text not in known and not entry_points(group=_SAMPLERS, name=text):
            raise ValueError
        return text

    return read


def endpoint(text: str) -> str:
    """Read an OTLP endpoint; gRPC's may come without a scheme."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError
    if parts.port == 0:  # reading it raises ValueError beyond 65535
        raise ValueError
    return text


def money(text: str) -> float:
    """Read an amount of money above nothing."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def exporters(text: str) -> str:
    """Read where metrics go; OpenTelemetry's variable may hold a list."""
    names = frozenset(name.strip() for name in text.split(","))
    if names in _BOTH:
        return "both"
    return one_of("prometheus", "otlp", "none")(text)  # type: ignore[no-any-return]


def content_mode(text: str) -> str:
    """Read where content goes, in any case of letters."""
    return one_of(*CONTENT_MODES)(text.upper())  # type: ignore[no-any-return]


def ratio(text: str) -> float:
    """Read a share."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError
    return number


def read_setting(variable: str, text: str, spec: Mapping[str, Any]) -> Any:
    """Read one value, or refuse it by name."""
    try:
        return spec["parser"](text)
    except SettingError:  # it says more than we could
        raise
    except ValueError:
        raise SettingError(variable, text, spec["allowed"]) from None
