"""A conversation in a flower shop, streamed and counted.

Shows ``streaming=True`` with an app's callback beside the handler. The handler is
passed twice, to the constructor and with the request, and each call is still one span,
counted once.

    python examples/flower_shop.py

With a real provider: set OPENAI_API_KEY, and if needed OPENAI_BASE_URL and MODEL.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from provider import provider, settings, shown

from otel_callbacks import configure

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


TALK: Final = {
    "What is in season?": "Peonies and sweet peas, cut this morning.",
    "Which of them last longer?": "Peonies: eight days in cold water, if you buy "
    "them in bud.",
    "Ten of those, then. What do I owe you?": "Eighteen euros, and the wrapping is "
    "on the house.",
}


class Typewriter(BaseCallbackHandler):
    """Prints each token when it arrives."""

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        """Print a piece of the answer."""
        sys.stdout.write(str(token))
        sys.stdout.flush()


def main() -> None:
    """Ask three questions, each with the earlier messages."""
    handler = configure(service_name="flower-shop", settings=settings())
    with provider(TALK) as options, shown(handler):
        llm = ChatOpenAI(
            **options, streaming=True, stream_usage=True, callbacks=[handler]
        )
        said: list[BaseMessage] = [SystemMessage("You are a florist. Be brief.")]
        for question in TALK:
            print(f"\ncustomer  {question}\nflorist   ", end="")
            said.append(HumanMessage(question))
            answer = llm.invoke(said, config={"callbacks": [handler, Typewriter()]})
            said.append(AIMessage(answer.text))
        print()


if __name__ == "__main__":
    main()
