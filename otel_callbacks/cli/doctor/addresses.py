"""Where each server is: from the command line, else the environment, else Compose.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_callbacks._setting_values import SettingError
from otel_callbacks.cli._http import Address, address

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from otel_callbacks.settings import Settings

DEFAULTS: Final = {
    "jaeger": "http://127.0.0.1:16686",
    "prometheus": "http://127.0.0.1:9090",
    "grafana": "http://127.0.0.1:3000",
}
"""Server -> its address in ``docker-compose.yml``."""

_OTLP_PORTS: Final = {"grpc": 4317, "http/protobuf": 4318}
_OTLP_VARIABLES: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
_INSECURE: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    "OTEL_EXPORTER_OTLP_INSECURE",
)
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
_ANY_HOST: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 -- not listened on


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where all servers are.

    Args:
        collector: The Collector's OTLP receiver.
        chosen: What ``--collector`` says; empty to leave it to the environment, as
            an app does.
        jaeger: Jaeger's HTTP port.
        prometheus: Prometheus.
        grafana: Grafana.
        metrics: The app's ``/metrics``, or None where it has none.
    """

    collector: Address
    chosen: str
    jaeger: Address
    prometheus: Address
    grafana: Address
    metrics: Address | None


def addresses(
    options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]
) -> Addresses:
    """Return where the servers are.

    Args:
        options: What the command line says.
        settings: The handler's settings.
        environ: The environment.

    Raises:
        SettingError: An address is none, or the port of ``/metrics`` is unknown.
    """
    return Addresses(
        collector=_collector(
            options.collector, settings.protocol_of("traces"), environ
        ),
        chosen=options.collector or "",
        metrics=_metrics(options.metrics, options.skip, settings),
        **{
            name: address(f"--{name}", getattr(options, name) or default)
            for name, default in DEFAULTS.items()
        },
    )


def _collector(
    option: str | None, protocol: str, environ: Mapping[str, str]
) -> Address:
    """Return where the exporter sends spans."""
    default = f"http://127.0.0.1:{_OTLP_PORTS[protocol]}"
    found = [("--collector", option or "")]
    found += [(name, environ.get(name, "").strip()) for name in _OTLP_VARIABLES]
    variable, url = next((one for one in found if one[1]), ("", default))
    if "://" not in url:
        # What the exporter does: TLS, unless the environment says otherwise.
        insecure = any(environ.get(name, "").lower() in _TRUE for name in _INSECURE)
        url = f"{'http' if insecure or option else 'https'}://{url}"
    return address(variable, url)


def _metrics(option: str | None, skip: list[str], settings: Settings) -> Address | None:
    """Return where the app serves its series."""
    if option:
        url = option if urlsplit(option).path.strip("/") else f"{option}/metrics"
        return address("--metrics", url)
    if settings.metrics_exporter == "none" or "metrics" in skip:
        return None
    if settings.prometheus_port == 0:
        allowed = "a port, or --metrics URL: only the app knows which port it found"
        raise SettingError(_PORT, 0, allowed)
    host = settings.prometheus_host
    host = "127.0.0.1" if host in _ANY_HOST else host
    host = f"[{host}]" if ":" in host else host
    return address("--metrics", f"http://{host}:{settings.metrics_port}/metrics")
