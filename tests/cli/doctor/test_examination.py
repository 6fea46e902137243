from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from otel_callbacks import Settings
from otel_callbacks.cli.doctor.addresses import addresses
from otel_callbacks.cli.doctor.examination import HOPS, Examination

if TYPE_CHECKING:
    from loopback_servers import FakeStack


def _examination(stack: FakeStack, *skip: str) -> Examination:
    """Return an examination of a stack."""
    options = Namespace(
        collector=stack.receiver.url,
        jaeger=stack.jaeger.url,
        metrics=stack.metrics.url,
        prometheus=stack.prometheus.url,
        grafana=stack.grafana.url,
        skip=[*skip],
    )
    where = addresses(options, Settings(), {})
    return Examination(where, Settings(), frozenset(skip), 5.0)


def test_hops_are_told_as_they_go(stack: FakeStack) -> None:
    """Each by its name before it is looked at, and whole when it is over."""
    said: list[str] = []
    report = _examination(stack).report(
        lambda name: said.append(f"{name}?"), lambda hop: said.append(f"{hop.name}!")
    )
    assert said == [f"{name}{sign}" for name in HOPS for sign in "?!"]
    assert [hop.name for hop in report.hops] == [*HOPS]
    assert report.broken == ()


def test_several_troubles_of_one_hop_are_all_told(stack: FakeStack) -> None:
    """Prometheus is asked everything, though its first answer was a trouble."""
    stack.flags = {"enable-feature": "", "web.enable-otlp-receiver": "false"}
    (hop,) = _examination(stack).report().broken
    assert hop.name == "prometheus"
    assert [trouble.reason.partition(":")[0] for trouble in hop.troubles] == [
        "no exemplar storage",
        "the OTLP receiver is off",
    ]


def test_everything_behind_the_handler_can_be_left_out(stack: FakeStack) -> None:
    """Nothing is asked, not even for evidence."""
    hops = ("collector", "jaeger", "metrics", "prometheus", "grafana")
    report = _examination(stack, *hops).report()
    assert [hop.state for hop in report.hops] == ["reached", *["skipped"] * 5]
    assert stack.prometheus.requests == []
    assert report.trace_id == ""


def test_jaeger_may_have_all_the_time(stack: FakeStack) -> None:
    """When Prometheus does not want any of it."""
    report = _examination(stack, "prometheus").report()
    assert report.broken == ()
    assert report.trace_id in stack.receiver.traces
