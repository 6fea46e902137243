"""What every app here does: set up once, ask a model."""

import os

from langchain_openai import ChatOpenAI

from otel_callbacks import configure

handler = configure(service_name="shop")


def ask(question: str) -> str:
    """Ask the model."""
    llm = ChatOpenAI(
        model="gpt-4o-mini",
        base_url=os.environ["SHOP_PROVIDER"],
        api_key="none",
        callbacks=[handler],
    )
    return str(llm.invoke(question).content)
