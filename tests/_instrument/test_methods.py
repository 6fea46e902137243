"""Methods of other packages that are wrapped, and what streams then keep."""

from __future__ import annotations

import functools
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks.manager import CallbackManager
from langchain_core.messages import AIMessageChunk
from langchain_openai.chat_models.base import BaseChatOpenAI

from otel_callbacks import uninstrument

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture

NAME = "chat gpt-4o-mini"
METHOD = "_convert_chunk_to_generation_chunk"


@pytest.fixture
def wrap(start: Any) -> Callable[[], None]:
    """Return what wraps the methods that are imported: the next callback manager."""

    def wrap() -> None:
        start()
        CallbackManager.configure()

    return wrap


@pytest.fixture
def _wrapped(wrap: Callable[[], None]) -> None:
    """Wrap the method for one test."""
    wrap()


@pytest.mark.usefixtures("_wrapped")
async def test_a_stream_has_its_id(
    chat: Callable[..., Any], telemetry: Capture
) -> None:
    """Once, though every chunk brings it; in the app's own message, too."""
    whole = None
    for chunk in chat(stream_usage=True).stream("Roses?"):
        whole = chunk if whole is None else whole + chunk
    async for _ in chat(stream_usage=True).astream("Roses?"):
        pass
    ids = [span["attributes"]["gen_ai.response.id"] for span in telemetry.spans]
    assert len(set(ids)) == 2
    assert all(
        one.startswith("chatcmpl-") and one.count("chatcmpl") == 1 for one in ids
    )
    assert whole is not None
    assert whole.response_metadata["id"] == ids[0]


def test_without_it_there_is_none(chat: Callable[..., Any], telemetry: Capture) -> None:
    """Nothing is made up; LangChain's own id is none of the provider's."""
    for _ in chat(stream_usage=True).stream("Roses?"):
        pass
    assert "gen_ai.response.id" not in telemetry.span(NAME)["attributes"]


def test_it_is_undone(wrap: Callable[[], None]) -> None:
    """Twice is once."""
    original = vars(BaseChatOpenAI)[METHOD]
    wrap()
    wrapped = vars(BaseChatOpenAI)[METHOD]
    assert wrapped is not original
    wrap()
    assert vars(BaseChatOpenAI)[METHOD] is wrapped
    # A chunk that LangChain makes no message of stays none.
    assert wrapped(
        object.__new__(BaseChatOpenAI), {"type": "content.delta"}, Any, {}
    ) is (None)
    uninstrument()
    uninstrument()
    assert vars(BaseChatOpenAI)[METHOD] is original


def test_without_langchain_openai(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[], None]
) -> None:
    """It is not imported for it, and asked for again later."""
    monkeypatch.delitem(sys.modules, "langchain_openai.chat_models.base")
    wrap()
    uninstrument()


def test_another_langchain_openai(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[], None]
) -> None:
    """Where the method is gone, nothing is left to be done."""
    monkeypatch.delattr(BaseChatOpenAI, METHOD)
    wrap()
    uninstrument()


@pytest.mark.parametrize("first", [True, False])
def test_what_others_wrap_stays(
    monkeypatch: pytest.MonkeyPatch,
    first: bool,  # noqa: FBT001 -- a parameter
    wrap: Callable[[], None],
) -> None:
    """Another instrumentation's wrapper is neither taken for ours nor taken away."""
    if not first:
        wrap()
    below = vars(BaseChatOpenAI)[METHOD]

    @functools.wraps(below)
    def theirs(*args: Any, **kwargs: Any) -> Any:
        return below(*args, **kwargs)

    monkeypatch.setattr(BaseChatOpenAI, METHOD, theirs)
    wrap()
    assert (vars(BaseChatOpenAI)[METHOD] is theirs) is not first
    uninstrument()
    assert vars(BaseChatOpenAI)[METHOD] is theirs
    monkeypatch.undo()
    uninstrument()


class Dumped:
    """A usage, as the client's model of it."""

    def model_dump(self) -> dict[str, int]:
        """Return its numbers."""
        return {"input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 1}


class ChatAnthropic:
    """The one method of langchain-anthropic's class; `make providers` has the class."""

    def _make_message_chunk_from_anthropic_event(self, event: Any) -> Any:
        """Make a chunk of an event, without what its first one holds."""
        if event.type == "ping":
            return None, None
        return AIMessageChunk(""), None  # type: ignore[call-arg]


def test_anthropics_first_event_is_kept(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[], None]
) -> None:
    """The id and the usage of a stream stand where those of an answer do."""
    module = types.ModuleType("langchain_anthropic.chat_models")
    module.ChatAnthropic = ChatAnthropic  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    started = types.SimpleNamespace(id="msg_1", usage=Dumped())
    first = types.SimpleNamespace(type="message_start", message=started)
    model: Any = ChatAnthropic()
    make = "_make_message_chunk_from_anthropic_event"
    wrap()
    try:
        message, _ = getattr(model, make)(first)
        assert message.response_metadata == {
            "id": "msg_1",
            "usage": started.usage.model_dump(),
        }
        for kind in ("ping", "message_delta", "message_start"):
            other = types.SimpleNamespace(type=kind)  # one that holds nothing
            message, _ = getattr(model, make)(other)
            assert kind == "ping" or message.response_metadata == {}
    finally:
        uninstrument()
    message, _ = getattr(model, make)(first)
    assert message.response_metadata == {}
