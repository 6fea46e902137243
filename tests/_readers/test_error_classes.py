"""The class of an error, from a closed set."""

from __future__ import annotations

import asyncio
import builtins
import http
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import httpx
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import exceptions
from langchain_openai.chat_models import base
from openai.types.responses import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reporting import Reporter

    Classify = Callable[[BaseException], str]

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text("utf-8")
REQUEST = httpx.Request("POST", "http://127.0.0.1/v1/chat/completions")


def _status(kind: Any, status: int, **error: Any) -> BaseException:
    """Return an error of OpenAI's client."""
    response = httpx.Response(status, request=REQUEST)
    made: BaseException = kind("m", response=response, body=error or None)
    return made


def _own(name: str, bases: tuple[type, ...] = (Exception,), **attributes: Any) -> Any:
    """Return an error of another package."""
    return type(name, bases, attributes)()


@pytest.fixture
def class_of(reporter: Reporter) -> Classify:
    """Return what reports a failed call, and returns the error class of its span."""

    def report(error: BaseException) -> str:
        attributes = reporter.call([], error=error)["attributes"]
        name = "otel_callbacks.error_class"
        # A class equal to the outcome is left out.
        return str(attributes.get(name, attributes["otel_callbacks.outcome"]))

    return report


# Not in the oldest versions that are allowed.
OF_LANGCHAIN_OPENAI: list[tuple[str, int, dict[str, str], str]] = [
    (
        "OpenAIInvalidRequestError",
        400,
        {"code": "context_length_exceeded"},
        "context_length",
    ),
    ("OpenAIContextOverflowError", 400, {}, "context_length"),
    ("OpenAIRateLimitError", 429, {}, "rate_limited"),
]


@pytest.mark.recent
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ContextOverflowError", "context_length"),
        ("ModelAuthenticationError", "auth"),
        ("ModelPermissionDeniedError", "auth"),
        ("ModelInvalidRequestError", "bad_request"),
        ("ModelNotFoundError", "bad_request"),
        ("ModelRateLimitError", "rate_limited"),
        ("ModelAPIError", "server_error"),
        ("ModelConnectionError", "connection"),
        ("ModelTimeoutError", "timeout"),
    ],
)
def test_langchains_neutral_errors(
    name: str, expected: str, class_of: Classify
) -> None:
    """All classes of the installed langchain_core.exceptions."""
    assert class_of(getattr(exceptions, name)()) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (_status(openai.AuthenticationError, 401), "auth"),
        (_status(openai.PermissionDeniedError, 403), "auth"),
        (_status(openai.NotFoundError, 404, code="model_not_found"), "bad_request"),
        (_status(openai.BadRequestError, 400), "bad_request"),
        (_status(openai.UnprocessableEntityError, 422), "bad_request"),
        (
            _status(openai.RateLimitError, 429, code="insufficient_quota"),
            "rate_limited",
        ),
        (_status(openai.InternalServerError, 500), "server_error"),
        (_status(openai.InternalServerError, 529), "server_error"),
        (
            _status(openai.BadRequestError, 400, code="context_length_exceeded"),
            "context_length",
        ),
        (
            _status(openai.BadRequestError, 400, code="content_filter"),
            "content_filter",
        ),
        *(
            (_status(getattr(base, name), status, **code), expected)
            for name, status, code, expected in OF_LANGCHAIN_OPENAI
            if hasattr(base, name)
        ),
        (_status(openai.APIStatusError, 413), "context_length"),
        (_status(openai.APIStatusError, 408), "timeout"),
        (_status(openai.APIStatusError, 402), "rate_limited"),
        (_status(openai.ConflictError, 409), "bad_request"),
        (_status(openai.APIStatusError, 302), "other"),
        (openai.APITimeoutError(REQUEST), "timeout"),
        (openai.APIConnectionError(request=REQUEST), "connection"),
        (
            openai.APIError("m", REQUEST, body={"code": "data_inspection_failed"}),
            "content_filter",
        ),
        (openai.ContentFilterFinishReasonError(), "content_filter"),
    ],
)
def test_errors_of_openais_client(
    error: BaseException, expected: str, class_of: Classify
) -> None:
    """The code is more specific than the class ``BadRequestError``."""
    assert class_of(error) == expected


@pytest.mark.parametrize("module", [httpx, httpx2])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ConnectTimeout", "timeout"),
        ("ReadTimeout", "timeout"),
        ("PoolTimeout", "timeout"),
        ("ConnectError", "connection"),
        ("ReadError", "connection"),
        ("RemoteProtocolError", "connection"),
    ],
)
def test_errors_of_http_clients(
    module: Any, name: str, expected: str, class_of: Classify
) -> None:
    """The same names in httpx and in its successor."""
    assert class_of(getattr(module, name)("m")) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(), "connection"),
        (BrokenPipeError(), "connection"),
        (socket.gaierror(), "connection"),
        (KeyboardInterrupt(), "cancelled"),
        (ValueError("x"), "other"),
        (RecursionError(), "other"),
    ],
)
def test_errors_of_python(
    error: BaseException, expected: str, class_of: Classify
) -> None:
    """A builtin error is classified by its base class."""
    assert class_of(error) == expected


def _botocore(code: str, status: int) -> BaseException:
    """Return a ``ClientError`` as botocore creates it."""
    response = {
        "Error": {"Code": code, "Message": "m"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error: BaseException = _own("ClientError", response=response)
    return error


class _Status:
    """A status of gRPC."""

    name = "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (_botocore("ThrottlingException", 429), "rate_limited"),
        (_botocore("AccessDeniedException", 403), "auth"),
        (_botocore("ValidationException", 400), "bad_request"),
        (_botocore("SomethingNew", 503), "server_error"),
        (_own("RpcError", code=lambda _: _Status()), "rate_limited"),
        (_own("ResourceExhausted", code=429), "rate_limited"),
        (_own("ClientError", code=429, status="RESOURCE_EXHAUSTED"), "rate_limited"),
        (_own("ServerError", code=503), "server_error"),
        (_own("ClientError", status_code=499), "bad_request"),
        (_own("ClientError", code="INSUFFICIENT_QUOTA"), "rate_limited"),
        (_own("ClientError", status=lambda _: _Status()), "other"),
        (_own("GoogleAPICallError", code=http.HTTPStatus.GATEWAY_TIMEOUT), "timeout"),
        (
            _own(
                "APIStatusError",
                body={"type": "error", "error": {"type": "overloaded_error"}},
                status_code=200,
            ),
            "server_error",
        ),
        (_own("ResponseError", status_code=404), "bad_request"),
        (_own("ClientResponseError", status=429), "rate_limited"),
        (_own("HTTPError", response=httpx.Response(401)), "auth"),
        # In a stream, OpenAI's client raises an error without a status.
        (_own("APIError", body={"code": 429, "message": "m"}), "rate_limited"),
        (_own("APIError", body={"error": {"code": 502}}), "server_error"),
        (_own("APIError", body={"code": "429"}, code=None), "other"),
        (_own("Odd", status_code=MagicMock(spec=int)), "other"),
        (_own("Odd", code=99, status=True, status_code="429"), "other"),
        (_own("Odd", code=10**30, body="x", response=[]), "other"),
    ],
)
def test_errors_of_other_clients(
    error: BaseException, expected: str, class_of: Classify
) -> None:
    """Bedrock, Google, Anthropic, Ollama, aiohttp, requests: by code, then status."""
    assert class_of(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # chat completions: OpenRouter's code is a status, others' a word
        ({"code": 429, "message": "m"}, "rate_limited"),
        ({"code": 502, "message": "m", "metadata": {}}, "server_error"),
        ({"code": "context_length_exceeded"}, "context_length"),
        ({"type": "invalid_request_error", "code": None}, "bad_request"),
        # the Responses API
        (ResponseError(code="rate_limit_exceeded", message="m"), "rate_limited"),
        (str(ResponseError(code="server_error", message="m")), "server_error"),
        (repr(ResponseError(code="server_error", message="m")), "server_error"),
        ("server_error: m", "server_error"),
        (f"{'R' * 44}(code='server_error'", "server_error"),
        (f"{'R' * 45}(code='server_error'", "other"),
        ("image_content_policy_violation: m", "content_filter"),
        # an app's own
        ("internal: m", "other"),
        ("see server_error: m", "other"),
        ("no_such_code: m", "other"),
        ({"code": "no_such_code"}, "other"),
        (7, "other"),
    ],
)
def test_error_in_an_answer(error: object, expected: str, class_of: Classify) -> None:
    """langchain-openai raises it as a ValueError that holds it."""
    assert class_of(ValueError(error)) == expected
    assert class_of(ValueError(error, error)) == "other"


def test_cause_is_read_if_error_has_no_class(class_of: Classify) -> None:
    """Applications wrap errors."""
    error = RuntimeError("the flower shop is closed")
    error.__cause__ = ValueError("x")
    error.__cause__.__cause__ = httpx.ReadTimeout("m")
    assert class_of(error) == "timeout"


def test_chain_of_causes_is_bounded(class_of: Classify) -> None:
    """Neither a long nor a circular chain is followed without end."""
    circle = ValueError("x")
    circle.__cause__ = circle
    assert class_of(circle) == "other"
    far = ValueError("1")
    far.__cause__ = ValueError("2")
    far.__cause__.__cause__ = ValueError("3")
    far.__cause__.__cause__.__cause__ = TimeoutError()
    assert class_of(far) == "other"


@pytest.mark.parametrize("module", ["aiohttp", "provider", "builtins"])
def test_errors_of_one_class_may_differ(module: str, class_of: Classify) -> None:
    """Each is classified by what it holds, whichever came first."""
    hidden = type("ClientError", (Exception,), {"__slots__": ("status_code",)})
    hidden.__module__ = module
    # Slots hold no data of Python's own classes.
    kind: Any = ValueError if module == "builtins" else hidden
    for status, expected in ((429, "rate_limited"), (500, "server_error")):
        error = kind("?")
        error.status_code = status
        assert class_of(error) == expected
    assert class_of(kind("?")) == "other"


def test_first_error_of_group_is_read(class_of: Classify) -> None:
    """Task groups raise exception groups."""
    group = ExceptionGroup("g", [ConnectionResetError(), ValueError()])
    assert class_of(group) == "connection"


class _Hostile(Exception):  # noqa: N818 -- it is what it is called
    """Raises when it is read, as ``httpx`` errors do without a request."""

    @property
    def response(self) -> object:
        """Raise."""
        raise RuntimeError

    @property
    def body(self) -> object:
        """Raise."""
        raise RuntimeError

    def code(self) -> object:
        """Raise."""
        raise RuntimeError


def test_an_error_that_raises_when_read_still_has_a_class(class_of: Classify) -> None:
    """Its readable parts decide."""
    assert class_of(_Hostile()) == "other"
    assert class_of(_own("Busy", (_Hostile,), status_code=429)) == "rate_limited"


ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dictionaries(st.sampled_from(["code", "type", "error", "Error"]), st.text())
)


@pytest.mark.slow
def test_any_error_has_a_class_of_the_closed_set(class_of: Classify) -> None:
    """The label is bounded for any error."""
    attributes = st.sampled_from(["code", "status", "body", "response"])

    @given(st.dictionaries(attributes, ODD))
    def report(attributes: dict[str, Any]) -> None:
        assert class_of(_own("Odd", **attributes)) in {row[0] for row in _rows()}

    report()


def _rows() -> list[tuple[str, ...]]:
    """Return the class, names, codes and statuses of each row of ``docs/errors.md``."""
    return re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)


def _of_python(name: str) -> Any:
    """Return an error of one of Python's classes, or of a class with the name."""
    kinds: Any = {**vars(builtins), "CancelledError": asyncio.CancelledError}
    return kinds[name]() if name in kinds else _own(name)


def test_page_is_true(class_of: Classify) -> None:
    """Each name, code and status of ``docs/errors.md`` has the class beside it."""
    statuses: dict[int, str] = {}
    for found, names, codes, numbers in _rows():
        for name in re.findall(r"`(\w+)`", names):
            assert class_of(_of_python(name)) == found, name
        for code in re.findall(r"`(\w+)`", codes):
            assert class_of(_own("Odd", code=code)) == found, code
        statuses |= dict.fromkeys(map(int, re.findall(r"\b\d{3}\b", numbers)), found)
    for status in range(400, 600):
        usual = "bad_request" if status < 500 else "server_error"
        expected = statuses.get(status, usual)
        assert class_of(_own("Odd", status_code=status)) == expected, status


def test_the_page_names_every_header_that_is_read(reporter: Reporter) -> None:
    """And no other header is read."""
    row = next(line for line in PAGE.splitlines() if "provider_request_id" in line)
    documented = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", row)
    names: list[str] = []
    headers = SimpleNamespace(get=names.append)
    reporter.call([], error=_own("Odd", response=SimpleNamespace(headers=headers)))
    assert names == ["retry-after-ms", "retry-after", *documented]
    for name in documented:
        error = _own("Odd", response=SimpleNamespace(headers={name: "r-1"}))
        attributes = reporter.call([], error=error)["attributes"]
        assert attributes["otel_callbacks.provider_request_id"] == "r-1"
