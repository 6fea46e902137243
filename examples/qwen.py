# ruff: noqa: RUF001 -- Chinese text has Chinese commas
"""Qwen by its OpenAI-compatible address: Chinese text, streamed, with its tokens.

Shows where the call went (``server.address``), and what ``stream_usage=True`` is for:
with an address of your own, ChatOpenAI does not ask a stream for its usage. A price
comes from a file that you keep (OTEL_CALLBACKS_PRICES); without a price the tokens
are counted as unpriced, and no cost is made up.

    python examples/qwen.py

With the real one:

    export OPENAI_API_KEY=sk-... MODEL=qwen-plus
    export OPENAI_BASE_URL=https://dashscope-intl.aliyuncs.com/compatible-mode/v1
"""

from __future__ import annotations

from typing import Final

from langchain_openai import ChatOpenAI
from provider import provider, settings, shown

from otel_callbacks import configure

TALK: Final = {
    "今天有什么花？": "牡丹、芍药，还有刚到的郁金香。",
    "送到中环要多久？": "一个小时以内，免运费。",
}
_SAID: Final = (
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "server.address",
    "server.port",
    "otel_callbacks.cost_usd",
)


def main() -> None:
    """Ask two questions with and without asking for the usage."""
    handler = configure(service_name="flower-shop", settings=settings())
    with provider(TALK, model="qwen-plus") as options, shown(handler) as spans:
        for question, usage in zip(TALK, (True, False), strict=True):
            llm = ChatOpenAI(**options, stream_usage=usage, callbacks=[handler])
            print(f"顾客  {question}\n花店  ", end="")
            for chunk in llm.stream(question):
                print(chunk.text, end="", flush=True)
            said = spans()[-1]["attributes"]
            known = "usage" if "gen_ai.usage.input_tokens" in said else "no usage"
            print(f"   (stream_usage={usage}: {known})")
        print("\nthe first span says")
        for name in _SAID:
            print(f"  {name:<26}{spans()[0]['attributes'].get(name, 'nothing')}")


if __name__ == "__main__":
    main()
