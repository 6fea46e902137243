"""The app beside a LangGraph server's own: it sends the last calls at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from otel_callbacks import configure


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the handler: the server imports the graph as a module of another name."""
    yield
    configure(service_name="shop").close()


app = FastAPI(lifespan=lifespan)
