"""An answer in the form of a class."""

from __future__ import annotations

from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Bouquet(BaseModel):
    """A bunch of flowers."""

    flower: str
    stems: int


model = ChatOpenAI(model="gpt-4o-mini", temperature=0.4, max_tokens=90)  # type: ignore[call-arg]
messages = [("system", "You sell flowers."), ("human", "Put a bouquet into JSON.")]
model.with_structured_output(Bouquet, method="json_schema").invoke(messages)
