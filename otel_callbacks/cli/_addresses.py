"""What of the stack answers on this machine, and where to look."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_callbacks import Settings

JAEGER: Final = "http://localhost:16686"
_COLLECTORS: Final = {"grpc": 4317, "http/protobuf": 4318}
_ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
_SECONDS: Final = 0.5


def exporting(settings: Settings, environ: Mapping[str, str] | None = None) -> Settings:
    """Return settings that send spans only where somebody takes them.

    An endpoint that the environment names is kept: who named it wants it.

    Args:
        settings: The settings as they are.
        environ: The environment; the process's own by default.
    """
    variables = os.environ if environ is None else environ
    named = any(variables.get(name, "").strip() for name in _ENDPOINTS)
    if settings.traces_exporter != "otlp" or named:
        return settings
    if answers("localhost", _COLLECTORS[settings.protocol_of("traces")]):
        return settings
    return replace(settings, traces_exporter="none")


def answers(host: str, port: int) -> bool:
    """Say whether something listens there.

    Args:
        host: The host's name.
        port: The port.
    """
    try:
        with closing(socket.create_connection((host, port), _SECONDS)):
            return True
    except OSError:
        return False


def is_free(host: str, port: int) -> bool:
    """Say whether a port can be listened on.

    Args:
        host: The address to listen on.
        port: The port.
    """
    try:
        with closing(socket.create_server((host, port))):
            return True
    except OSError:
        return False
