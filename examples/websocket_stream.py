"""Answers over WebSockets: each customer gets the tokens of their own question.

Each request has a callback with its socket; each call is below its request's span.

    python examples/websocket_stream.py     # with a real provider: OPENAI_API_KEY
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_openai import ChatOpenAI
from opentelemetry import propagate, trace
from provider import provider, served, settings, shown
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect

from otel_callbacks import configure

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

TALK: Final = {
    "Do roses need sun?": "Yes, half a day of it.",
    "玫瑰需要阳光吗？": "需要，每天半日就够。",  # noqa: RUF001
}


class ToSocket(AsyncCallbackHandler):
    """Sends each token to one customer."""

    def __init__(self, customer: WebSocket) -> None:
        self._customer = customer

    async def on_llm_new_token(self, token: Any, **_: Any) -> None:
        """Send a token; the first and the last chunk are empty."""
        if token:
            await self._customer.send_text(str(token))


async def answer(customer: WebSocket) -> None:
    """Answer one question; the span continues the client's trace if it has one."""
    await customer.accept()
    question = await customer.receive_text()
    context = propagate.extract(customer.headers)
    mine = {"callbacks": [ToSocket(customer)]}
    with trace.get_tracer("shop").start_as_current_span("websocket /ask", context):
        await customer.app.state.llm.ainvoke(question, mine)
    await customer.close()


async def ask(address: str, name: str, question: str) -> None:
    """Ask like a browser, and print tokens as they arrive."""
    async with connect(f"ws://{address}/ask") as shop:
        await shop.send(question)
        async for piece in shop:
            print(f"  {name}  {piece}")


async def serve(app: Starlette) -> None:
    """Run the server, and two customers at once."""
    async with served(app) as address:
        await asyncio.gather(*map(ask, [address] * 2, ("Ann", "小明"), TALK))


def main() -> None:
    """Start the app for two customers."""
    handler = configure(service_name="flower-shop", settings=settings())
    with provider(TALK) as options, shown(handler):
        options |= {"streaming": True, "stream_usage": True, "callbacks": [handler]}
        app = Starlette(routes=[WebSocketRoute("/ask", answer)])
        app.state.llm = ChatOpenAI(**options)
        asyncio.run(serve(app))


if __name__ == "__main__":
    main()
