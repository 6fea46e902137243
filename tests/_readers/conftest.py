"""A recorder of LangChain's real payloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from reporting import Reporter

from otel_callbacks import Settings
from otel_callbacks._readers.request import model_request
from otel_callbacks._readers.response import model_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks._records import Request, Response


class Recorder(BaseCallbackHandler):
    """Reads each model call as the handler does."""

    run_inline = True
    raise_error = True

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.responses: list[Response] = []
        self.failed: list[Response] = []

    def on_chat_model_start(self, serialized: Any, _: Any, **kwargs: Any) -> None:
        """Read a chat model's start."""
        self._start("chat", serialized, kwargs)

    def on_llm_start(self, serialized: Any, _: Any, **kwargs: Any) -> None:
        """Read a text model's start."""
        self._start("text_completion", serialized, kwargs)

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """Read an end."""
        self.responses.append(model_response(response))

    def on_llm_error(self, _: BaseException, **kwargs: Any) -> None:
        """Read the output before an error."""
        self.failed.append(model_response(kwargs.get("response")))

    def _start(self, operation: str, serialized: Any, kwargs: dict[str, Any]) -> None:
        """Read a start."""
        self.requests.append(
            model_request(
                operation,
                serialized,
                kwargs["invocation_params"],
                kwargs["options"],
                kwargs["metadata"],
                kwargs["tags"],
                kwargs["batch_size"],
                kwargs["name"],
            )
        )


@pytest.fixture
def recorder() -> Recorder:
    """Return an empty recorder."""
    return Recorder()


@pytest.fixture
def reporter() -> Iterator[Reporter]:
    """Return a reporter of runs, with a strict handler."""
    with Reporter(Settings(strict=True, semconv="latest")) as reporter:
        yield reporter


@pytest.fixture
def read(reporter: Reporter) -> Callable[..., dict[str, Any]]:
    """Return what reports a call with a result, and returns what its span holds."""

    def report(result: Any, **more: Any) -> dict[str, Any]:
        attributes: dict[str, Any] = reporter.call([], result, **more)["attributes"]
        del attributes["gen_ai.operation.name"]
        return attributes

    return report


@pytest.fixture
def request_of(reporter: Reporter) -> Callable[..., dict[str, Any]]:
    """Return what reports a call with parameters, and returns its span's attributes."""

    def report(params: Any = None, **more: Any) -> dict[str, Any]:
        attributes: dict[str, Any] = reporter.call([], params=params, **more)[
            "attributes"
        ]
        return attributes

    return report
