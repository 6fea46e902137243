"""Metrics on their way out over OTLP: pushed at intervals, each loss said and counted.

https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from otel_callbacks._forks import tell_after_fork
from otel_callbacks._metrics.wiring import start_anew

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from otel_callbacks._diagnostics import Health
    from otel_callbacks.settings import Settings

_PUSHED: Final = frozenset({"otlp", "both"})
_DEFAULT_TARGETS: Final = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}
# Whose lines about metrics ours stand in for.
_TALKATIVE: Final = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk.metrics._internal.export",
)
_PATIENCE_MS: Final = 2_000
_SAID_WITHIN: Final = 1.0
METRICS_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"

_logger: Final = logging.getLogger("otel_callbacks")


class PushedMetrics:
    """What pushes the series of an app that has set up no meter provider.

    Args:
        settings: The settings.
        service_name: The service's name, as for spans.
    """

    def __init__(self, settings: Settings, service_name: str | None) -> None:
        self._settings = settings
        self._attributes = {"service.name": service_name} if service_name else {}
        self._health: Health | None = None
        self.provider: MeterProvider | None = None
        # After the others: their locks are new then.
        self.forks_last = True
        if settings.metrics_exporter in _PUSHED and not _is_set_up():
            # Once: the SDK makes threads for it, which a child just forked cannot.
            self._resource = Resource.create(self._attributes)
            self.provider = self._make()
            tell_after_fork(self)

    def start(self, health: Health) -> None:
        """Make the provider the global one where there is none.

        Args:
            health: Counts the pushes that fail.
        """
        self._health = health
        if self.provider is not None and not _is_set_up():
            metrics.set_meter_provider(self.provider)

    def failed(self, target: str) -> None:
        """Count a push that failed, and say so once.

        Args:
            target: Where to, for people.
        """
        if self._health is not None:
            self._health.oddity(
                "export_metrics",
                f"metrics cannot be sent to {target}; the app goes on, and the next "
                "push says the same sums again. Is a Collector listening there, and "
                "is OTEL_EXPORTER_OTLP_PROTOCOL right for the port? Failed pushes are "
                "counted in otel_callbacks_errors_total{where='export_metrics'}, not "
                "logged.",
            )

    def close(self) -> None:
        """Push what is there for the last time; safe twice."""
        provider, self.provider = self.provider, None
        if provider is not None:
            provider.shutdown(timeout_millis=_PATIENCE_MS)
            for name in _TALKATIVE:
                logging.getLogger(name).removeFilter(_is_not_about_metrics)

    def after_fork(self) -> None:
        """Begin at nothing: what was counted is the parent process's to push."""
        before = self.provider
        if before is not None:
            self.provider = self._make()
            start_anew(before, self.provider)

    def _make(self) -> MeterProvider:
        """Return a provider of this process."""
        resource = self._resource
        if SERVICE_INSTANCE_ID not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            # Two workers' series must not be one in Prometheus; an id of the SDK's own
            # would be that of the process it was forked from.
            own = Resource({SERVICE_INSTANCE_ID: str(uuid4())})
            resource = resource.merge(own)
        reader = PeriodicExportingMetricReader(_Reporting(self, self._settings))
        return MeterProvider([reader], resource, shutdown_on_exit=False)


class _Reporting(MetricExporter):
    """Sends through OTLP; tells of failures."""

    def __init__(self, owner: PushedMetrics, settings: Settings) -> None:
        self._owner = owner
        self._sending = threading.Lock()
        protocol = os.environ.get(METRICS_PROTOCOL, "").strip() or settings.protocol
        self._inner = _otlp_exporter(protocol)
        self._target = (
            os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
            or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
            or _DEFAULT_TARGETS[protocol]
        )
        # The reader asks for both of these.
        inner: Any = self._inner
        super().__init__(inner._preferred_temporality, inner._preferred_aggregation)  # noqa: SLF001
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(_is_not_about_metrics)

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Send metrics."""
        with self._sending:
            try:
                result = self._inner.export(metrics_data, timeout_millis, **kwargs)
            except Exception:  # noqa: BLE001 -- counted and said below
                result = MetricExportResult.FAILURE
            if result is not MetricExportResult.SUCCESS:
                self._owner.failed(self._target)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Send what the exporter itself holds back."""
        return self._inner.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop sending."""
        self._inner.shutdown(timeout_millis, **kwargs)
        # A push that this ends is a failed one, and says so before the app has gone.
        if self._sending.acquire(timeout=_SAID_WITHIN):
            self._sending.release()


def _is_set_up() -> bool:
    """Say whether the app has a meter provider."""
    return isinstance(metrics.get_meter_provider(), MeterProvider)


def _is_not_about_metrics(record: logging.LogRecord) -> bool:
    """Let pass what is not said by `PushedMetrics`."""
    if record.levelno < logging.WARNING:
        return True
    return "metrics" not in record.getMessage()


def _otlp_exporter(protocol: str) -> MetricExporter:
    """Return the exporter of a protocol; each is a second of imports, so only one."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415
            OTLPMetricExporter as Grpc,
        )

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter as Http,
    )

    return Http()
