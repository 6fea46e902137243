"""An app as any other: an agent that asks a model and a tool, with the handler."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from otel_callbacks import configure
from otel_callbacks.testing import FakeOpenAI, Reply, ToolCall

QUESTION = "How much is a bunch of roses?"
ANSWER = "玫瑰 are 29 EUR."


@tool
def price_of(flower: str) -> str:
    """Look up what a bunch of flowers costs."""
    return f"{flower}: 29 EUR"


def main() -> None:
    """Ask once."""
    handler = configure(service_name="flower-shop")
    with FakeOpenAI() as provider:
        call = ToolCall("price_of", {"flower": "rose"})
        provider.script(Reply(tool_calls=(call,)), Reply(ANSWER))
        model = ChatOpenAI(
            base_url=provider.base_url,
            api_key="none",  # type: ignore[arg-type]
            model="gpt-4o-mini",
        )

        def work(question: str) -> str:
            llm = model.bind_tools([price_of])
            messages: list[Any] = [
                SystemMessage("You sell flowers."),
                HumanMessage(question),
            ]
            first = llm.invoke(messages)
            results = [price_of.invoke(call) for call in first.tool_calls]
            return llm.invoke([*messages, first, *results]).text

        config: Any = {
            "callbacks": [handler],
            "run_name": "florist",
            "metadata": {
                "ls_integration": "langchain_create_agent",
                "lc_agent_name": "florist",
                "thread_id": "thread-7",
            },
        }
        RunnableLambda(work).invoke(QUESTION, config)
        used = provider.total_usage
        assert handler.flush(timeout=300)
    handler.close()
    print(used.input, used.output)  # noqa: T201 -- read by the test


if __name__ == "__main__":
    main()
