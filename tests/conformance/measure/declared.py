"""How many of the declared attributes an app's signals carry, and the table of it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from measure.registry import TEMPLATE
from measure.signal_rules import points_of
from measure.span_rules import declared_names, declared_type
from measure.values import as_dict, fits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    from measure.received import Received
    from measure.registry import Declared, Registry

Carried = dict[str, frozenset[str]]
"""The declared attributes carried at least once, by what carries them."""

_COLUMNS: Final = ("scenario", "signal", "carried", "declared", "at least")
HEAD: Final = f"| {' | '.join(_COLUMNS)} |"


def carried(registry: Registry, received: Received) -> Carried:
    """Return the declared attributes that each kind of signal carries.

    Args:
        registry: The conventions.
        received: What an app has exported.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for span in received.each_span():
        type_ = declared_type(registry, span)
        if type_ is not None:
            found[type_.name] |= declared_names(type_, span)
    for metric in received.each_metric():
        known = registry.metrics.get(metric.name)
        for point in points_of(metric) if known else ():
            found[metric.name] |= _fitting(known.attributes, point.attributes)  # type: ignore[union-attr]
    for record in received.each_record():
        event = registry.events.get(record.event_name)
        if event is not None:
            found[record.event_name] |= _fitting(event, record.attributes)
    return {name: frozenset(names) for name, names in sorted(found.items())}


def declared_count(registry: Registry, signal: str) -> int:
    """Return how many attributes a span type, metric or event declares.

    Args:
        registry: The conventions.
        signal: Its name.
    """
    spans = {one.name: one.attributes for one in registry.spans}
    metrics = {name: one.attributes for name, one in registry.metrics.items()}
    attributes = {**spans, **metrics, **registry.events}[signal]
    return sum(not one.type.startswith(TEMPLATE) for one in attributes.values())


def table(
    registry: Registry,
    carried_by: Mapping[str, Carried],
    floors: Mapping[str, Mapping[str, int]],
) -> str:
    """Return the coverage as a Markdown table.

    Args:
        registry: The conventions.
        carried_by: What each scenario's signals carry.
        floors: What they must carry at least, by scenario and signal.
    """
    rows = [
        (
            scenario,
            f"`{signal}`",
            str(len(names)),
            str(declared_count(registry, signal)),
            str(floors[scenario].get(signal, "")),
        )
        for scenario, signals in carried_by.items()
        for signal, names in signals.items()
    ]
    lines = [("---",) * len(_COLUMNS), *rows]
    return "\n".join((HEAD, *(f"| {' | '.join(cells)} |" for cells in lines)))


def _fitting(
    declared: Mapping[str, Declared], attributes: Iterable[KeyValue]
) -> set[str]:
    """Return the declared attributes among these whose type is right."""
    return {
        name
        for name, value in as_dict(attributes).items()
        if name in declared and fits(value, declared[name].type)
    }
