# ruff: noqa: RUF001 -- Chinese text has Chinese punctuation
"""Qwen with its OpenAI-compatible endpoint: streamed Chinese text, with its tokens.

Shows ``server.address``, and the purpose of ``stream_usage=True``: with a ``base_url``,
ChatOpenAI does not request the usage of a stream. Prices are from your own file
(OTEL_CALLBACKS_PRICES); without a price, tokens are counted as unpriced and have no
cost.

    python examples/qwen.py

With the real provider:

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
    """Ask two questions, with and without requesting the usage."""
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
