"""Values as OTLP carries them: their types, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

# A convention's type -> the fields of an OTLP value that fit it.
_FITS: Final = {
    "string": {"string_value"},
    "boolean": {"bool_value"},
    "int": {"int_value"},
    "double": {"double_value", "int_value"},
    "enum": {"string_value", "int_value"},
}
_ANY: Final = "any"
_LIST: Final = "[]"


def fits(value: AnyValue, type_: str) -> bool:
    """Say whether a value has the type that the conventions want.

    Args:
        value: The value.
        type_: Such as ``int`` or ``string[]``; ``any`` takes everything.
    """
    if type_ == _ANY:
        return True
    field = value.WhichOneof("value")
    if type_.endswith(_LIST):
        item = type_.removesuffix(_LIST)
        return field == "array_value" and all(
            fits(one, item) for one in value.array_value.values
        )
    return field in _FITS[type_]


def plain(value: AnyValue) -> Any:
    """Return a value as Python knows it.

    Args:
        value: The value.
    """
    field = value.WhichOneof("value")
    if field is None:
        return None
    if field == "array_value":
        return [plain(one) for one in value.array_value.values]
    if field == "kvlist_value":
        return {one.key: plain(one.value) for one in value.kvlist_value.values}
    return getattr(value, field)


def as_dict(attributes: Iterable[KeyValue]) -> dict[str, AnyValue]:
    """Return attributes by name.

    Args:
        attributes: As a span, a point, a record or a resource carries them.
    """
    return {one.key: one.value for one in attributes}
