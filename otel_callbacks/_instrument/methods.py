"""Wrap single methods of other packages, where these are imported.

The two methods below turn an event of a provider's API into a message, and drop the
response id, Anthropic's also the input tokens. Wrapped, they give a streamed message
the same metadata as an answer that is not streamed.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK: Final = "_otel_callbacks_original"


class Method(NamedTuple):
    """A method of another package, and the function that wraps it."""

    module: str
    class_: str
    name: str
    wrapper: Callable[[Any], Any]

    def wrap(self) -> None:
        """Wrap the method if it is imported and not yet wrapped."""
        kind = getattr(sys.modules.get(self.module), self.class_, None)
        original = getattr(kind, self.name, None)
        if original is not None and not hasattr(original, _MARK):
            wrapped = functools.wraps(original)(self.wrapper(original))
            setattr(wrapped, _MARK, original)
            setattr(kind, self.name, wrapped)

    def unwrap(self) -> None:
        """Restore the method unless somebody else has wrapped it since."""
        kind = getattr(sys.modules.get(self.module), self.class_, None)
        wrapped = getattr(kind, self.name, None)
        original = getattr(wrapped, _MARK, None)
        # functools.wraps copies our mark to an outer wrapper: ours is below it.
        if original is not None and getattr(wrapped, "__wrapped__", None) is original:
            setattr(kind, self.name, original)


def _keep_openai(made: Any, chunk: Any) -> None:
    """Keep the id on each chunk; merging chunks keeps one of equal ids."""
    message = getattr(made, "message", None)
    if message is not None and isinstance(chunk, dict) and chunk.get("id"):
        message.response_metadata.setdefault("id", chunk["id"])


def _keep_anthropic(made: Any, event: Any) -> None:
    """Keep the id and the usage of the first event, which has the input tokens."""
    message = made[0] if isinstance(made, tuple) and made else None
    if message is None or getattr(event, "type", None) != "message_start":
        return
    started = event.message
    message.response_metadata.setdefault("id", started.id)
    # The same place as in an answer that is not streamed.
    message.response_metadata.setdefault("usage", started.usage.model_dump())


def _keeping(keep: Callable[[Any, Any], None]) -> Callable[[Any], Any]:
    """Return a wrapper that keeps what the original drops."""

    def wrapper(original: Any) -> Any:
        def convert(self: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
            made = original(self, event, *args, **kwargs)
            # A newer version may drop it in another place: then less is known.
            with contextlib.suppress(Exception):
                keep(made, event)
            return made

        return convert

    return wrapper


STREAMS: Final = (
    Method(
        "langchain_openai.chat_models.base",
        "BaseChatOpenAI",
        "_convert_chunk_to_generation_chunk",
        _keeping(_keep_openai),
    ),
    Method(
        "langchain_anthropic.chat_models",
        "ChatAnthropic",
        "_make_message_chunk_from_anthropic_event",
        _keeping(_keep_anthropic),
    ),
)
