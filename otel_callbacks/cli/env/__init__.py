"""``otel-callbacks env``: the environment variables that send to a backend.

The doctor compares the environment with the same table, and a test compares
``docs/backends.md`` with it.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from otel_callbacks._data import data_beside
from otel_callbacks._setting_values import otlp_variable
from otel_callbacks.cli._common import Output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from otel_callbacks.settings import Settings

_ALL: Final = "OTEL_EXPORTER_OTLP_"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_"
_PATH: Final = "/v1/traces"
# A word in capitals, for the user to replace.
_PLACEHOLDER: Final = re.compile(r"(?<![A-Za-z])[A-Z]{2,}[0-9]*(?![A-Za-z])")


class Backend(NamedTuple):
    """A backend that receives spans: an entry of ``backends.toml``."""

    title: str
    endpoint: str
    protocol: str = "http/protobuf"
    headers: str = ""
    takes: str = "all"
    notes: Sequence[str] = ()
    others: Sequence[str] = ()

    @property
    def variables(self) -> dict[str, str]:
        """The variables to set."""
        prefix = _TRACES if self.endpoint.endswith(_PATH) else _ALL
        found = {f"{prefix}ENDPOINT": self.endpoint, f"{prefix}PROTOCOL": self.protocol}
        if self.headers:
            found[f"{prefix}HEADERS"] = self.headers
        found["OTEL_METRICS_EXPORTER"] = "otlp" if self.takes == "all" else "prometheus"
        if self.takes == "traces":
            found["OTEL_LOGS_EXPORTER"] = "none"
        return found

    def is_at(self, url: str) -> bool:
        """Return whether a URL belongs to this backend."""
        netloc = urlsplit(url).netloc.removesuffix(":443")
        mine = urlsplit(self.endpoint).netloc.removesuffix(":443")
        host = re.escape(_PLACEHOLDER.sub("@", mine)).replace("@", r"[a-zA-Z0-9.-]+")
        return netloc in self.others or re.fullmatch(host, netloc) is not None


BACKENDS: Final[Mapping[str, Backend]] = {
    name: Backend(**fields)
    for name, fields in data_beside(__file__, "backends").items()
}
"""Each backend by its name on the command line."""


def run(options: argparse.Namespace) -> int:
    """Print the variables for one backend."""
    out = Output(color=not options.no_color)
    for line in block(options.backend):
        out.parts([(line, "dim" if line.startswith("#") else "")])
    return 0


def block(name: str) -> Iterator[str]:
    """Yield the lines for a backend."""
    backend = BACKENDS[name]
    takes = "traces, metrics and logs" if backend.takes == "all" else backend.takes
    for note in (f"{backend.title} accepts {takes}.", *backend.notes):
        yield from textwrap.wrap(
            note,
            width=88,
            initial_indent="# ",
            subsequent_indent="#   ",
            break_on_hyphens=False,
            break_long_words=False,
        )
    for variable, value in backend.variables.items():
        yield f"export {variable}={value}"


def at(url: str) -> list[str]:
    """Return the backends at an address; localhost may match several."""
    found = url.replace("//127.0.0.1", "//localhost")
    found = re.sub(":4318(?=/|$)", ":4317", found)
    return [name for name, one in BACKENDS.items() if one.is_at(found)]


def troubles(
    url: str, settings: Settings, environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield faults in the settings for the one backend at an address, with remedies."""
    names = at(url)
    if len(names) != 1:
        return
    backend = BACKENDS[names[0]]
    remedy = f"`otel-callbacks env {names[0]}` prints what {backend.title} needs."
    protocol = settings.protocol_of("traces")
    if protocol != backend.protocol:
        yield (
            f"{backend.title} accepts {backend.protocol}, but {protocol} is set",
            remedy,
        )
    is_exact = environ.get(f"{_TRACES}ENDPOINT", "").strip().rstrip("/") == url
    wanted = _path(backend.endpoint)
    path = urlsplit(url).path or "/" if is_exact else _path(url)
    if protocol == backend.protocol and path != wanted:
        yield f"{backend.title} accepts spans at {wanted}, not at {path}", remedy
    sent = _headers(otlp_variable(environ, "traces", "HEADERS")[1])
    for header, value in _headers(backend.headers).items():
        if header not in sent:
            yield f"{backend.title} needs the header {header}", remedy
        elif sent[header] == value and (word := _PLACEHOLDER.search(value)):
            yield f"the header {header} still has the placeholder {word[0]}", remedy
    for signal, exporter, takes in (
        ("metrics", settings.metrics_exporter, backend.takes == "all"),
        ("logs", settings.logs_exporter, backend.takes != "traces"),
    ):
        there = otlp_variable(environ, signal, "ENDPOINT")[1]
        if exporter in {"otlp", "both"} and not takes and backend.is_at(there):
            yield f"{signal} are sent to {backend.title}, which accepts none", remedy


def _path(endpoint: str) -> str:
    """Return the traces path of an endpoint, appended if it is a base URL."""
    path = urlsplit(endpoint).path.rstrip("/")
    return path if path.endswith(_PATH) else f"{path}{_PATH}"


def _headers(text: str) -> dict[str, str]:
    """Parse headers like the exporters do."""
    pairs = (one.partition("=") for one in text.split(",") if one.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
