"""Read why a run failed: its outcome, ``error.type`` and ``error_class``.

The class comes from LangChain's provider-neutral errors, the names of the error's
classes, its code, its HTTP status, and the errors of Python and of HTTP clients, in
this order; then from its cause in the same order. Classes are matched by name, so no
provider's package is imported. ``errors.toml`` has the tables.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks._data import by_item, data_beside
from otel_callbacks._readers.values import fields, mapping, text
from otel_callbacks._records import (
    ABANDONED,
    CANCELLED,
    ERROR,
    NO_ATTRIBUTES,
    Failure,
    Response,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_callbacks._records import Attributes, AttributeValue

_MOST_CAUSES: Final = 3
"""Errors read: the outer one and its causes."""

_STATUSES: Final = ("status_code", "http_status", "code", "status")
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
    for each in _with_causes(error):
        for name, value in _attributes(each):
            found.setdefault(name, value)
    return found or NO_ATTRIBUTES


def _attributes(error: BaseException) -> Iterator[tuple[str, AttributeValue]]:
    """Yield the attributes of one error, without its causes."""
    if (status := next(_statuses(error), None)) is not None:
        yield semconv.HTTP_STATUS, status
    reply, about = _read(error, "response"), _botocore(error, "ResponseMetadata")
    # Errors without a response may have its headers themselves: of Cohere's client,
    # aiohttp and urllib.
    owner = error if reply is None else reply
    headers = about.get("HTTPHeaders") if about else _read(owner, "headers")
    wait = _retry_after(headers)
    if wait is None:
        wait = _retry_info(error)
    if wait is not None:
        yield semconv.RETRY_AFTER, wait
    ids = [_read(error, "request_id"), about.get("RequestId")]
    ids += [_header(headers, name) for name in REQUEST_ID_HEADERS]
    for each in ids:
        if request_id := text(each)[:_LONGEST_HEADER]:
            yield semconv.REQUEST_ID, request_id
            return


def _statuses(error: BaseException) -> Iterator[int]:
    """Yield what may be the HTTP status of an error, most certain first."""
    reply = _read(error, "response")
    places = [_read(owner, name) for owner in (error, reply) for name in _STATUSES]
    places.append(_botocore(error, "ResponseMetadata").get("HTTPStatusCode"))
    yield from filter(None, map(_status, places))


def _status(value: Any) -> int | None:
    """Return a value that is an HTTP status, else None."""
    # Includes `http.HTTPStatus`; gRPC's codes and booleans are below the range.
    # By the type: a mock's class is what it stands for.
    if issubclass(type(value), int) and _STATUS_FROM <= value <= _STATUS_TO:
        return int(value)
    return None


def _header(headers: object, name: str) -> str:
    """Read one header from a dictionary or a client's own mapping."""
    get = _read(headers, "get")
    return text(_called(get, name))[:_LONGEST_HEADER] if callable(get) else ""


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
    details = _read(error, "details")
    if isinstance(details, dict):  # google.genai: the reply's JSON
        details = mapping(details.get("error", details)).get("details")
    if not isinstance(details, list | tuple):
        return None
    for detail in details[:_MOST_DETAILS]:
        info = mapping(detail)
        if text(info.get("@type")).endswith(_RETRY_INFO):
            return _seconds(text(info.get("retryDelay")).removesuffix("s"), 1.0)
        delay = _read(detail, "retry_delay")  # google.api_core: a message
        if delay is not None:
            seconds, nanos = _read(delay, "seconds"), _read(delay, "nanos")
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
    errors = [*_with_causes(error)]
    bases = {base.__name__ for each in errors for base in type(each).__mro__}
    if not bases.isdisjoint(_NOT_CONNECTED):
        return False
    # A client's connection error alone proves nothing; its cause does.
    return error_class == semconv.TIMEOUT or len(errors) > 1


def interruption(error: BaseException) -> Response | None:
    """Return the response of an interrupted run, or None if it was not interrupted."""
    return _INTERRUPTED if _is_one_of(type(error), _INTERRUPTS) else None


def _is_one_of(kind: type, names: frozenset[str]) -> bool:
    """Return whether a class is, or derives from, one of LangGraph's exceptions."""
    return any(
        base.__name__ in names and base.__module__.startswith("langgraph")
        for base in kind.__mro__
    )


_LONGEST_CODE: Final = 64
_CODES: Final = ("code", "type", "status", "grpc_status_code")

_TABLES: Final[dict[str, dict[Any, str]]] = {
    name: by_item(lists) for name, lists in data_beside(__file__).items()
}
_BY_STATUS: Final = _TABLES["statuses"]
_BY_FIRST_DIGIT: Final = {4: semconv.BAD_REQUEST, 5: semconv.SERVER_ERROR}

_builtin_classes: dict[type, str] = {}


def class_of(error: BaseException) -> str:
    """Return the class of an error."""
    kind = type(error)
    if (
        kind.__module__ == "builtins"
        and not error.__dict__
        and not _cause_of(error)
        and not _in_answer(error)
    ):
        # Such an error holds no information beyond its type.
        if kind not in _builtin_classes:
            _builtin_classes[kind] = _own_class(error) or semconv.OTHER
        return _builtin_classes[kind]
    return next(filter(None, map(_own_class, _with_causes(error))), semconv.OTHER)


def _own_class(error: BaseException) -> str:
    """Return the class of an error, without its causes."""
    names = [base.__name__ for base in type(error).__mro__]
    codes = (text(code).lower() for code in _codes(error))
    return (
        _first(names, _TABLES["langchain"])
        or _first(names, _TABLES["names"])
        or _first(codes, _TABLES["codes"])
        or _by_status(error)
        or _first(names, _TABLES["last_names"])
    )


def _first(names: Iterable[str], table: dict[str, str]) -> str:
    """Return the table's entry for the first name that is in it."""
    return next((table[name] for name in names if name in table), "")


def _cause_of(error: BaseException) -> object:
    """Return the cause of an error, or the first error of a group."""
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return error.__cause__


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, the outer one first."""
    current: object = error
    for _ in range(_MOST_CAUSES):
        if not isinstance(current, BaseException):
            return
        yield current
        current = _cause_of(current)


def _read(owner: object, name: str) -> object:
    """Read an attribute, or None if it raises, as some of clients' errors do."""
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001 -- see the docstring
        return None


def _codes(error: BaseException) -> Iterator[object]:
    """Yield the values that may be an error's code."""
    for attribute in _CODES:
        code = _read(error, attribute)
        if attribute == "code" and callable(code):  # grpc.RpcError
            code = _called(code)
        yield code if isinstance(code, str) else _read(code, "name")
    for place in (*_bodies(error), _botocore(error, "Error")):
        yield place.get("code")
        yield place.get("type")
        yield place.get("Code")


def _bodies(error: BaseException) -> tuple[dict[object, object], ...]:
    """Return the body of an error response, and the error in it."""
    body = mapping(_read(error, "body")) or _in_answer(error)
    return body, mapping(body.get("error"))


_CODE: Final = re.compile(r"(?:\w+\(code=')?(\w+_\w+)(?:'|: )")


def _in_answer(error: BaseException) -> dict[object, object]:
    """Return the error in an answer, which langchain-openai raises as a ValueError.

    It is a dictionary, an object, or a text that starts with the code.
    """
    if type(error) is not ValueError or len(error.args) != 1:
        return {}
    (message,) = error.args
    if type(message) is not str:
        return fields(message)
    found = _CODE.match(message[:_LONGEST_CODE])
    return {"code": found[1]} if found else {}


def _called(function: Callable[..., object], *arguments: object) -> object:
    """Call a method of a client's object; None if it raises."""
    try:
        return function(*arguments)
    except Exception:  # noqa: BLE001 -- the error is still classified
        return None


def _botocore(error: BaseException, part: str) -> dict[object, object]:
    """Return a part of the response in botocore's errors."""
    return mapping(mapping(_read(error, "response")).get(part))


def _by_status(error: BaseException) -> str:
    """Return the class of an error by its HTTP status."""
    bodies = (_status(body.get("code")) for body in _bodies(error))  # OpenRouter's
    for status in (*_statuses(error), *filter(None, bodies)):
        if found := _BY_STATUS.get(status) or _BY_FIRST_DIGIT.get(status // 100):
            return found
    return ""
