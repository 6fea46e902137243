"""Three concurrent ``agenerate`` calls: their total usage, and a trace for each.

``get_openai_callback`` miscounts under ``gather``; ``track_usage`` does not: its totals
equal the counters, and each call has its own trace.

    python examples/concurrent_agenerate.py     # with a real provider: OPENAI_API_KEY
"""

from __future__ import annotations

import asyncio
from typing import Final

from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from provider import provider, settings, shown, total

from otel_callbacks import configure, track_usage

TALK: Final = {
    "Which flowers for a wedding?": "Peonies and sweet peas, all in white.",
    "送给妈妈什么花好？": "康乃馨，或者一束牡丹。",  # noqa: RUF001
    "What keeps longest in a vase?": "Chrysanthemums: three weeks, often four.",
}


async def ask(llm: ChatOpenAI) -> None:
    """Ask all questions concurrently, and print the answers in order."""
    asked = (llm.agenerate([[HumanMessage(question)]]) for question in TALK)
    for question, result in zip(TALK, await asyncio.gather(*asked), strict=True):
        print(f"customer  {question}\nflorist   {result.generations[0][0].text}")


def main() -> None:
    """Compare the app's totals with the counters."""
    handler = configure(service_name="flower-shop", settings=settings())
    with provider(TALK) as options, shown(handler) as spans:
        llm = ChatOpenAI(**options, callbacks=[handler])
        with track_usage() as usage:
            asyncio.run(ask(llm))
        tokens = total("otel_callbacks_tokens_total")
        print(f"\ntrack_usage  {usage.total_tokens} tokens, ${usage.cost_usd:.6f}")
        print(f"counters     {tokens:.0f} tokens")
        for span in spans():
            print(f"trace        {span['trace_id']}  {span['name']}")


if __name__ == "__main__":
    main()
