"""A web app with ``/metrics``, a budget for each request, and its cost in a header.

The calls of a request have a cost limit. A call that would exceed it is not made, and
the response is 402 (Payment Required) with the amount spent.

    python examples/starlette_app.py            # with a real provider: OPENAI_API_KEY
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import httpx
from langchain_openai import ChatOpenAI
from prometheus_client import make_asgi_app
from provider import provider, served, settings, shown
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from otel_callbacks import BudgetExceeded, configure, track_usage

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

BUDGET_USD: Final = 0.0002
TALK: Final = {
    "What is in season?": "Peonies and sweet peas, cut this morning.",
    "A poem on peonies": "Round as the moon, and red as the lanterns of May.",
}


async def answer(request: Request) -> Response:
    """Answer a question the requested number of times, within the budget."""
    question = request.query_params["question"]
    lines = []
    with track_usage(max_cost_usd=BUDGET_USD) as usage:
        try:
            for _ in range(int(request.query_params.get("times", "1"))):
                said = await request.app.state.llm.ainvoke(question)
                lines.append(said.text)
            status = 200
        except BudgetExceeded as error:
            lines, status = [str(error)], 402
    headers = {
        "x-llm-tokens": str(usage.total_tokens),
        "x-llm-cost-usd": f"{usage.cost_usd:.6f}",
    }
    return PlainTextResponse("\n".join(lines), status, headers)


async def visit(app: Starlette) -> None:
    """Send requests: two within the budget, one beyond it."""
    async with served(app) as address, httpx.AsyncClient() as client:
        for question, times in (*((one, 1) for one in TALK), ("A poem on peonies", 99)):
            asked = {"question": question, "times": times}
            said = await client.get(f"http://{address}/ask", params=asked)
            spent = [said.headers[f"x-llm-{name}"] for name in ("tokens", "cost-usd")]
            print(said.status_code, "{} tokens, ${}:".format(*spent), said.text)
        metrics = await client.get(f"http://{address}/metrics/")
        kept = (one for one in metrics.text.splitlines() if "tokens_total{" in one)
        print(*kept, sep="\n")


def main() -> None:
    """Start the app and send it requests."""
    handler = configure(service_name="flower-shop", settings=settings())
    with provider(TALK) as options, shown(handler):
        routes = [Route("/ask", answer), Mount("/metrics", make_asgi_app())]
        app = Starlette(routes=routes)
        app.state.llm = ChatOpenAI(**options, max_tokens=200, callbacks=[handler])
        asyncio.run(visit(app))


if __name__ == "__main__":
    main()
