"""Classify an error into a closed set: the label ``error_class``.

The class comes from, in this order: LangChain's provider-neutral errors, the names of
the error's classes, its code, its HTTP status, and the errors of Python and of HTTP
clients; then from its cause in the same order. Classes are matched by name, so no
provider's package is imported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.values import fields, mapping, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_CAUSES: Final = 3
"""Errors read: the outer one and its causes."""

_BY_LANGCHAIN: Final = {
    "ContextOverflowError": semconv.CONTEXT_LENGTH,
    "ModelAuthenticationError": semconv.AUTH,
    "ModelPermissionDeniedError": semconv.AUTH,
    "ModelRateLimitError": semconv.RATE_LIMITED,
    "ModelTimeoutError": semconv.TIMEOUT,
    "ModelConnectionError": semconv.CONNECTION,
    "ModelAPIError": semconv.SERVER_ERROR,
    "ModelNotFoundError": semconv.BAD_REQUEST,
}
"""``langchain_core.exceptions``, by name: older versions lack them."""

_BY_NAME: Final = {
    # providers' clients
    "APITimeoutError": semconv.TIMEOUT,
    "APIConnectionError": semconv.CONNECTION,
    "AuthenticationError": semconv.AUTH,
    "PermissionDeniedError": semconv.AUTH,
    "RateLimitError": semconv.RATE_LIMITED,
    "InternalServerError": semconv.SERVER_ERROR,
    "OverloadedError": semconv.SERVER_ERROR,
    "ContentFilterFinishReasonError": semconv.CONTENT_FILTER,
    "OpenAIRefusalError": semconv.CONTENT_FILTER,
    "ContentPolicyViolationError": semconv.CONTENT_FILTER,
    "BlockedPromptException": semconv.CONTENT_FILTER,
    "StopCandidateException": semconv.CONTENT_FILTER,
    "ContextWindowExceededError": semconv.CONTEXT_LENGTH,
    # google.api_core.exceptions
    "ResourceExhausted": semconv.RATE_LIMITED,
    "TooManyRequests": semconv.RATE_LIMITED,
    "DeadlineExceeded": semconv.TIMEOUT,
    "GatewayTimeout": semconv.TIMEOUT,
    "Unauthenticated": semconv.AUTH,
    "PermissionDenied": semconv.AUTH,
    "ServiceUnavailable": semconv.SERVER_ERROR,
    # botocore.exceptions
    "NoCredentialsError": semconv.AUTH,
    "EndpointConnectionError": semconv.CONNECTION,
    "PartialCredentialsError": semconv.AUTH,
    "CredentialRetrievalError": semconv.AUTH,
    "ReadTimeoutError": semconv.TIMEOUT,
    "ConnectTimeoutError": semconv.TIMEOUT,
    "ConnectionClosedError": semconv.CONNECTION,
    "MaxRetryError": semconv.CONNECTION,
}
"""A class among an error's bases -> ``error_class``; the nearest base wins."""

_LAST_BY_NAME: Final = {
    # HTTP clients: httpx, httpx2, requests, aiohttp, urllib3
    "TimeoutException": semconv.TIMEOUT,
    "ConnectTimeout": semconv.TIMEOUT,
    "NodeTimeoutError": semconv.TIMEOUT,
    "Timeout": semconv.TIMEOUT,
    "ServerTimeoutError": semconv.TIMEOUT,
    "TransportError": semconv.CONNECTION,
    "ClientConnectionError": semconv.CONNECTION,
    "ProtocolError": semconv.CONNECTION,
    # Python
    "TimeoutError": semconv.TIMEOUT,
    "ConnectionError": semconv.CONNECTION,
    "gaierror": semconv.CONNECTION,
    "SSLError": semconv.CONNECTION,
    "KeyboardInterrupt": semconv.CANCELLED,
    # least certain
    "ModelInvalidRequestError": semconv.BAD_REQUEST,
    "BadRequestError": semconv.BAD_REQUEST,
    "UnprocessableEntityError": semconv.BAD_REQUEST,
    "NotFoundError": semconv.BAD_REQUEST,
    "InvalidArgument": semconv.BAD_REQUEST,
}
"""The same, after code and status, which are more specific."""

_BY_CODE: Final = {
    "context_length_exceeded": semconv.CONTEXT_LENGTH,
    "string_above_max_length": semconv.CONTEXT_LENGTH,
    "model_max_tokens_exceeded": semconv.CONTEXT_LENGTH,
    "content_filter": semconv.CONTENT_FILTER,
    "content_policy_violation": semconv.CONTENT_FILTER,
    "image_content_policy_violation": semconv.CONTENT_FILTER,
    "responsibleaipolicyviolation": semconv.CONTENT_FILTER,
    "data_inspection_failed": semconv.CONTENT_FILTER,
    "datainspectionfailed": semconv.CONTENT_FILTER,
    "insufficient_quota": semconv.RATE_LIMITED,
    "rate_limit_exceeded": semconv.RATE_LIMITED,
    "rate_limit_error": semconv.RATE_LIMITED,
    "throttling": semconv.RATE_LIMITED,
    "throttlingexception": semconv.RATE_LIMITED,
    "throttling.ratequota": semconv.RATE_LIMITED,
    "toomanyrequestsexception": semconv.RATE_LIMITED,
    "servicequotaexceededexception": semconv.RATE_LIMITED,
    "resource_exhausted": semconv.RATE_LIMITED,
    "invalid_api_key": semconv.AUTH,
    "invalidapikey": semconv.AUTH,
    "authentication_error": semconv.AUTH,
    "permission_error": semconv.AUTH,
    "accessdeniedexception": semconv.AUTH,
    "unrecognizedclientexception": semconv.AUTH,
    "expiredtokenexception": semconv.AUTH,
    "unauthenticated": semconv.AUTH,
    "permission_denied": semconv.AUTH,
    "overloaded_error": semconv.SERVER_ERROR,
    "api_error": semconv.SERVER_ERROR,
    "server_error": semconv.SERVER_ERROR,
    "internalserverexception": semconv.SERVER_ERROR,
    "serviceunavailableexception": semconv.SERVER_ERROR,
    "modelnotreadyexception": semconv.SERVER_ERROR,
    "modelerrorexception": semconv.SERVER_ERROR,
    "unavailable": semconv.SERVER_ERROR,
    "internal": semconv.SERVER_ERROR,
    "modeltimeoutexception": semconv.TIMEOUT,
    "deadline_exceeded": semconv.TIMEOUT,
    "timeout_error": semconv.TIMEOUT,
    "validationexception": semconv.BAD_REQUEST,
    "invalid_request_error": semconv.BAD_REQUEST,
    "invalid_argument": semconv.BAD_REQUEST,
    "model_not_found": semconv.BAD_REQUEST,
}
"""A provider's error code in lower case -> ``error_class``."""

_BY_STATUS: Final = {
    401: semconv.AUTH,
    402: semconv.RATE_LIMITED,
    403: semconv.AUTH,
    408: semconv.TIMEOUT,
    413: semconv.CONTEXT_LENGTH,
    429: semconv.RATE_LIMITED,
    504: semconv.TIMEOUT,
}
"""HTTP status -> ``error_class``; others by their first digit."""

_BY_FIRST_DIGIT: Final = {4: semconv.BAD_REQUEST, 5: semconv.SERVER_ERROR}

_CODES: Final = ("code", "type", "status", "grpc_status_code")
_STATUSES: Final = ("status_code", "status", "http_status", "code")


_builtin_classes: dict[type, str] = {}


def class_of(error: BaseException) -> str:
    """Return the class of an error."""
    kind = type(error)
    if (
        kind.__module__ == "builtins"
        and not error.__dict__
        and not cause_of(error)
        and not _in_answer(error)
    ):
        # Such an error holds no information beyond its type.
        if kind not in _builtin_classes:
            _builtin_classes[kind] = _own_class(error) or semconv.OTHER
        return _builtin_classes[kind]
    current: object = error
    for _ in range(MOST_CAUSES):
        if not isinstance(current, BaseException):
            break
        if found := _own_class(current):
            return found
        current = cause_of(current)
    return semconv.OTHER


def _own_class(error: BaseException) -> str:
    """Return the class of an error, without its causes."""
    names = [base.__name__ for base in type(error).__mro__]
    return (
        _first(names, _BY_LANGCHAIN)
        or _first(names, _BY_NAME)
        or _first((text(code)[:64].lower() for code in _codes(error)), _BY_CODE)
        or _by_status(error)
        or _first(names, _LAST_BY_NAME)
    )


def _first(names: Iterable[str], table: dict[str, str]) -> str:
    """Return the table's entry for the first name that is in it."""
    return next((table[name] for name in names if name in table), "")


def cause_of(error: BaseException) -> object:
    """Return the cause of an error, or the first error of a group."""
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return error.__cause__


def read(owner: object, name: str) -> object:
    """Read an attribute, or None if it raises, as some of clients' errors do."""
    try:
        return getattr(owner, name, None)
    except Exception:  # noqa: BLE001 -- see the docstring
        return None


def _codes(error: BaseException) -> Iterator[object]:
    """Yield the values that may be an error's code."""
    for attribute in _CODES:
        code = read(error, attribute)
        if attribute == "code" and callable(code):  # grpc.RpcError
            code = _called(code)
        yield code if isinstance(code, str) else read(code, "name")
    for place in (*_bodies(error), _botocore(error, "Error")):
        yield place.get("code")
        yield place.get("type")
        yield place.get("Code")


def _bodies(error: BaseException) -> tuple[dict[object, object], ...]:
    """Return the body of an error response, and the error in it."""
    body = mapping(read(error, "body")) or _in_answer(error)
    return body, mapping(body.get("error"))


_CODE: Final = re.compile(r"(?:\w+\(code=')?(\w+_\w+)(?:'|: )")
_LONGEST_CODE: Final = 64


def _in_answer(error: BaseException) -> dict[object, object]:
    """Return the error in an answer, which langchain-openai raises as a ValueError.

    It is a dictionary, an object, or a text that starts with the code.
    """
    if type(error) is not ValueError or len(error.args) != 1:
        return {}
    said = error.args[0]
    if type(said) is not str:
        return fields(said)
    found = _CODE.match(said[:_LONGEST_CODE])
    return {"code": found[1]} if found else {}


def _called(code: Callable[[], object]) -> object:
    """Call the method ``code`` of gRPC's errors."""
    try:
        return code()
    except Exception:  # noqa: BLE001 -- the error is still classified
        return None


def _botocore(error: BaseException, part: str) -> dict[object, object]:
    """Return a part of the response in botocore's errors."""
    return mapping(mapping(read(error, "response")).get(part))


def _by_status(error: BaseException) -> str:
    """Return the class of an error by its HTTP status."""
    places = [read(error, attribute) for attribute in _STATUSES]
    places.append(read(read(error, "response"), "status_code"))
    places.append(_botocore(error, "ResponseMetadata").get("HTTPStatusCode"))
    places += [body.get("code") for body in _bodies(error)]  # OpenRouter's
    status: Any
    for status in places:
        if issubclass(type(status), int):  # the type: a mock's class is its target's
            found = _BY_STATUS.get(status) or _BY_FIRST_DIGIT.get(status // 100)
            if found:
                return found
    return ""
