"""The rules for attributes, wherever they are carried."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator

from measure.findings import Finding
from measure.registry import REQUIRED
from measure.values import fits, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from measure.registry import Declared, Registry

FATAL: Final = "fatal"


def attribute_findings(
    registry: Registry,
    where: str,
    attributes: Mapping[str, AnyValue],
    ignored: frozenset[str] = frozenset(),
) -> Iterator[Finding]:
    """Yield what is wrong with the attributes something carries.

    Args:
        registry: The conventions.
        where: What carries them.
        attributes: The values by name.
        ignored: Names that are not looked at.
    """
    for name, value in attributes.items():
        if name in ignored:
            continue
        type_ = registry.type_of(name)
        if type_ is None:
            yield Finding("missing_attribute", where, name)
            continue
        if name in registry.deprecated:
            yield Finding("deprecated", where, name)
        if not fits(value, type_):
            sent = value.WhichOneof("value")
            yield Finding("type_mismatch", where, f"{name} is {sent}, not {type_}")
        if name in registry.schemas and value.WhichOneof("value") == "string_value":
            yield from _content_findings(registry, where, name, value.string_value)


def required_findings(
    where: str, declared: Mapping[str, Declared], carried: Mapping[str, AnyValue]
) -> Iterator[Finding]:
    """Yield the required attributes that a metric's point or an event lacks.

    Args:
        where: The metric or event.
        declared: What the conventions say of its attributes.
        carried: The values by name.
    """
    for name, one in declared.items():
        if one.level == REQUIRED and name not in carried:
            yield Finding("required_attribute_not_present", where, name)


def schema_errors(schema: Mapping[str, Any], value: object) -> list[str]:
    """Return where a value does not fit its schema.

    Args:
        schema: The JSON schema.
        value: The value, as JSON knows it.
    """
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(value)
    ]


def structure_findings(
    registry: Registry, where: str, attributes: Mapping[str, AnyValue]
) -> Iterator[Finding]:
    """Yield what is wrong with content that came as a structure, not as JSON text.

    The runner does not look at it; we do.

    Args:
        registry: The conventions.
        where: What carries it.
        attributes: The values by name.
    """
    for name, value in attributes.items():
        if name in registry.schemas and value.WhichOneof("value") != "string_value":
            for error in schema_errors(registry.schemas[name], plain(value)):
                yield Finding("genai_content_schema", where, f"{name}: {error}")


def _content_findings(
    registry: Registry, where: str, name: str, text: str
) -> Iterator[Finding]:
    """Yield what is wrong with content that came as JSON text."""
    try:
        value = json.loads(text)
    except ValueError:
        yield Finding(FATAL, where, f"{name} is no JSON")
        return
    for error in schema_errors(registry.schemas[name], value):
        yield Finding("genai_content_schema", where, f"{name}: {error}")
