"""A FastAPI app, as `uvicorn fastapi_app:app` or as `python fastapi_app.py`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import shop
import uvicorn
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Send the last calls: uvicorn ends by the signal, after this."""
    yield
    if not os.environ.get("SHOP_WITHOUT_LIFESPAN"):
        shop.handler.close()


app = FastAPI(lifespan=lifespan)


@app.get("/ask")
def ask(question: str) -> str:
    """Answer a question."""
    return shop.ask(question)


if __name__ == "__main__":
    uvicorn.run("fastapi_app:app", port=int(os.environ["SHOP_PORT"]))
