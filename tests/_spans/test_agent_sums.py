"""What an agent's model calls had in common, and what they used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_callbacks._records import OK, End, Request, Response, Usage
from otel_callbacks._runs.run import Run
from otel_callbacks._spans import sums as agent_sums
from otel_callbacks._spans import sums as rollup

if TYPE_CHECKING:
    from otel_callbacks._runs.run import AgentTally


def asked(model: str = "m", **more: Any) -> Request:
    """Return the request of a model's call."""
    attributes = {"gen_ai.request.model": model, **more}
    return Request("chat", model, model=model, attributes=attributes)


def noted(*calls: tuple[Request, Response | None]) -> list[AgentTally]:
    """Return what these ended runs add."""
    entries: list[AgentTally] = []
    for request, response in calls:
        agent_sums.note_in_agent(entries, Run(1, request, None), End(OK, 0, response))
    return entries


def test_usage_is_of_the_whole_invocation() -> None:
    """Tokens are added; the last answer says why it finished."""
    first = Response(finish_reasons=("tool_calls",), usage=Usage(10, 5, 4, 3))
    last = Response(finish_reasons=("stop",), usage=Usage(20, 1))
    entries = noted((asked(), first), (Request("execute_tool", "t"), None))
    entries += noted((asked(), last), (asked(), None), (Request("", "step"), None))
    assert agent_sums.agent_attributes(entries) == {
        "gen_ai.request.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 6,
    }
    assert rollup.counts(entries) == (3, 1)


def test_only_what_all_calls_say_is_said() -> None:
    """Of two models neither is the agent's."""
    warm: dict[str, Any] = {"gen_ai.request.temperature": 0.7, "gen_ai.request.seed": 1}
    entries = noted((asked(**warm), None), (asked("n", **warm), None))
    assert agent_sums.agent_attributes(entries) == warm
    assert agent_sums.agent_model(entries) == ""
    assert agent_sums.agent_model(entries[:1]) == "m"


@pytest.mark.parametrize(
    "response",
    [
        None,
        Response(),
        Response(usage=Usage()),
        Response(usage=Usage(1, 2), cache_hit=True),
    ],
)
def test_nothing_is_invented(response: Response | None) -> None:
    """No usage, no tokens; a cache's answer is not spent."""
    entries = noted((asked(), response))
    assert agent_sums.agent_attributes(entries) == {"gen_ai.request.model": "m"}


def test_an_agent_without_calls_says_nothing() -> None:
    """Tools alone have no model."""
    entries = noted((Request("execute_tool", "t"), None))
    assert agent_sums.agent_attributes(entries) == {}
    assert agent_sums.agent_model(entries) == ""


def test_an_inner_agent_s_calls_are_the_outer_one_s_too() -> None:
    """An invocation is all that it caused."""
    inner = Run(1, Request("invoke_agent", "inner"), None)
    assert inner.of_agent is not None
    inner.of_agent.extend(noted((asked(), Response(usage=Usage(1, 2)))))
    entries: list[AgentTally] = []
    agent_sums.note_in_agent(entries, inner, End(OK, 0))
    assert rollup.counts(entries) == (1, 0)
    assert agent_sums.agent_attributes(entries)["gen_ai.usage.output_tokens"] == 2
