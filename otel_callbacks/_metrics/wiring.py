"""Wire the series of one Prometheus registry: scraped, pushed, or both."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from opentelemetry import metrics

from otel_callbacks._metrics.calls import CallQueue
from otel_callbacks._metrics.fold import Fold
from otel_callbacks._metrics.multiprocess import MultiprocessSink, is_multiprocess
from otel_callbacks._metrics.otlp import Meters
from otel_callbacks._metrics.prometheus import PrometheusSink, SeriesCollector
from otel_callbacks._metrics.store import LabelLimits
from otel_callbacks._setting_values import label_choices

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from prometheus_client import CollectorRegistry

    from otel_callbacks._diagnostics import Diagnostics
    from otel_callbacks._metrics.store import States
    from otel_callbacks._records import Sink
    from otel_callbacks.settings import Settings

_PUSHED: Final = frozenset({"otlp", "both"})


_Value = TypeVar("_Value")


class ByIdentity(Generic[_Value]):
    """Values by object, dropped with the object if it supports weak references."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Callable[[], Any], _Value]] = {}

    def get(self, owner: object) -> _Value | None:
        """Return an object's value, if any."""
        entry = self._entries.get(id(owner))
        return entry[1] if entry is not None and entry[0]() is owner else None

    def put(self, owner: object, value: _Value) -> None:
        """Set an object's value."""
        key = id(owner)
        entries = self._entries
        ref: Callable[[], Any]
        try:
            ref = weakref.ref(owner, lambda _: entries.pop(key, None))
        except TypeError:  # it does not support them

            def ref() -> object:
                return owner

        entries[key] = (ref, value)

    def pop(self, owner: object) -> _Value | None:
        """Remove an object's value and return it."""
        value = self.get(owner)
        if value is not None:
            del self._entries[id(owner)]
        return value


_meters: ByIdentity[Meters] = ByIdentity()


class SeriesWiring:
    """The series of one registry."""

    def __init__(self, diagnostics: Diagnostics, settings: Settings) -> None:
        choices = label_choices(settings.labels)
        self._settings = settings
        self._diagnostics = diagnostics
        self._names = tuple(choice.name for choice in choices)
        self._own = {one.name: one.limit for one in choices if one.limit is not None}
        self._collector: SeriesCollector | None = None
        self._is_shown = False
        self._providers: ByIdentity[bool] = ByIdentity()
        self._of_global = False
        self.calls = CallQueue(diagnostics)
        # The position of the label with the name of the outermost run.
        chain_at = [at for at, choice in enumerate(choices) if not choice.key]
        sink = PrometheusSink(self.calls, diagnostics, *chain_at)
        self.sinks: list[Sink] = [sink]

    def open(
        self,
        registry: CollectorRegistry,
        provider: MeterProvider | None,
        settings: Settings,
    ) -> None:
        """Register the series and push them, as set by the settings."""
        if settings.metrics_exporter != "otlp":
            if self._collector is not None:
                # The registry may have been cleared, as between two tests.
                with contextlib.suppress(ValueError):
                    registry.register(self._collector)
            # Without a collector in multiprocess mode: the files are registered once.
            elif not self._is_shown:  # pragma: no branch
                self._show(registry)
            self._is_shown = True
        if provider is not None or settings.metrics_exporter in _PUSHED:
            if provider is None:
                provider = metrics.get_meter_provider()
            self._push(provider)

    def _show(self, registry: CollectorRegistry) -> None:
        """Register the series."""
        if is_multiprocess():
            sink = MultiprocessSink(self.calls, self._new_fold, registry)
            self.sinks.append(sink)
        else:
            self._collector = SeriesCollector(self.calls, self._new_fold)
            registry.register(self._collector)

    def _push(self, provider: MeterProvider) -> None:
        """Add the series to a meter provider, once."""
        # Series set up before the global provider was set use it by now.
        is_global = provider is metrics.get_meter_provider()
        if self._providers.get(provider) or (is_global and self._of_global):
            return
        self._providers.put(provider, True)  # noqa: FBT003 -- a mark
        self._of_global |= is_global
        meters = _meters.get(provider)
        if meters is None:
            try:
                meters = Meters(provider, extensions=self._settings.extensions)
            except Exception as error:  # noqa: BLE001 -- the app's own provider
                self._diagnostics.trouble("meter_provider", error)
                return
            _meters.put(provider, meters)
        meters.attach(self.calls, self._new_fold)

    def _new_fold(self, states: States) -> Fold:
        """Return a fold of this registry's series."""
        settings = self._settings
        limits = LabelLimits(
            settings.label_limit, settings.series_limit, self._own, self._log_full
        )
        return Fold(
            states,
            limits,
            self._names,
            settings.registry,
            extensions=settings.extensions,
        )

    def _log_full(self, series: str) -> None:
        """Log once that a series has reached its limit."""
        self.calls.diagnostics.log_once(
            f"series_limit/{series}",
            f"{series} has {self._settings.series_limit} label sets, the limit of a "
            "series; Prometheus keeps each in memory. Further ones are counted as "
            "'other' and in otel_callbacks_labels_overflowed_total. Choose fewer "
            "labels, lower OTEL_CALLBACKS_LABEL_LIMIT, or raise "
            "OTEL_CALLBACKS_SERIES_LIMIT.",
        )


def start_anew(old: MeterProvider, new: MeterProvider) -> None:
    """Push with another provider from zero, in a forked child."""
    meters = _meters.pop(old)
    if meters is not None:
        meters.start_anew(new)
        _meters.put(new, meters)
