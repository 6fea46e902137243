"""Clients for the public HTTP APIs of Jaeger and Prometheus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

_ERROR = 2
_NOT_FOUND = 404


def get(url: str, **query: str) -> Any:
    """Return the JSON response of a URL.

    Args:
        url: Without its query.
        query: The query's parameters.

    Raises:
        HTTPError: The server refused.
    """
    address = f"{url}?{urlencode(query)}" if query else url
    try:
        with urlopen(address, timeout=60) as answer:  # noqa: S310 -- http, our own server
            return json.load(answer)
    except HTTPError as error:
        error.close()  # it holds the connection
        raise


@dataclass(frozen=True, slots=True)
class Span:
    """A span as Jaeger stores it.

    Args:
        name: Its name.
        span_id: Its id, in hex.
        parent_id: Its parent's id, empty for a root.
        start: Nanoseconds.
        end: Nanoseconds.
        service: The service's name.
        attributes: Its attributes.
        failed: Whether its status is ERROR.
        message: Its status message.
        events: Attributes by the event's name.
    """

    name: str
    span_id: str
    parent_id: str
    start: int
    end: int
    service: str
    attributes: dict[str, Any]
    failed: bool
    message: str
    events: dict[str, dict[str, Any]]

    def overlaps(self, other: Span) -> bool:
        """Return whether two spans were open at the same time.

        Args:
            other: Another span.
        """
        return self.start < other.end and other.start < self.end


def trace(jaeger: str, trace_id: str) -> list[Span]:
    """Return a trace's spans from Jaeger's API v3; none if the trace is unknown.

    Args:
        jaeger: The URL of Jaeger's HTTP port.
        trace_id: In hex.
    """
    try:
        found = get(f"{jaeger}/api/v3/traces/{trace_id}")
    except HTTPError as error:
        if error.code == _NOT_FOUND:
            return []
        raise
    return list(_spans(found["result"]))


def _spans(found: dict[str, Any]) -> Iterator[Span]:
    """Flatten OTLP's JSON."""
    for resource in found["resourceSpans"]:
        service = _attributes(resource["resource"])["service.name"]
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                status = span.get("status", {})
                yield Span(
                    name=span["name"],
                    span_id=span["spanId"],
                    parent_id=span.get("parentSpanId", ""),
                    start=int(span["startTimeUnixNano"]),
                    end=int(span["endTimeUnixNano"]),
                    service=service,
                    attributes=_attributes(span),
                    failed=status.get("code") in (_ERROR, "STATUS_CODE_ERROR"),
                    message=status.get("message", ""),
                    events={
                        event["name"]: _attributes(event)
                        for event in span.get("events", ())
                    },
                )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    """Return OTLP's list of typed values as a dict."""
    return {
        entry["key"]: _value(entry["value"]) for entry in holder.get("attributes", ())
    }


def _value(typed: dict[str, Any]) -> Any:
    """Return an OTLP value; integers travel as text."""
    kind, value = next(iter(typed.items()))
    if kind == "intValue":
        return int(value)
    if kind == "arrayValue":
        return [_value(each) for each in value.get("values", ())]
    return value


def samples(prometheus: str, query: str) -> list[dict[str, Any]]:
    """Return labels and value of each series of a PromQL expression.

    Args:
        prometheus: The URL of Prometheus.
        query: The expression.
    """
    found = get(f"{prometheus}/api/v1/query", query=query)
    return [
        {"labels": each["metric"], "value": float(each["value"][1])}
        for each in found["data"]["result"]
    ]


def total(prometheus: str, query: str) -> float:
    """Return the value of a PromQL expression with one series, 0 if it is empty.

    Args:
        prometheus: The URL of Prometheus.
        query: The expression; it must not give more than one series.
    """
    found = samples(prometheus, query)
    assert len(found) <= 1, found
    return float(found[0]["value"]) if found else 0.0


def exemplars(prometheus: str, query: str, since: float, until: float) -> list[str]:
    """Return the trace ids in the exemplars of a series.

    Args:
        prometheus: The URL of Prometheus.
        query: The series' selector.
        since: Unix seconds.
        until: Unix seconds.
    """
    found = get(
        f"{prometheus}/api/v1/query_exemplars",
        query=query,
        start=str(since),
        end=str(until),
    )
    return [
        exemplar["labels"]["trace_id"]
        for series in found["data"]
        for exemplar in series["exemplars"]
    ]
