"""The reason of a failed export, read from the log lines of OpenTelemetry's exporters.

Exporters return no reason and log each retry and each lost batch. Lines logged in our
threads are captured instead of shown; an app's own exporters log as before.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from otel_callbacks._data import data_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks._export.otlp import Route

    Listener = Callable[[str], None]

_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk.metrics._internal.export",
)
_GRPC_STATUS: Final = re.compile(r"statuscode\.([a-z_]+)")
_HTTP_CODE: Final = re.compile(r"(?:code: |http2 header with status: )(\d{3})")
# The only line about a status after which the exporter retries.
_HTTP_PHRASE: Final = re.compile(r"transient error ([a-z ]+) encountered")
_HTTP_CODES: Final = {status.phrase.lower(): int(status) for status in HTTPStatus}
_SIGNAL_PATH: Final = re.compile(r"/v1/(?:traces|metrics|logs)\b")
_TABLES: Final = data_beside(__file__)

_here: Final = threading.local()
_open: Final[set[object]] = set()


def _capture(record: logging.LogRecord) -> bool:
    """Pass a line to the listener of its thread, and others to the app's log."""
    listener: Listener | None = getattr(_here, "listener", None)
    if listener is None or record.levelno < logging.WARNING:
        return True
    line = record.getMessage()
    # Older exporters log only the gRPC status; the handled error has the details.
    if callable(details := getattr(sys.exception(), "details", None)):
        line = f"{line} {details()}"
    listener(line)
    return False


def open_filter(owner: object) -> None:
    """Install the filter on the exporters' loggers."""
    _open.add(owner)
    for name in _LOGGERS:
        filters = logging.getLogger(name).filters
        if _capture not in filters:
            # First, because the exporters' own filter drops repeated lines.
            filters.insert(0, _capture)


def close_filter(owner: object) -> None:
    """Remove the filter with its last owner; safe to call twice."""
    _open.discard(owner)
    if not _open:
        for name in _LOGGERS:
            with contextlib.suppress(ValueError):  # another thread was faster
                logging.getLogger(name).filters.remove(_capture)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Pass the exporters' lines of this thread to a listener."""
    before = getattr(_here, "listener", None)
    _here.listener = listener
    # An export may outlive its sender and then logs the shutdown.
    owner = object()
    _open.add(owner)
    try:
        yield
    finally:
        _here.listener = before
        close_filter(owner)


def why(lines: list[str], to: Route) -> str:
    """Return why an export failed, without the text, in which anything may stand."""
    text = " ".join(lines).lower() or "timed out"
    if (code := _HTTP_CODE.search(text)) is not None:
        return _http_reason(int(code[1]), to)
    if (phrase := _HTTP_PHRASE.search(text)) is not None and phrase[1] in _HTTP_CODES:
        return _http_reason(_HTTP_CODES[phrase[1]], to)
    for sign in _TABLES["signs"]:
        if any(part in text for part in sign["texts"]):
            reason: str = sign["reason"]
            return reason.format(
                protocol=to.protocol, signal=to.signal.name, tls=_tls_hint(to)
            )
    status = _GRPC_STATUS.search(text)
    return f"gRPC status {status[1].upper()}" if status else "no reason is known"


def _http_reason(code: int, to: Route) -> str:
    """Return the meaning of an HTTP status."""
    doubled = None if to.is_own_endpoint else _SIGNAL_PATH.search(to.target)
    if code == HTTPStatus.NOT_FOUND and doubled is not None:
        return (
            f"HTTP status 404: the path is doubled, /v1/{to.signal.name} is added to "
            f"OTEL_EXPORTER_OTLP_ENDPOINT by itself; leave {doubled[0]} out there"
        )
    try:
        phrase = f" {HTTPStatus(code).phrase}"
    except ValueError:
        phrase = ""
    hint = _TABLES["statuses"].get(str(code))
    return f"HTTP status {code}{phrase}{f': {hint}' if hint else ''}"


def _tls_hint(to: Route) -> str:
    """Return a hint that gRPC without a scheme uses TLS, if it applies."""
    if to.protocol == "grpc" and "://" not in to.target:
        return (
            "; without a scheme gRPC uses TLS, so write "
            f"http://{to.target} if the receiver has none"
        )
    return ""
