"""The cost of a conversation's memory: tokens per round, for four kinds of memory.

Drawn as a picture, and counted under the label ``memory`` (OTEL_CALLBACKS_LABELS).

    python examples/memory_tokens.py [memory_tokens.png]    # real: OPENAI_API_KEY
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    trim_messages,
)
from langchain_openai import ChatOpenAI
from memory_plot import draw
from provider import counters, provider, settings, total

from otel_callbacks import configure
from otel_callbacks.testing import Reply, answer_to

if TYPE_CHECKING:
    from otel_callbacks.testing import Received

MEMORIES: Final = ("buffer", "window", "summary", "summary buffer")
TOKENS: Final = "otel_callbacks_tokens_total"
ROUNDS, KEPT = 20, 6
FEASTS: Final = ("a wedding", "a birthday", "a farewell", "a new baby", "a ball")
SUMMARISE: Final = "Sum up the conversation so far in three sentences."


def spoken(received: Received) -> Reply:
    """Answer with realistic lengths: three sentences for a summary, else two."""
    count = 3 if received.text == SUMMARISE else 2
    return Reply(" ".join(answer_to(received.text, n) for n in range(count)))


def fold(llm: ChatOpenAI, said: list[Any], memory: str, config: Any) -> list[Any]:
    """Return the kept messages; a summary needs its own call."""
    if memory == "window":
        return trim_messages(said, token_counter=len, max_tokens=KEPT)
    if memory == "buffer" or (memory == "summary buffer" and len(said) <= KEPT):
        return said
    old, last = (said[:-2], said[-2:]) if "buffer" in memory else (said, [])
    summary = llm.invoke([*old, HumanMessage(SUMMARISE)], config).text
    return [SystemMessage(summary), *last]


def talk(llm: ChatOpenAI, memory: str) -> list[float]:
    """Hold the conversation with one kind of memory; return each round's tokens."""
    config: Any = {"metadata": {"memory": memory}}
    kept: list[Any] = []
    spent = [total(TOKENS, memory=memory)]
    for number in range(ROUNDS):
        kept.append(HumanMessage(f"Which flowers suit {FEASTS[number % 5]}?"))
        kept.append(AIMessage(llm.invoke(kept, config).text))
        kept = fold(llm, kept, memory, config)
        spent.append(total(TOKENS, memory=memory))
    return [after - before for before, after in pairwise(spent)]


def main() -> None:
    """Hold the conversation with each memory, and plot the tokens."""
    path = sys.argv[1] if len(sys.argv) > 1 else "memory_tokens.png"
    handler = configure(service_name="shop", settings=settings(labels="memory"))
    with provider(teach=lambda fake: fake.when("", spoken)) as options:
        llm = ChatOpenAI(**options, callbacks=[handler])
        tokens = {memory: talk(llm, memory) for memory in MEMORIES}
    for memory, rounds in tokens.items():
        print(f"{memory:<15}{sum(rounds):6.0f}:", *(f"{each:3.0f}" for each in rounds))
    print(f"drawn to {draw(tokens, path)}", *counters(), sep="\n")


if __name__ == "__main__":
    main()
