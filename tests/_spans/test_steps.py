"""Short inner steps with nothing in them have no span, where the app asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from opentelemetry import trace

from otel_callbacks import Settings
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture

FOREVER = Settings(strict=True, shortest_step=86_400.0)


def traced(settings: Settings, work: Callable[[Capture], object]) -> list[str]:
    """Return the names of the spans that work makes."""
    with capture(settings=settings) as telemetry:
        work(telemetry)
        assert telemetry.value("otel_callbacks_open_runs") == 0
        return sorted(span["name"] for span in telemetry.spans)


def chain(telemetry: Capture, *steps: Any) -> object:
    """Run a chain of steps around a model's call."""
    whole = RunnablePassthrough() | ChatPromptTemplate.from_messages([("user", "{x}")])
    for step in steps:
        whole |= step
    whole = whole | FakeChatModel() | StrOutputParser()
    config: Any = {"callbacks": [telemetry.handler], "run_name": "whole"}
    return whole.invoke({"x": "Roses?"}, config)


@pytest.mark.parametrize("content", ["NO_CONTENT", "SPAN_ONLY"])
def test_trivial_steps_are_left_out(content: str) -> None:
    """A prompt, a parser and a passthrough; the call and the whole stay."""
    settings = Settings(strict=True, shortest_step=86_400.0, capture_content=content)
    assert traced(settings, chain) == [
        "chat fake-model",
        "invoke_workflow whole",
    ]


def test_by_default_each_step_has_a_span() -> None:
    """The picture is the program's own shape."""
    assert len(traced(Settings(strict=True), chain)) == 5


def test_a_step_that_takes_longer_stays() -> None:
    """Nothing is done in a nanosecond."""
    assert len(traced(Settings(strict=True, shortest_step=1e-9), chain)) == 5


def test_a_step_with_something_below_it_stays() -> None:
    """A child is never without its parent: ours, and the app's own spans."""
    inner = RunnableLambda(lambda x: x, name="inner")
    model = FakeChatModel()
    tracer = trace.get_tracer("app")

    def opened(x: object) -> object:
        with tracer.start_as_current_span("app", context=None):
            return x

    def called(x: Any) -> object:
        return model.invoke(x) and x

    def work(telemetry: Capture) -> None:
        chain(
            telemetry,
            RunnableLambda(inner.invoke, name="nested"),
            RunnableLambda(called, name="calls"),
            RunnableLambda(opened, name="opens"),
        )

    names = traced(FOREVER, work)
    assert {"nested", "calls", "opens"} <= set(names)
    assert not {"RunnablePassthrough", "ChatPromptTemplate"} & set(names)


def test_a_step_that_the_app_writes_to_stays() -> None:
    """An attribute of the app's own is worth its span."""

    def written(x: object) -> object:
        trace.get_current_span().set_attribute("app.key", 1)
        return x

    def work(telemetry: Capture) -> None:
        chain(telemetry, RunnableLambda(written, name="written"))
        (span,) = (one for one in telemetry.spans if one["name"] == "written")
        assert span["attributes"] == {"app.key": 1}

    assert "written" in traced(FOREVER, work)


def test_a_step_that_fails_stays() -> None:
    """What went wrong is never trivial."""

    def broken(x: object) -> object:
        raise ValueError(x)

    def work(telemetry: Capture) -> None:
        with pytest.raises(ValueError, match="Roses"):
            chain(telemetry, RunnableLambda(broken, name="broken"))

    assert traced(FOREVER, work) == ["broken", "invoke_workflow whole"]


def test_with_spans_of_the_sdk_each_step_has_one() -> None:
    """Its processors have seen it start; they must see it end."""
    settings = Settings(strict=True, shortest_step=86_400.0, sdk_spans=True)
    assert len(traced(settings, chain)) == 5
