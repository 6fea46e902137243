"""Why a run did not end well: its outcome, the error's type and the error's class."""

from __future__ import annotations

import asyncio
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

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
"""Attributes of an error or of its reply that may hold the HTTP status."""

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
"""The first that a reply has is the provider's id of the request."""

REQUEST_ID_ATTRIBUTES: Final = ("request_id",)
"""Attributes of an error that hold it: OpenAI's and Anthropic's clients."""

# https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3; milliseconds are OpenAI's.
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
    """Read what a refused request is known by."""
    if type(error).__module__ == "builtins" and error.__cause__ is None:
        return NO_ATTRIBUTES
    found: dict[str, AttributeValue] = {}
    current: object = error
    for _ in range(MOST_CAUSES):
        if not isinstance(current, BaseException):
            break
        for name, value in _facts(current):
            found.setdefault(name, value)
        current = cause_of(current)
    return found or NO_ATTRIBUTES


def _facts(error: BaseException) -> Iterator[tuple[str, AttributeValue]]:
    """List what one error says, without its causes."""
    reply = read(error, "response")
    about = mapping(mapping(reply).get("ResponseMetadata"))  # botocore's
    status = _status(error, reply, about)
    if status is not None:
        yield semconv.HTTP_STATUS, status
    headers = about.get("HTTPHeaders") if about else read(reply, "headers")
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
    """Find the HTTP status."""
    places = [read(owner, name) for owner in (error, reply) for name in STATUSES]
    for status in (*places, about.get("HTTPStatusCode")):
        # Of `http.HTTPStatus`, too; gRPC's codes are below, and booleans are none.
        if isinstance(status, int) and _STATUS_FROM <= status <= _STATUS_TO:
            return int(status)
    return None


def _header(headers: object, name: str) -> str:
    """Read one header, of a dictionary or of a client's own mapping."""
    get = read(headers, "get")
    if not callable(get):
        return ""
    try:
        value = get(name)
    except Exception:  # noqa: BLE001 -- a strange mapping has no header
        return ""
    return text(value)[:_LONGEST_HEADER]


def _retry_after(headers: object) -> float | None:
    """Read how many seconds to wait, said in milliseconds, seconds or as a date."""
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
    """Read a number of seconds, or of parts of them."""
    try:
        return _bounded(float(body) / parts)
    except ValueError:
        return None


def _bounded(wait: float) -> float | None:
    """Let in a time that can be meant."""
    return wait if math.isfinite(wait) and 0 <= wait <= _LONGEST_WAIT else None


def _retry_info(error: BaseException) -> float | None:
    """Read Google's ``RetryInfo``: ``{"@type": ..., "retryDelay": "17s"}``."""
    details = read(error, "details")
    if isinstance(details, dict):  # google.genai: the reply's JSON
        details = mapping(details.get("error", details)).get("details")
    if not isinstance(details, list | tuple):
        return None
    for detail in details[:_MOST_DETAILS]:
        about = mapping(detail)
        if text(about.get("@type")).endswith(_RETRY_INFO):
            return _seconds(text(about.get("retryDelay")).removesuffix("s"), 1.0)
        delay = read(detail, "retry_delay")  # google.api_core: a message
        if delay is not None:
            seconds, nanos = read(delay, "seconds"), read(delay, "nanos")
            if isinstance(seconds, int) and isinstance(nanos, int | None):
                return _bounded(seconds + (nanos or 0) / 1e9)
    return None


_CONTROL_FLOW: Final = frozenset({"GraphBubbleUp", "GraphInterrupt", "ParentCommand"})
"""LangGraph steers with these: https://reference.langchain.com/python/langgraph/errors"""

_INTERRUPTS: Final = frozenset({"GraphInterrupt"})
_INTERRUPTED: Final = Response(
    usage_expected=False, attributes={semconv.INTERRUPTED: True}
)

_CANCELLED: Final = Failure(CANCELLED, CANCELLED, semconv.CANCELLED)
_ABANDONED: Final = Failure(ABANDONED, ABANDONED, semconv.ABANDONED)

_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled", "GreenletExit"})
"""The same in ``concurrent.futures``, in trio, and of a greenlet that was killed."""


def failure(error: BaseException) -> Failure | None:
    """Say why a run ended with an exception."""
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
"""Classes of errors of an answer that came, and that nobody could read: OpenAI's and
Anthropic's clients', httpx' and Python's own."""

_MAYBE_SENT: Final = frozenset({semconv.TIMEOUT, semconv.CONNECTION})
_NOT_CONNECTED: Final = frozenset(
    {
        *("ConnectError", "ConnectTimeout", "PoolTimeout", "ConnectionRefusedError"),
        *("ClientConnectorError", "ConnectTimeoutError", "NewConnectionError"),
        *("EndpointConnectionError", "gaierror"),
    }
)
"""Classes of errors that come before anything was sent: httpx', aiohttp's, urllib3's,
botocore's and Python's own."""


def _was_sent(error: BaseException, error_class: str) -> bool:
    """Return whether a request went out whose answer did not come."""
    current: object = error
    causes = 0
    for _ in range(MOST_CAUSES):
        if not isinstance(current, BaseException):
            break
        if any(base.__name__ in _NOT_CONNECTED for base in type(current).__mro__):
            return False
        causes += 1
        current = cause_of(current)
    # A client's word for no connection alone says nothing; its cause does.
    return error_class == semconv.TIMEOUT or causes > 1


def interruption(error: BaseException) -> Response | None:
    """Say whether a run waits for somebody: what it gave back, then."""
    return _INTERRUPTED if _is_one_of(type(error), _INTERRUPTS) else None


def _is_one_of(kind: type, names: frozenset[str]) -> bool:
    """Tell whether LangGraph steers with this exception."""
    return any(
        base.__name__ in names and base.__module__.startswith("langgraph")
        for base in kind.__mro__
    )
