"""Examine each hop, at the address of an option, the environment or Compose.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_callbacks._export.otlp import OTLP_PORTS
from otel_callbacks._setting_values import FLAG, SettingError, otlp_variable
from otel_callbacks.cli import env
from otel_callbacks.cli._http import Address, address
from otel_callbacks.cli.doctor import HOPS, backends, chain, collector, probe

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks.settings import Settings

_TRACES: Final = "/v1/traces"
_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
_ANY_HOST: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 -- not listened on


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of all servers."""

    collector: Address
    chosen: str
    path: str
    jaeger: Address
    prometheus: Address
    grafana: Address
    metrics: Address | None


def addresses(
    options: argparse.Namespace, settings: Settings, environ: Mapping[str, str]
) -> Addresses:
    """Return the addresses of the servers."""
    return Addresses(
        collector=_collector(
            options.collector, settings.protocol_of("traces"), environ
        ),
        chosen=options.collector or "",
        path=_path(options.collector, environ),
        metrics=_metrics(options.metrics, options.skip, settings),
        **{
            name: address(f"--{name}", getattr(options, name))
            for name in ("jaeger", "prometheus", "grafana")
        },
    )


def _collector(
    option: str | None, protocol: str, environ: Mapping[str, str]
) -> Address:
    """Return the address that the exporter sends spans to."""
    variable, url = otlp_variable(environ, "traces", "ENDPOINT")
    if option:
        variable, url = "--collector", option
    url = url or f"http://127.0.0.1:{OTLP_PORTS[protocol]}"
    if "://" not in url and protocol != "grpc" and not option:
        allowed = f"a URL with its scheme: http://{url}, or https://{url}"
        raise SettingError(variable, url, allowed)
    if "://" not in url:
        # Like the exporter: TLS, unless the environment sets otherwise.
        insecure = otlp_variable(environ, "traces", "INSECURE")[1] or "no"
        url = f"{'http' if option or FLAG.parse(insecure) else 'https'}://{url}"
    return address(variable, url)


def _path(option: str | None, environ: Mapping[str, str]) -> str:
    """Return the path that the exporter posts spans to."""
    variable, url = otlp_variable(environ, "traces", "ENDPOINT")
    path = urlsplit(option or url).path
    if "TRACES" in variable and not option:
        return path or "/"
    path = path.rstrip("/")
    return path if option and path.endswith(_TRACES) else f"{path}{_TRACES}"


def _metrics(option: str | None, skip: list[str], settings: Settings) -> Address | None:
    """Return the address of the app's series."""
    if option:
        url = option if urlsplit(option).path.strip("/") else f"{option}/metrics"
        return address("--metrics", url)
    if settings.metrics_exporter == "none" or "metrics" in skip:
        return None
    if settings.prometheus_port == 0:
        reason = "only the app knows which free port it uses. Give --metrics URL."
        raise SettingError(_PORT, 0, reason=reason)
    host = settings.prometheus_host
    host = "127.0.0.1" if host in _ANY_HOST else host
    host = f"[{host}]" if ":" in host else host
    return address("--metrics", f"http://{host}:{settings.metrics_port}/metrics")


# The hops to which the trace is followed.
_FOLLOWED: Final = frozenset({"collector", "jaeger", "prometheus"})
# Prometheus and Grafana also need a part of the time.
_JAEGERS_SHARE: Final = 0.5


@dataclass(slots=True)
class Examination:
    """One examination."""

    addresses: Addresses
    settings: Settings
    skip: frozenset[str]
    seconds: float
    _deadline: probe.Deadline = field(init=False)
    _evidence: backends.Evidence = field(init=False)
    _instance: str = field(init=False)
    _spans: Sequence[ReadableSpan] = field(init=False, default=())
    _sent: probe.Sent | None = field(init=False, default=None)

    def report(
        self,
        begins: Callable[[str], None] = lambda _: None,
        ended: Callable[[probe.Hop], None] = lambda _: None,
    ) -> probe.Report:
        """Check all hops."""
        began = time.monotonic()
        self._deadline = probe.Deadline(self.seconds)
        self._instance = uuid.uuid4().hex
        address = None if "prometheus" in self.skip else self.addresses.prometheus
        self._evidence = backends.Evidence(address, self._deadline)
        hops = []
        for name in HOPS:
            begins(name)
            hop = self._hop(name)
            ended(hop)
            hops.append(hop)
        trace = self._sent.trace_id if self._sent else ""
        seconds = time.monotonic() - began
        return probe.Report(chain.SERVICE, self._instance, trace, seconds, tuple(hops))

    def _hop(self, name: str) -> probe.Hop:
        """Check one hop, or skip it."""
        address = getattr(self.addresses, name, None) or probe.NOWHERE
        if name in self.skip:
            return probe.Hop(name=name, state="skipped", address=address.url)
        if name == "metrics" and address is probe.NOWHERE:
            saw = "OTEL_METRICS_EXPORTER=none"
            return probe.Hop(name=name, state="skipped", saw=saw)
        look: Callable[[probe.Check], str] = getattr(self, f"_{name}")
        check = probe.Check(self._deadline, name, address, self._sent)
        began = time.monotonic()
        saw = ""
        with check.going_on():
            saw = look(check)
        state: probe.State = "reached"
        if check.troubles:
            state = "broken"
        elif name in _FOLLOWED and self._sent is None:
            state = "answers"
        return probe.Hop(
            name=name,
            state=state,
            address=address.url,
            saw=saw,
            seconds=time.monotonic() - began,
            troubles=tuple(check.troubles),
            cautions=tuple(check.cautions),
        )

    _metrics = staticmethod(backends.check_metrics)
    _grafana = staticmethod(backends.check_grafana)

    def _handler(self, check: probe.Check) -> str:
        """Run the fake chain."""
        chain.look_for_others(check)
        self._spans = chain.run_chain(check, self._instance, self.settings)
        return f"{len(self._spans)} spans of a fake chain"

    def _collector(self, check: probe.Check) -> str:
        """Send the spans; without spans, check that OTLP is accepted."""
        protocol = self.settings.protocol_of("traces")
        url = self.addresses.collector.url
        for reason, remedy in env.troubles(url, self.settings, os.environ):
            check.caution(probe.Finding(reason, remedy))
        names = env.at(url)
        here = f"; as for {', '.join(names)}" if names else ""
        if not self._spans:
            reply = collector.handshake(check, self.addresses, protocol)
            return f"{protocol}{here}; {reply.detail}; there was no trace to send"
        self._sent = collector.send(check, self.addresses, protocol, self._spans)
        return f"{protocol}{here}; it accepted the trace"

    def _jaeger(self, check: probe.Check) -> str:
        """Wait for the trace."""
        part = _JAEGERS_SHARE if "prometheus" not in self.skip else 1.0
        return backends.check_jaeger(check, self._deadline.share(part), self._evidence)

    def _prometheus(self, check: probe.Check) -> str:
        """Look for the app's series and the trace's span metrics."""
        return backends.check_prometheus(
            check,
            None if "metrics" in self.skip else self.addresses.metrics,
            self._evidence.calls,
            span_metrics="span-metrics" not in self.skip,
        )
