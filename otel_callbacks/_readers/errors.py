"""Read why a run failed: its outcome, ``error.type`` and ``error_class``."""

from __future__ import annotations

import asyncio
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.error_classes import MOST_CAUSES, cause_of, class_of, read
from otel_callbacks._readers.values import mapping, text
from otel_callbacks._records import (
    ABANDONED,
    CANCELLED,
    ERROR,
    NO_ATTRIBUTES,
    Failure,
    Response,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._records import Attributes, AttributeValue

STATUSES: Final = ("status_code", "http_status", "code", "status")
"""Attributes of an error or its HTTP response that may hold the status."""

REQUEST_ID_HEADERS: Final = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-ms-request-id",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-goog-request-id",
    "cf-ray",
)
"""The first header that is present is the provider's request id."""

REQUEST_ID_ATTRIBUTES: Final = ("request_id",)
"""Attributes with the request id, in errors of OpenAI's and Anthropic's clients."""

# https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3; OpenAI sends milliseconds.
_RETRY_AFTER: Final = "retry-after"
_RETRY_AFTER_MS: Final = "retry-after-ms"
_MILLISECONDS: Final = 1000.0
_LONGEST_WAIT: Final = 10 * 365 * 86_400.0
_LONGEST_HEADER: Final = 128
_STATUS_FROM, _STATUS_TO = 100, 599

# https://cloud.google.com/apis/design/errors#error_details
_RETRY_INFO: Final = "RetryInfo"
_MOST_DETAILS: Final = 16


def refused(error: BaseException) -> Attributes:
    """Read the HTTP status, the retry delay and the request id of a refused request."""
    if type(error).__module__ == "builtins" and error.__cause__ is None:
        return NO_ATTRIBUTES
    found: dict[str, AttributeValue] = {}
    current: object = error
    for _ in range(MOST_CAUSES):
        if not isinstance(current, BaseException):
            break
        for name, value in _attributes(current):
            found.setdefault(name, value)
        current = cause_of(current)
    return found or NO_ATTRIBUTES


def _attributes(error: BaseException) -> Iterator[tuple[str, AttributeValue]]:
    """Yield the attributes of one error, without its causes."""
    reply = read(error, "response")
    about = mapping(mapping(reply).get("ResponseMetadata"))  # botocore's
    status = _status(error, reply, about)
    if status is not None:
        yield semconv.HTTP_STATUS, status
    # Errors without a response may have its headers themselves: of Cohere's client,
    # aiohttp and urllib.
    owner = error if reply is None else reply
    headers = about.get("HTTPHeaders") if about else read(owner, "headers")
    wait = _retry_after(headers)
    if wait is None:
        wait = _retry_info(error)
    if wait is not None:
        yield semconv.RETRY_AFTER, wait
    ids = [read(error, name) for name in REQUEST_ID_ATTRIBUTES]
    ids += [about.get("RequestId")]
    ids += [_header(headers, name) for name in REQUEST_ID_HEADERS]
    for each in ids:
        if request_id := text(each)[:_LONGEST_HEADER]:
            yield semconv.REQUEST_ID, request_id
            return


def _status(
    error: BaseException, reply: object, about: dict[object, object]
) -> int | None:
    """Return the HTTP status, or None."""
    places = [read(owner, name) for owner in (error, reply) for name in STATUSES]
    status: Any
    for status in (*places, about.get("HTTPStatusCode")):
        # Includes `http.HTTPStatus`; gRPC's codes and booleans are below the range.
        # By the type: a mock's class is what it stands for.
        if issubclass(type(status), int) and _STATUS_FROM <= status <= _STATUS_TO:
            return int(status)
    return None


def _header(headers: object, name: str) -> str:
    """Read one header from a dictionary or a client's own mapping."""
    get = read(headers, "get")
    if not callable(get):
        return ""
    try:
        value = get(name)
    except Exception:  # noqa: BLE001 -- a mapping that raises has no header
        return ""
    return text(value)[:_LONGEST_HEADER]


def _retry_after(headers: object) -> float | None:
    """Read the delay in seconds from a header in milliseconds, seconds or as a date."""
    wait = _seconds(_header(headers, _RETRY_AFTER_MS), _MILLISECONDS)
    if wait is not None:
        return wait
    body = _header(headers, _RETRY_AFTER)
    wait = _seconds(body, 1.0)
    if wait is not None or not body:
        return wait
    try:
        until = parsedate_to_datetime(body).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return _bounded(max(0.0, until - time.time()))


def _seconds(body: str, parts: float) -> float | None:
    """Read a number of seconds, or of fractions of a second."""
    try:
        return _bounded(float(body) / parts)
    except ValueError:
        return None


def _bounded(wait: float) -> float | None:
    """Return a delay within plausible bounds, else None."""
    return wait if math.isfinite(wait) and 0 <= wait <= _LONGEST_WAIT else None


def _retry_info(error: BaseException) -> float | None:
    """Read Google's ``RetryInfo``: ``{"@type": ..., "retryDelay": "17s"}``."""
    details = read(error, "details")
    if isinstance(details, dict):  # google.genai: the reply's JSON
        details = mapping(details.get("error", details)).get("details")
    if not isinstance(details, list | tuple):
        return None
    for detail in details[:_MOST_DETAILS]:
        info = mapping(detail)
        if text(info.get("@type")).endswith(_RETRY_INFO):
            return _seconds(text(info.get("retryDelay")).removesuffix("s"), 1.0)
        delay = read(detail, "retry_delay")  # google.api_core: a message
        if delay is not None:
            seconds, nanos = read(delay, "seconds"), read(delay, "nanos")
            if isinstance(seconds, int) and isinstance(nanos, int | None):
                return _bounded(seconds + (nanos or 0) / 1e9)
    return None


_CONTROL_FLOW: Final = frozenset({"GraphBubbleUp", "GraphInterrupt", "ParentCommand"})
"""LangGraph's control flow: https://reference.langchain.com/python/langgraph/errors"""

_INTERRUPTS: Final = frozenset({"GraphInterrupt"})
_INTERRUPTED: Final = Response(
    usage_expected=False, attributes={semconv.INTERRUPTED: True}
)

_CANCELLED: Final = Failure(CANCELLED, CANCELLED, semconv.CANCELLED)
_ABANDONED: Final = Failure(ABANDONED, ABANDONED, semconv.ABANDONED)

_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled", "GreenletExit"})
"""Cancellation in ``concurrent.futures``, in trio, and of a killed greenlet."""


def failure(error: BaseException) -> Failure | None:
    """Return the failure of a run that raised, or None for LangGraph's control flow."""
    if isinstance(error, GeneratorExit):
        return _ABANDONED
    kind = type(error)
    if isinstance(error, asyncio.CancelledError) or kind.__name__ in _CANCELLATIONS:
        return _CANCELLED
    if kind.__module__ != "builtins" and _is_one_of(kind, _CONTROL_FLOW):
        return None
    name = text(kind.__name__) or semconv.ERROR_TYPE_OTHER
    error_class = class_of(error)
    was_sent = name in _UNREADABLE or (
        error_class in _MAYBE_SENT and _was_sent(error, error_class)
    )
    return Failure(ERROR, name, error_class, refused(error), was_sent)


_UNREADABLE: Final = frozenset(
    {"APIResponseValidationError", "DecodingError", "JSONDecodeError"}
)
"""Errors for a response that arrived and could not be decoded: of OpenAI's and
Anthropic's clients, httpx and Python."""

_MAYBE_SENT: Final = frozenset({semconv.TIMEOUT, semconv.CONNECTION})
_NOT_CONNECTED: Final = frozenset(
    {
        *("ConnectError", "ConnectTimeout", "PoolTimeout", "ConnectionRefusedError"),
        *("ClientConnectorError", "ConnectTimeoutError", "NewConnectionError"),
        *("EndpointConnectionError", "gaierror"),
    }
)
"""Errors raised before anything was sent: of httpx, aiohttp, urllib3, botocore and
Python."""


def _was_sent(error: BaseException, error_class: str) -> bool:
    """Return whether the request was sent, though no response arrived."""
    current: object = error
    causes = 0
    for _ in range(MOST_CAUSES):
        if not isinstance(current, BaseException):
            break
        if any(base.__name__ in _NOT_CONNECTED for base in type(current).__mro__):
            return False
        causes += 1
        current = cause_of(current)
    # A client's connection error alone proves nothing; its cause does.
    return error_class == semconv.TIMEOUT or causes > 1


def interruption(error: BaseException) -> Response | None:
    """Return the response of an interrupted run, or None if it was not interrupted."""
    return _INTERRUPTED if _is_one_of(type(error), _INTERRUPTS) else None


def _is_one_of(kind: type, names: frozenset[str]) -> bool:
    """Return whether a class is, or derives from, one of LangGraph's exceptions."""
    return any(
        base.__name__ in names and base.__module__.startswith("langgraph")
        for base in kind.__mro__
    )
