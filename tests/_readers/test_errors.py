"""The failure of a run: outcome, type, class and attributes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from dataclasses import replace
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock
from urllib.error import HTTPError

import pytest
from langgraph.errors import (
    GraphBubbleUp,
    GraphInterrupt,
    GraphRecursionError,
    InvalidUpdateError,
    ParentCommand,
)
from langgraph.types import Command

from otel_callbacks import track_usage
from otel_callbacks.testing import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from reporting import Reporter

    from otel_callbacks.testing import Capture, FakeOpenAI


def failed(outcome: str, error_type: str, error_class: str) -> dict[str, str]:
    """Return the attributes of a failure; a class equal to the outcome is left out."""
    attributes = {"error.type": error_type, "otel_callbacks.outcome": outcome}
    if error_class != outcome:
        attributes["otel_callbacks.error_class"] = error_class
    return attributes


@pytest.fixture
def failure(reporter: Reporter) -> Callable[[BaseException], dict[str, Any]]:
    """Return what reports a failed call, and returns the attributes of the failure."""

    def report(error: BaseException) -> dict[str, Any]:
        span = reporter.call([], error=error)
        attributes: dict[str, Any] = span["attributes"]
        assert (span["status"] == "ERROR") == ("error.type" in attributes)
        return {
            name: value
            for name, value in attributes.items()
            if name != "gen_ai.operation.name"
        }

    return report


@pytest.fixture
def refused(
    failure: Callable[[BaseException], dict[str, Any]],
) -> Callable[[BaseException], dict[str, Any]]:
    """Return what reports a failed call, and returns what its provider answered."""

    def report(error: BaseException) -> dict[str, Any]:
        return {
            name: value
            for name, value in failure(error).items()
            if name in {STATUS, WAIT, REQUEST_ID}
        }

    return report


@pytest.mark.parametrize(
    "error",
    [
        GraphBubbleUp(),
        GraphInterrupt(),
        ParentCommand(Command(goto="elsewhere")),
        type("OurInterrupt", (GraphInterrupt,), {})(),
        type("OurInterrupt", (GraphInterrupt,), {"__module__": "app"})(),
    ],
)
def test_control_flow_is_no_failure(error: BaseException, failure: Any) -> None:
    """LangGraph interrupts and jumps by raising."""
    assert "error.type" not in failure(error)


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (GraphRecursionError(), "GraphRecursionError"),
        (InvalidUpdateError(), "InvalidUpdateError"),
        (type("GraphInterrupt", (Exception,), {})(), "GraphInterrupt"),
    ],
)
def test_errors_of_a_graph_are_failures(
    error: BaseException, error_type: str, failure: Any
) -> None:
    """Only LangGraph's own exceptions are control flow, not a namesake."""
    assert failure(error) == failed("error", error_type, "other")


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        type("Cancelled", (BaseException,), {})(),
    ],
)
def test_a_cancelled_run(error: BaseException, failure: Any) -> None:
    """Cancellation in asyncio, in threads and in trio."""
    assert failure(error) == failed("cancelled", "cancelled", "cancelled")


def test_a_greenlet_that_was_killed(failure: Any) -> None:
    """The exception of gevent, and an app's subclass of it."""
    killed = type("GreenletExit", (BaseException,), {})
    assert failure(killed()) == failed("cancelled", "cancelled", "cancelled")


def test_an_abandoned_stream(failure: Any) -> None:
    """Python closes the generator of a stream that is not read to its end."""
    assert failure(GeneratorExit()) == failed("abandoned", "abandoned", "abandoned")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("secret prompt"), failed("error", "ValueError", "other")),
        (TimeoutError(), failed("error", "TimeoutError", "timeout")),
        (KeyboardInterrupt(), failed("error", "KeyboardInterrupt", "cancelled")),
    ],
)
def test_an_error_is_named_by_its_class(
    error: BaseException, expected: dict[str, str], failure: Any
) -> None:
    """Not by its message, which may hold content."""
    assert failure(error) == expected


@pytest.mark.parametrize(
    ("name", "error_type"),
    [("", "_OTHER"), ("Wilted🥀", "Wilted🥀"), ("E" * 5000, "E" * 1024)],
)
def test_an_odd_class_name_can_be_sent(
    name: str, error_type: str, failure: Any
) -> None:
    """It is bounded and never empty."""
    found = failure(type(name, (Exception,), {})())
    assert found == failed("error", error_type, "other")


def test_interrupt_is_interruption(failure: Any, reporter: Reporter) -> None:
    """A jump to another graph is no interrupt, and neither is a namesake."""
    interrupted = "otel_callbacks.interrupted"
    assert failure(GraphInterrupt()) == {interrupted: True}
    assert not _is_spend(reporter, GraphInterrupt())
    assert failure(ParentCommand(Command(goto="elsewhere"))) == {}
    assert interrupted not in failure(type("GraphInterrupt", (Exception,), {})())


STATUS = "otel_callbacks.http.status_code"
WAIT = "otel_callbacks.retry_after"
REQUEST_ID = "otel_callbacks.provider_request_id"
TEN_YEARS = 10 * 365 * 24 * 60 * 60
DELAY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}


def error_with(module: str = "provider", /, **attributes: Any) -> Exception:
    """Return an error of a client that is not installed."""
    kind = type("ClientError", (Exception,), {"__module__": module})
    error: Exception = kind("secret")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def reply(headers: object, status: object = 429) -> SimpleNamespace:
    """Return a client's HTTP response."""
    return SimpleNamespace(status_code=status, headers=headers)


def _headers() -> Message:
    """Return headers as urllib has them."""
    headers = Message()
    headers["Retry-After"] = "4"
    return headers


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_a_real_refusal(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], status: int
) -> None:
    """OpenAI's own client: status, retry delay and request id."""
    failing = Reply.failing(status, retry_after=7)
    headers = {**failing.headers, "x-request-id": "req_1", "x-secret": "rose"}
    server.script(replace(failing, headers=headers))
    with pytest.raises(Exception, match=r"."):
        chat().invoke("?")
    attributes = telemetry.spans[0]["attributes"]
    assert attributes[STATUS] == status
    assert attributes[WAIT] == 7.0
    assert attributes[REQUEST_ID] == "req_1"
    assert "rose" not in str(attributes)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # anthropic: the error has the id, its reply the headers
        (
            error_with(
                status_code=529,
                request_id="req_011",
                response=reply({"retry-after": "3", "request-id": "x"}, 529),
            ),
            {STATUS: 529, WAIT: 3.0, REQUEST_ID: "req_011"},
        ),
        # google.genai: code is the HTTP status, details the reply's JSON
        (
            error_with(
                code=429,
                status="RESOURCE_EXHAUSTED",
                details={
                    "error": {
                        "details": [
                            {"@type": "type.googleapis.com/google.rpc.Help"},
                            {
                                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                                "retryDelay": "17.5s",
                            },
                        ]
                    }
                },
            ),
            {STATUS: 429, WAIT: 17.5},
        ),
        # google.api_core: an HTTPStatus, and a message of protobuf
        (
            error_with(
                code=HTTPStatus.TOO_MANY_REQUESTS,
                details=[
                    SimpleNamespace(
                        retry_delay=SimpleNamespace(seconds=2, nanos=500_000_000)
                    )
                ],
            ),
            {STATUS: 429, WAIT: 2.5},
        ),
        (
            error_with(
                details=[
                    SimpleNamespace(retry_delay=SimpleNamespace(seconds=2, nanos=None))
                ],
            ),
            {WAIT: 2.0},
        ),
        (error_with(details=[SimpleNamespace(retry_delay=object())]), {}),
        (error_with(details="?"), {}),
        (error_with(details=[{}] * 15 + [DELAY]), {WAIT: 1.0}),
        (error_with(details=[{}] * 16 + [DELAY]), {}),
        # botocore.exceptions.ClientError
        (
            error_with(
                response={
                    "Error": {"Code": "ThrottlingException"},
                    "ResponseMetadata": {
                        "RequestId": "b-1",
                        "HTTPStatusCode": 429,
                        "HTTPHeaders": {"retry-after": "1"},
                    },
                }
            ),
            {STATUS: 429, WAIT: 1.0, REQUEST_ID: "b-1"},
        ),
        # httpx, requests: the reply has it all
        (
            error_with(response=reply({"x-amzn-requestid": "a"}, 500)),
            {STATUS: 500, REQUEST_ID: "a"},
        ),
        # Without a response: cohere, aiohttp, urllib
        (
            error_with(
                status_code=429,
                headers={"retry-after": "9", "x-request-id": "c-1"},
            ),
            {STATUS: 429, WAIT: 9.0, REQUEST_ID: "c-1"},
        ),
        (
            error_with("aiohttp", status=503, headers={"cf-ray": "ray-1"}),
            {STATUS: 503, REQUEST_ID: "ray-1"},
        ),
        (
            HTTPError("http://127.0.0.1/", 502, "?", _headers(), None),
            {STATUS: 502, WAIT: 4.0},
        ),
        # A mock says that it is of any class.
        (error_with(status_code=MagicMock(spec=int), code=429), {STATUS: 429}),
        # The range of statuses
        (error_with(status_code=100), {STATUS: 100}),
        (error_with(status_code=599), {STATUS: 599}),
        (error_with(status_code=99), {}),
        (error_with(status_code=600), {}),
        # gRPC's codes, booleans and nonsense are no HTTP status
        (error_with(code=lambda: 14, status=True, status_code=7), {}),
    ],
)
def test_clients_that_are_not_installed(
    error: BaseException, expected: dict[str, object], refused: Any
) -> None:
    """They are recognized by their attributes' names."""
    assert refused(error) == expected


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": formatdate(0, usegmt=True)}, 0.0),
        ({"retry-after": str(TEN_YEARS)}, TEN_YEARS),
        ({"retry-after": str(TEN_YEARS + 1)}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e99"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": 5}, None),
        ({}, None),
        (None, None),
    ],
)
def test_retry_after(header: object, wait: float | None, refused: Any) -> None:
    """Seconds or a date; implausible values are left out."""
    assert refused(error_with(response=reply(header))).get(WAIT) == wait


def test_retry_after_date(refused: Any) -> None:
    """A date becomes the seconds until then."""
    tomorrow = formatdate(time.time() + 86_400, usegmt=True)
    wait = refused(error_with(response=reply({"retry-after": tomorrow})))[WAIT]
    assert wait == pytest.approx(86_400, abs=600)
    error = error_with(response=reply({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}))
    assert WAIT not in refused(error)  # more than ten years are no answer


@pytest.mark.parametrize(
    ("name", "was_sent"),
    [
        ("ReadTimeout", True),
        ("ReadError", True),
        ("JSONDecodeError", True),
        ("ConnectTimeout", False),
        ("PoolTimeout", False),
        ("ConnectionRefusedError", False),
        ("gaierror", False),
    ],
)
def test_a_request_without_a_response_may_have_been_sent(
    name: str, *, was_sent: bool, reporter: Reporter
) -> None:
    """It is spend unless its cause says that nothing was connected."""
    error = type("APITimeoutError", (TimeoutError,), {})()
    error.__cause__ = type(name, (OSError,), {})()
    assert _is_spend(reporter, error) is was_sent


def test_a_connection_error_alone_may_not_have_been_sent(reporter: Reporter) -> None:
    """Its cause says whether it was."""
    error = type("APIConnectionError", (ConnectionError,), {})()
    assert not _is_spend(reporter, error)
    error.__cause__ = type("RemoteProtocolError", (OSError,), {})()
    assert _is_spend(reporter, error)


@pytest.mark.parametrize("name", ["APIResponseValidationError", "JSONDecodeError"])
def test_a_response_that_cannot_be_decoded_is_spend(
    name: str, reporter: Reporter
) -> None:
    """The provider has answered; any other error alone is no sign of it."""
    assert _is_spend(reporter, type(name, (Exception,), {})())
    assert not _is_spend(reporter, ValueError())


def _is_spend(reporter: Reporter, error: BaseException) -> bool:
    """Return whether the tokens of a failed call are assumed to be spent."""
    with track_usage() as usage:
        reporter.call(["Roses?"], error=error)
    return usage.assumed_tokens > 0


def test_attributes_of_cause_are_read(refused: Any) -> None:
    """LangChain's error wraps the client's; the outer attributes win."""
    inner = error_with(status_code=503, request_id="req_2")
    outer = error_with(status_code=500)
    outer.__cause__ = inner
    assert refused(outer) == {STATUS: 500, REQUEST_ID: "req_2"}
    python = RuntimeError("?")
    python.__cause__ = inner
    assert refused(python) == {STATUS: 503, REQUEST_ID: "req_2"}


def test_causes_are_bounded(refused: Any) -> None:
    """A circular chain of causes ends."""
    error = error_with()
    error.__cause__ = error
    assert refused(error) == {}


def test_a_hostile_error(refused: Any) -> None:
    """Attributes that raise and endless texts do no harm."""

    class HostileError(Exception):
        """Raises from each of its attributes."""

        def __getattribute__(self, name: str) -> Any:
            if name.startswith("__"):
                return super().__getattribute__(name)
            raise RuntimeError(name)

    class Headers:
        """Raises when it is read."""

        def get(self, name: str) -> str:
            """Raise."""
            raise KeyError(name)

    assert refused(HostileError()) == {}
    assert refused(error_with(response=reply(Headers()))) == {STATUS: 429}
    assert len(str(refused(error_with(request_id="r" * 9_000))[REQUEST_ID])) == 128


def test_builtin_error_has_no_attributes(refused: Any) -> None:
    """A ``ValueError`` without a cause is not read further."""
    assert refused(ValueError("?")) == {}
