"""An agent with tools: one trace with the tree of its calls.

Shows ``create_agent`` with two tools, one of which fails at first: the model and the
tools are below the agent's span, and the failure is only on the tool's span.

    python examples/langgraph_agent.py      # with a real provider: OPENAI_API_KEY
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from langchain.agents import create_agent
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI
from provider import provider, settings, shown

from otel_callbacks import configure
from otel_callbacks.testing import Reply, ToolCall

if TYPE_CHECKING:
    from otel_callbacks.testing import FakeOpenAI, Received

QUESTION: Final = "Twenty peonies, please. Are there enough, and what do they cost?"
STOCK: Final = {"peony": 36, "tulip": 12}
PRICES: Final = {"peony": 1.8, "tulip": 0.9}


@tool
def in_stock(flower: str) -> int:
    """Return how many of a flower the shop has; flowers are named in the singular."""
    if flower not in STOCK:
        known = ", ".join(STOCK)
        raise ToolException(f"There is no {flower!r}; there are: {known}")  # noqa: EM102, TRY003
    return STOCK[flower]


@tool
def price_of(flower: str, count: int) -> str:
    """Return the price of a number of flowers."""
    return f"{PRICES[flower] * count:.2f} euros"


in_stock.handle_tool_error = True  # the model reads what was wrong, and tries again


def teach(server: FakeOpenAI) -> None:
    """Let the fake provider call the tools: first with a wrong argument."""
    twenty = {"flower": "peony", "count": 20}
    plural, singular = {"flower": "peonies"}, {"flower": "peony"}
    turns = (
        Reply(tool_calls=(ToolCall("in_stock", plural),)),
        Reply(
            tool_calls=(ToolCall("in_stock", singular), ToolCall("price_of", twenty))
        ),
        Reply("Yes, there are 36. Twenty peonies are 36 euros."),
    )

    def turn(received: Received) -> Reply:
        return turns[sum(role == "assistant" for role, _ in received.messages)]

    server.when(QUESTION, turn)


def main() -> None:
    """Ask one question."""
    handler = configure(service_name="flower-shop", settings=settings())
    with provider(teach=teach) as options, shown(handler):
        llm = ChatOpenAI(**options)
        florist = create_agent(llm, [in_stock, price_of], name="florist")
        asked = {"messages": [("user", QUESTION)]}
        done = florist.invoke(asked, {"callbacks": [handler]})
        for message in done["messages"]:
            calls = getattr(message, "tool_calls", ())
            wants = (f"{call['name']}({call['args']})" for call in calls)
            print(f"{message.type:<6}{message.text or ', '.join(wants)}")


if __name__ == "__main__":
    main()
