"""The conventions and the runner's rules, as the data files beside say them.

What the files are and where they come from stands in the head of each of them.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER: Final = Path(__file__).parents[2] / "conventions"

REQUIRED: Final = "req"
TEMPLATE: Final = "template["

# Operations, divided by a bar, and perhaps the kind that they are expected of.
_EXPECTED: Final = re.compile(r"(?P<operations>[\w|]+)(?: \(kind (?P<kind>\w+)\))?")
_AS_INTERNAL: Final = "as internal, and "

# The attributes that hold JSON, and the schema of each.
SCHEMAS: Final = {
    "gen_ai.input.messages": "gen-ai-input-messages",
    "gen_ai.output.messages": "gen-ai-output-messages",
    "gen_ai.system_instructions": "gen-ai-system-instructions",
    "gen_ai.tool.definitions": "gen-ai-tool-definitions",
    "gen_ai.retrieval.documents": "gen-ai-retrieval-documents",
}


class Declared(NamedTuple):
    """An attribute as a span, a metric or an event declares it."""

    type: str
    level: str


class SpanType(NamedTuple):
    """A kind of span, such as ``gen_ai.inference.client``."""

    name: str
    operations: frozenset[str]
    kind: str
    attributes: Mapping[str, Declared]


class Metric(NamedTuple):
    """A metric: what it is and what its points carry."""

    instrument: str
    unit: str
    buckets: tuple[float, ...]
    attributes: Mapping[str, Declared]


class Expected(NamedTuple):
    """The attributes that spans of some operations must carry."""

    operations: frozenset[str]
    kind: str
    """Only for spans of this kind; empty for all."""
    attributes: tuple[str, ...]


class Registry(NamedTuple):
    """All that is known of names, types and rules."""

    attributes: Mapping[str, str]
    """The type of each attribute."""
    spans: tuple[SpanType, ...]
    metrics: Mapping[str, Metric]
    events: Mapping[str, Mapping[str, Declared]]
    operations: frozenset[str]
    name_keys: Mapping[str, str]
    expected: tuple[Expected, ...]
    ignored: Mapping[str, frozenset[str]]
    """Attributes that are not looked at, by ``span`` and ``resource``."""
    schemas: Mapping[str, Any]
    """The JSON schema of an attribute of content."""
    deprecated: frozenset[str] = frozenset()
    """Names of attributes, metrics and events; this registry marks none."""

    def type_of(self, attribute: str) -> str | None:
        """Return an attribute's type, None where the conventions do not know it.

        Args:
            attribute: Its name, that of a template's instance too.
        """
        known = self.attributes.get(attribute)
        if known is None:
            for name, of in self.attributes.items():
                if of.startswith(TEMPLATE) and attribute.startswith(f"{name}."):
                    return of.removeprefix(TEMPLATE).removesuffix("]")
        return known

    def span_type(self, operation: str, kind: str) -> SpanType | None:
        """Return what a span is declared as.

        Args:
            operation: Its ``gen_ai.operation.name``.
            kind: ``client`` or ``internal``; decides only where both are declared.
        """
        found = [one for one in self.spans if operation in one.operations]
        exact = [one for one in found if one.kind == kind]
        return next(iter(exact or found), None)


def _file(name: str) -> Any:
    """Return what a data file says."""
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def _declared(attributes: Mapping[str, list[str]]) -> dict[str, Declared]:
    """Return attributes with type and level."""
    return {name: Declared(row[0], row[1]) for name, row in attributes.items()}


def _metrics(definition: Mapping[str, Any]) -> Iterator[tuple[str, Metric]]:
    """Yield the metrics; a refinement has the shape of what it refines."""
    for name, entry in definition.items():
        base = definition[entry["refines"]] if "refines" in entry else entry
        yield (
            name,
            Metric(
                base["shape"]["instrument"],
                base["shape"]["unit"],
                tuple(map(float, base["buckets"])),
                _declared({**base["attributes"], **entry["attributes"]}),
            ),
        )


def _expected(definition: Mapping[str, Any]) -> Iterator[Expected]:
    """Yield what is expected of each operation."""
    for key, names in definition.items():
        found = _EXPECTED.fullmatch(key)
        if found is None:  # the list of exclusions, which are left out already
            continue
        operations = frozenset(found["operations"].split("|"))
        if operations == {"excluded"}:
            continue
        if isinstance(names, str):
            internal = definition[key.replace("client", "internal")]
            more = yaml.safe_load(names.removeprefix(_AS_INTERNAL))
            names = [*internal, *more]  # noqa: PLW2901 -- the same list in full
        yield Expected(operations, found["kind"] or "", tuple(names))


@cache
def registry() -> Registry:
    """Return the conventions as the data files say them."""
    spans, events = _file("spans.yaml"), _file("events.yaml")
    rules = _file("runner-rules.yaml")
    types: dict[str, str] = dict(_file("attributes.yaml"))
    metrics = dict(_metrics(_file("metrics.yaml")))
    own = [name for name in spans if "refines" not in spans[name]]
    span_types = tuple(
        SpanType(
            name,
            frozenset(spans[name]["operation"]),
            spans[name]["kind"],
            _declared(spans[name]["attributes"]),
        )
        for name in own
    )
    inference = next(one for one in span_types if one.name == "gen_ai.inference.client")
    declared_events = {
        name: inference.attributes
        if isinstance(entry["attributes"], str)  # "all of gen_ai.inference.client"
        else _declared(entry["attributes"])
        for name, entry in events.items()
    }
    everywhere = [
        *(_declared(entry["attributes"]) for entry in spans.values()),
        *(metric.attributes for metric in metrics.values()),
        *declared_events.values(),
    ]
    for attributes in everywhere:
        for name, declared in attributes.items():
            types.setdefault(name, declared.type)
    return Registry(
        attributes=types,
        spans=span_types,
        metrics=metrics,
        events=declared_events,
        operations=frozenset(_file("enums.yaml")["gen_ai.operation.name"]),
        name_keys=rules["name_key"],
        expected=tuple(_expected(rules["expected"])),
        ignored={part: frozenset(rules["ignored"][part]) for part in rules["ignored"]},
        schemas={
            name: json.loads((FOLDER / "schemas" / f"{file}.json").read_text())
            for name, file in SCHEMAS.items()
        },
    )


@cache
def later_registry() -> Registry:
    """Return the conventions with the names that changed after their release."""
    base, later = registry(), _file("later.yaml")
    renamed: Mapping[str, str] = later["renamed"]

    def named(by_name: Mapping[str, Any]) -> dict[str, Any]:
        return {renamed.get(name, name): entry for name, entry in by_name.items()}

    return base._replace(
        attributes=named(base.attributes) | dict.fromkeys(later["added"], "int"),
        spans=tuple(
            span._replace(attributes=named(span.attributes)) for span in base.spans
        ),
        metrics=named(base.metrics),
        events={name: named(declared) for name, declared in base.events.items()},
    )
