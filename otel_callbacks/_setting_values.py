"""Parse the text of a setting into its value, or refuse it.

A parser takes the text and raises ``ValueError`` for a value that is not allowed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from otel_callbacks import _semconv as semconv
from otel_callbacks._data import data_beside

CONTENT_MODES: Final = ("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")
_BOTH: Final = (frozenset({"both"}), frozenset({"otlp", "prometheus"}))
_SAMPLERS: Final = "opentelemetry_traces_sampler"


_USER: Final = re.compile(r"(?<=://)[^/?#\s]*@")
"""User and password of a URL, which must not be in a logged message."""
_KEYS: Final = "_HEADERS"
"""The suffix of variables that hold keys."""
_HEADER: Final = re.compile(
    r"""[\w!#$%&'*+.^`|~-]+[ \t]*=[ !#-+\--:<-\[\]-~]*""", re.ASCII
)
"""One header of a variable; the exporters log and drop anything else."""


class SettingError(ValueError):
    """A setting has a value that is not allowed.

    The message names the variable, the value, and what the value must be.

    Args:
        variable: The environment variable, or the argument.
        value: The value that is refused. In the message, headers are hidden, and the
            user and the password of a URL.
        allowed: What the value must be, such as ``a whole number above 0``.
        reason: What is wrong and what to do, where ``allowed`` cannot express it.
    """

    def __init__(
        self, variable: str, value: object, allowed: str = "", *, reason: str = ""
    ) -> None:
        shown = _USER.sub("", str(value))
        if variable.endswith(_KEYS):
            shown = "(hidden)"
        super().__init__(f"{variable}={shown}: {reason or f'must be {allowed}'}")
        self.variable = variable
        self.value = value
        self.allowed = allowed


Parser = Callable[[str], Any]

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
PORT_AT_MOST: Final = 65_535
_YEAR: Final = 365 * 86_400
YES_OR_NO: Final = "true or false"


def flag(text: str) -> bool:
    """Parse true or false."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError


def _where(read: Parser, is_allowed: Callable[[Any], object]) -> Parser:
    """Return a parser that refuses the values that do not meet a condition."""

    def parse(text: str) -> Any:
        value = read(text)
        if not is_allowed(value):
            raise ValueError
        return value

    return parse


def whole(least: int, most: int) -> Parser:
    """Return a parser of whole numbers in a range."""
    return _where(int, lambda number: least <= number <= most)


# Conditions in this form also refuse "nan".
seconds: Final = _where(float, lambda number: 0 < number <= _YEAR)
money: Final = _where(float, lambda number: 0 < number < math.inf)
ratio: Final = _where(float, lambda number: 0 <= number <= 1)
file: Final = _where(
    str, lambda path: Path(path).is_file() and os.access(path, os.R_OK)
)


def one_of(*allowed: str) -> Parser:
    """Return a parser of one of several words."""
    return _where(str, lambda text: text in allowed)


def sampler(*known: str) -> Parser:
    """Return a parser of sampler names: OpenTelemetry's own and installed ones."""
    return _where(
        str, lambda name: name in known or entry_points(group=_SAMPLERS, name=name)
    )


def endpoint(text: str) -> str:
    """Parse an OTLP endpoint; for gRPC the scheme is optional."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    is_http = parts.scheme in {"http", "https"} and parts.hostname
    # Reading the port raises ValueError beyond 65535.
    if not is_http or len(text.split()) > 1 or parts.port == 0:
        raise ValueError
    return text


def headers(text: str) -> str:
    """Parse headers as OpenTelemetry's exporters do."""
    for header in text.split(","):
        if header.strip() and _HEADER.fullmatch(header.strip()) is None:
            raise ValueError
    return text


def exporters(text: str) -> str:
    """Parse the metrics exporters; OpenTelemetry's variable may hold a list."""
    names = frozenset(name.strip() for name in text.split(","))
    if names in _BOTH:
        return "both"
    return str(one_of("prometheus", "otlp", "none")(text))


def content_mode(text: str) -> str:
    """Parse the content mode, in upper or lower case."""
    return str(one_of(*CONTENT_MODES)(text.upper()))


def read_setting(variable: str, text: str, spec: Mapping[str, Any]) -> Any:
    """Parse one value, or raise an error with its variable."""
    try:
        return spec["parser"](text)
    except SettingError:  # it has a more specific message
        raise
    except ValueError:
        raise SettingError(variable, text, spec["allowed"]) from None


VARIABLE: Final = "OTEL_CALLBACKS_LABELS"
CHAIN: Final = "chain"
_TAG: Final = "tag."
_MOST: Final = 10
_LIMIT_AT_MOST: Final = 1_000_000
_LABEL_LIMIT: Final = whole(1, _LIMIT_AT_MOST)
_ALLOWED: Final = (
    "metadata keys, chain or tag.NAME, separated by commas, each with an optional "
    "limit of distinct values (team:20)"
)

_REFUSED: Final = data_beside(__file__)
# Prometheus' own labels, and the labels that the series of spend already have.
_USED: Final = frozenset(
    {
        *("le", "quantile", "job", "instance", "type", "exported_job"),
        *(
            name.replace(".", "_")
            for name in (*semconv.CALL_LABELS, semconv.TOKEN_TYPE, semconv.ERROR_TYPE)
        ),
        *semconv.OUR_LABELS,
    }
)


# Names of the conventions that an app may choose -> their metadata keys.
_CONVENTION_KEYS: Final = {
    semconv.AGENT_NAME: "lc_agent_name",
    semconv.PROMPT_NAME: semconv.PROMPT_NAME,
    semconv.PROMPT_VERSION: semconv.PROMPT_VERSION,
}


class LabelChoice(NamedTuple):
    """One label chosen by the app."""

    name: str
    """The label's name in Prometheus: letters, digits and underscores."""
    key: str
    """The metadata key or the tag; empty for the outermost run's name."""
    is_tag: bool = False
    """Whether ``key`` is a tag, and the label shows whether a run has it."""
    limit: int | None = None
    """Most distinct values; by default the limit of all labels."""


def label_choices(text: str) -> tuple[LabelChoice, ...]:
    """Parse the labels chosen by the app."""
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if len(entries) > _MOST:
        reason = f"at most {_MOST} labels are allowed, these are {len(entries)}"
        raise SettingError(VARIABLE, text, reason=reason)
    chosen = tuple(_choice(entry) for entry in entries)
    names = [choice.name for choice in chosen]
    for name in names:
        if names.count(name) > 1:
            reason = f"the label {name!r} appears twice"
            raise SettingError(VARIABLE, text, reason=reason)
    return chosen


def labels(text: str) -> str:
    """Check the labels and return their text unchanged."""
    label_choices(text)
    return text


def _choice(entry: str) -> LabelChoice:
    """Parse one label."""
    before, colon, number = entry.rpartition(":")
    key, limit = (before if colon else entry).strip(), None
    if colon:
        try:
            limit = _LABEL_LIMIT(number.strip())
        except ValueError:
            allowed = f"a whole number from 1 to {_LIMIT_AT_MOST} after the colon"
            raise SettingError(VARIABLE, entry, allowed) from None
    if key in _CONVENTION_KEYS:
        return LabelChoice(key.replace(".", "_"), _CONVENTION_KEYS[key], limit=limit)
    is_tag = key.startswith(_TAG)
    name = re.sub("[^a-z0-9]+", "_", key, flags=re.IGNORECASE).strip("_")
    if not re.match("[a-z]", name, re.IGNORECASE):
        raise SettingError(VARIABLE, entry, f"{_ALLOWED}; a name starts with a letter")
    own = key.removeprefix(_TAG)
    _refuse(entry, own)
    if name in _USED or name.startswith(("gen_ai", "otel_callbacks", "service")):
        reason = f"{name} is the name of another label. Use another metadata key."
        raise SettingError(VARIABLE, entry, reason=reason)
    return LabelChoice(name, "" if key == CHAIN else own, is_tag, limit)


def _refuse(entry: str, key: str) -> None:
    """Raise for a key with unbounded or private values, and name the alternative."""
    plain = re.sub("[^a-z0-9]", "", key.lower())
    for kind in _REFUSED.values():
        if any(re.fullmatch(name, plain) for name in kind["names"]):
            reason = f"{key} cannot be a label: {kind['reason']}"
            raise SettingError(VARIABLE, entry, reason=reason)
