"""Parse the text of a setting into its value, or refuse it."""

from __future__ import annotations

import math
import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from otel_callbacks import _semconv as semconv
from otel_callbacks._data import data_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_USER: Final = re.compile(r"(?<=://)[^/?#\s]*@")
"""User and password of a URL, which must not be in a logged message."""
_KEYS: Final = "_HEADERS"
"""The suffix of variables that hold keys."""


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


class Parser(NamedTuple):
    """Turns the text of a setting into its value."""

    parse: Callable[[str], Any]
    """Raises ``ValueError`` for a value that is not allowed."""
    allowed: str

    def read(self, variable: str, text: str) -> Any:
        """Return the value, or raise an error with its variable."""
        try:
            return self.parse(text)
        except SettingError:  # it has a more specific message
            raise
        except ValueError:
            raise SettingError(variable, text, self.allowed) from None


def _where(
    allowed: str, is_allowed: Callable[[Any], object], read: Callable[[str], Any] = str
) -> Parser:
    """Return a parser that refuses the values that do not meet a condition."""

    def parse(text: str) -> Any:
        value = read(text)
        if not is_allowed(value):
            raise ValueError
        return value

    return Parser(parse, allowed)


def whole(least: int, most: int, allowed: str = "a whole number above 0") -> Parser:
    """Return a parser of whole numbers in a range."""
    return _where(allowed, lambda number: least <= number <= most, int)


def one_of(*words: str, case: Callable[[str], str] = str) -> Parser:
    """Return a parser of one of several words, in this case or in any."""
    return _where(f"{', '.join(words[:-1])} or {words[-1]}", words.__contains__, case)


def _flag(text: str) -> bool:
    """Parse true or false."""
    if text.lower() in _TRUE | {"false", "0", "no", "off"}:
        return text.lower() in _TRUE
    raise ValueError


def _endpoint(text: str) -> str:
    """Parse an OTLP endpoint; for gRPC the scheme is optional."""
    parts = urlsplit(text if "://" in text else f"http://{text}")
    is_http = parts.scheme in {"http", "https"} and parts.hostname
    # Reading the port raises ValueError beyond 65535.
    if not is_http or len(text.split()) > 1 or parts.port == 0:
        raise ValueError
    return text


def _exporters(text: str) -> str:
    """Parse the metrics exporters; OpenTelemetry's variable may hold a list."""
    names = frozenset(name.strip() for name in text.split(","))
    return "both" if names == {"otlp", "prometheus"} else text


_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_YEAR: Final = 365 * 86_400
_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_HEADER: Final = re.compile(
    r"""[\w!#$%&'*+.^`|~-]+[ \t]*=[ !#-+\--:<-\[\]-~]*""", re.ASCII
)
"""One header of a variable; the exporters log and drop anything else."""

FLAG: Final = Parser(_flag, "true or false")
# Conditions in this form also refuse "nan".
SECONDS: Final = _where(
    "a number of seconds above 0", lambda number: 0 < number <= _YEAR, float
)
MONEY: Final = _where(
    "an amount of dollars above 0", lambda number: 0 < number < math.inf, float
)
RATIO: Final = _where("a number from 0 to 1", lambda number: 0 <= number <= 1, float)
FILE: Final = _where(
    "the path of a file that can be read",
    lambda path: Path(path).is_file() and os.access(path, os.R_OK),
)
SAMPLER: Final = _where(
    f"{', '.join(_SAMPLERS)}, or one that a package brings (entry points of the group "
    "opentelemetry_traces_sampler)",
    lambda name: (
        name in _SAMPLERS
        or entry_points(group="opentelemetry_traces_sampler", name=name)
    ),
)
ENDPOINT: Final = Parser(_endpoint, "a URL such as http://localhost:4317")
HEADERS: Final = _where(
    "name=value, several separated by commas, such as authorization=Bearer%20KEY",
    lambda text: all(
        _HEADER.fullmatch(one.strip()) for one in text.split(",") if one.strip()
    ),
)
EXPORTERS: Final = one_of("prometheus", "otlp", "both", "none", case=_exporters)
CONTENT_MODE: Final = one_of(
    "NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT", case=str.upper
)


def otlp_variable(
    environ: Mapping[str, str], signal: str, setting: str
) -> tuple[str, str]:
    """Return the variable that applies to a signal's OTLP setting, and its text."""
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{setting}"
    variable = own if environ.get(own, "").strip() else f"OTEL_EXPORTER_OTLP_{setting}"
    return variable, environ.get(variable, "").strip()


VARIABLE: Final = "OTEL_CALLBACKS_LABELS"
CHAIN: Final = "chain"
_TAG: Final = "tag."
_MOST: Final = 10
_LIMIT_AT_MOST: Final = 1_000_000
_LABEL_LIMIT: Final = whole(
    1, _LIMIT_AT_MOST, f"a whole number from 1 to {_LIMIT_AT_MOST} after the colon"
)
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
            limit = _LABEL_LIMIT.parse(number.strip())
        except ValueError:
            raise SettingError(VARIABLE, entry, _LABEL_LIMIT.allowed) from None
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
