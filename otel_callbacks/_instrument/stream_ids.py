"""Keep what providers' packages drop from streams: response ids, Anthropic's input.

Only under `instrument`. It wraps the one method of langchain-openai and of
langchain-anthropic that turns an event of the API into a message. The message then has
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


class _Method(NamedTuple):
    """A method to wrap."""

    module: str
    class_: str
    name: str
    keep: Callable[[Any, Any], None]


_METHODS: Final = (
    _Method(
        "langchain_openai.chat_models.base",
        "BaseChatOpenAI",
        "_convert_chunk_to_generation_chunk",
        _keep_openai,
    ),
    _Method(
        "langchain_anthropic.chat_models",
        "ChatAnthropic",
        "_make_message_chunk_from_anthropic_event",
        _keep_anthropic,
    ),
)


def wrap_streams() -> bool:
    """Wrap the methods of the packages that the app has imported."""
    wrapped = [_wrap(method) for method in _METHODS]
    return any(wrapped)


def _wrap(method: _Method) -> bool:
    """Wrap one method; return whether nothing is left to do."""
    module = sys.modules.get(method.module)
    if module is None:
        return False
    kind = getattr(module, method.class_, None)
    original = getattr(kind, method.name, None)
    if original is None or hasattr(original, _MARK):
        return True

    @functools.wraps(original)
    def convert(self: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, event, *args, **kwargs)
        # A newer version may drop it in another place: then less is known.
        with contextlib.suppress(Exception):
            method.keep(made, event)
        return made

    setattr(convert, _MARK, original)
    setattr(kind, method.name, convert)
    return True


def unwrap_streams() -> None:
    """Restore the methods that nobody else has wrapped since."""
    for method in _METHODS:
        kind = getattr(sys.modules.get(method.module), method.class_, None)
        wrapped = getattr(kind, method.name, None)
        original = getattr(wrapped, _MARK, None)
        # functools.wraps copies our mark to an outer wrapper: ours is below it.
        if original is not None and getattr(wrapped, "__wrapped__", None) is original:
            setattr(kind, method.name, original)
