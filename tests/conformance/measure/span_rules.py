"""The rules for spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from measure.attribute_rules import attribute_findings
from measure.findings import Finding
from measure.values import as_dict, fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from measure.registry import Registry, SpanType

_OPERATION: Final = "gen_ai.operation.name"
_ERROR_TYPE: Final = "error.type"
_KINDS: Final = {
    Span.SPAN_KIND_CLIENT: "client",
    Span.SPAN_KIND_INTERNAL: "internal",
}


def operation_of(attributes: Mapping[str, AnyValue]) -> str:
    """Return the operation that attributes name, empty where they name none.

    Args:
        attributes: The values by name.
    """
    value = attributes.get(_OPERATION)
    return "" if value is None else value.string_value


def kind_of(span: Span) -> str:
    """Return a span's kind as the conventions write it.

    Args:
        span: The span.
    """
    return _KINDS.get(span.kind, "")


def span_findings(registry: Registry, span: Span) -> Iterator[Finding]:
    """Yield what is wrong with a span and its events.

    Args:
        registry: The conventions.
        span: The span.
    """
    where = f"span {span.name}"
    attributes = as_dict(span.attributes)
    ignored = registry.ignored["span"]
    yield from attribute_findings(registry, where, attributes, ignored)
    for event in span.events:
        carried = as_dict(event.attributes)
        yield from attribute_findings(registry, f"{where}, {event.name}", carried)
    yield from _status_findings(where, span, attributes)
    operation = operation_of(attributes)
    if not operation:
        return
    if operation not in registry.operations:
        yield Finding("genai_operation_name_unknown", where, operation)
    yield from _name_findings(registry, where, span, attributes)
    for expected in registry.expected:
        if operation in expected.operations and expected.kind in {"", kind_of(span)}:
            for name in expected.attributes:
                if name not in attributes:
                    yield Finding("genai_expected_attribute_missing", where, name)


def declared_type(registry: Registry, span: Span) -> SpanType | None:
    """Return what a span is declared as, None where the conventions have nothing.

    Args:
        registry: The conventions.
        span: The span.
    """
    operation = operation_of(as_dict(span.attributes))
    return registry.span_type(operation, kind_of(span))


def declared_names(type_: SpanType, span: Span) -> set[str]:
    """Return the declared attributes that a span carries with the right type.

    Args:
        type_: What the span is declared as.
        span: The span.
    """
    return {
        name
        for name, value in as_dict(span.attributes).items()
        if name in type_.attributes and fits(value, type_.attributes[name].type)
    }


def _name_findings(
    registry: Registry, where: str, span: Span, attributes: Mapping[str, AnyValue]
) -> Iterator[Finding]:
    """Yield whether the name is not the operation and, where known, its key."""
    operation = operation_of(attributes)
    if operation not in registry.name_keys:
        return
    key = attributes.get(registry.name_keys[operation])
    right = operation if key is None else f"{operation} {key.string_value}"
    if span.name != right:
        yield Finding("genai_span_name_format", where, f"should be {right!r}")


def _status_findings(
    where: str, span: Span, attributes: Mapping[str, AnyValue]
) -> Iterator[Finding]:
    """Yield whether the status is OK, or does not go with ``error.type``."""
    failed = span.status.code == Status.STATUS_CODE_ERROR
    if span.status.code == Status.STATUS_CODE_OK:
        yield Finding("span_status_ok_set_by_instrumentation", where, "OK")
    if failed and _ERROR_TYPE not in attributes:
        yield Finding("error_type_missing_on_error", where, _ERROR_TYPE)
    if not failed and _ERROR_TYPE in attributes:
        yield Finding("error_type_without_error_status", where, _ERROR_TYPE)
