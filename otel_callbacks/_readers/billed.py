"""What a provider bills at a rate of its own: searches, long caches, images, speed."""

from __future__ import annotations

from typing import Final

from otel_callbacks._readers.values import count, mapping, text

_HOUR: Final = "ephemeral_1h_input_tokens"
_APART: Final = frozenset({_HOUR, "image"})
_NOTHING: Final[tuple[tuple[str, int], ...]] = ()


def billed_parts(
    usage_metadata: object, metadata: dict[object, object], content: object
) -> tuple[tuple[str, int], ...]:
    """Read what is billed at a rate of its own and is no part of a usage."""
    told = mapping(usage_metadata)
    inputs = mapping(told.get("input_token_details"))
    outputs = mapping(told.get("output_token_details"))
    raw = mapping(metadata.get("usage"))
    if (
        not raw
        and not isinstance(content, list)
        and _APART.isdisjoint(inputs)
        and _APART.isdisjoint(outputs)
    ):
        return _NOTHING  # as mostly
    parts = (
        (
            "cache_write_1h",
            count(inputs.get(_HOUR))
            or count(mapping(raw.get("cache_creation")).get(_HOUR)),
        ),
        ("image_input", count(inputs.get("image"))),
        ("image_output", count(outputs.get("image"))),
        ("web_search", _searches(raw, content)),
        ("fast", int(text(raw.get("speed")) == "fast")),
    )
    return tuple([(kind, amount) for kind, amount in parts if amount])


def _searches(raw: dict[object, object], content: object) -> int:
    """Count the searches of the web that the provider made for an answer."""
    counted = count(mapping(raw.get("server_tool_use")).get("web_search_requests"))
    if counted is not None or not isinstance(content, list):
        return counted or 0
    return sum(text(mapping(part).get("type")) == "web_search_call" for part in content)
