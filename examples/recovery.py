"""Three ways to recover from an error: a retry, a fallback model, a shorter prompt.

Shows that the attempts are siblings in the trace, and that the usage of failed ones is
counted under their outcome: an interrupted stream has been paid for.

    python examples/recovery.py

With a real provider (OPENAI_API_KEY), set MODEL=none-such to make a call fail.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Final

import openai
from langchain_core.messages import HumanMessage, trim_messages
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from provider import provider, settings, shown

from otel_callbacks import configure
from otel_callbacks.testing import Reply, count_tokens

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

    from otel_callbacks.testing import FakeOpenAI

BUSY, LONG = "Do you deliver on Sundays?", "What did I order last year?"
BREAKS: Final = "How do I keep tulips upright?"
ADVICE: Final = "Wrap them in paper, and stand them in cold water for two hours."
# A stream has a head, a piece for each token, the end and the usage; then it breaks.
_AFTER_USAGE: Final = count_tokens(ADVICE) + 3


def teach(server: FakeOpenAI) -> None:
    """Make the fake provider fail in three ways."""
    server.when(BUSY, Reply.failing(429, retry_after=0), Reply("Until noon."))
    server.when(BREAKS, Reply(ADVICE, fault="drop", after_chunks=_AFTER_USAGE))
    server.when("gpt-4.1-nano", Reply(ADVICE))
    too_long = Reply.failing(400, code="context_length_exceeded")
    server.when(LONG, too_long, Reply("Ten peonies, in May."))


def main() -> None:
    """Ask three questions, each of which fails at first."""
    handler = configure(service_name="flower-shop", settings=settings())
    with provider(teach=teach) as options, shown(handler):
        options |= {"max_retries": 0, "stream_usage": True}
        llm = ChatOpenAI(**options)
        spare = ChatOpenAI(**options | {"model": "gpt-4.1-nano"})
        again = llm.with_retry(retry_if_exception_type=(openai.RateLimitError,))
        again = again.with_config(run_name="with_retry")

        def read(question: str) -> AIMessageChunk:
            return reduce(add, llm.stream(question))

        def with_remedy(messages: list[BaseMessage]) -> AIMessage:
            try:
                return llm.invoke(messages)
            except openai.BadRequestError as error:
                if error.code != "context_length_exceeded":
                    raise
                print(f"{'too long':<12}the last two of {len(messages)} messages do")
            return llm.invoke(trim_messages(messages, token_counter=len, max_tokens=2))

        config = {"callbacks": [handler]}
        history = [HumanMessage(f"Order {i}: ten peonies") for i in range(9)]
        less = RunnableLambda(with_remedy, name="with_remedy")
        other = RunnableLambda(read).with_fallbacks([spare])
        print(f"{'retry':<12}{again.invoke(BUSY, config).text}")
        print(f"{'fallback':<12}{other.invoke(BREAKS, config).text}")
        history.append(HumanMessage(LONG))
        print(f"{'remedy':<12}{less.invoke(history, config).text}")


if __name__ == "__main__":
    main()
