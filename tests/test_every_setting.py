"""Every operation under every setting: the span is whole, nothing of ours fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

from otel_callbacks import Settings, TracedEmbeddings
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.callbacks import CallbackManagerForRetrieverRun

    from otel_callbacks.testing import Capture, FakeOpenAI

_LABELS: Final = (
    "team:5,chain,tag.vip,gen_ai.agent.name,gen_ai.prompt.name,gen_ai.prompt.version"
)
_SETTINGS: Final = {
    "default": {},
    "labels": {"labels": _LABELS},
    "one value a label": {"labels": "team", "label_limit": 1},
    "no extensions": {"extensions": False, "labels": _LABELS},
    "content on spans": {"capture_content": "SPAN_ONLY", "labels": "team"},
    "content in events": {"capture_content": "EVENT_ONLY"},
    "content in both": {"capture_content": "SPAN_AND_EVENT", "content_limit": 1_024},
    "events": {"emit_event": True, "labels": "chain"},
}
_CONFIG: Final[dict[str, Any]] = {
    "metadata": {"team": "flowers", "gen_ai.prompt.name": "greeting"},
    "tags": ["vip"],
    "run_name": "shop",
}


class _Shelf(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        del run_manager
        return [Document(query)]


@tool
def price(flower: str) -> str:
    """Return what a flower costs."""
    return flower


def _chat(server: FakeOpenAI, _: Capture) -> Any:
    return ChatOpenAI(base_url=server.base_url, api_key="sk-test", model="gpt-4o-mini")


def _text(server: FakeOpenAI, _: Capture) -> Any:
    return OpenAI(
        base_url=server.base_url, api_key="sk-test", model="gpt-3.5-turbo-instruct"
    )


def _tool(_: FakeOpenAI, __: Capture) -> Any:
    return price


def _retriever(_: FakeOpenAI, __: Capture) -> Any:
    return _Shelf()


def _embeddings(server: FakeOpenAI, telemetry: Capture) -> Any:
    inner = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=server.base_url,
        api_key="sk-test",
        check_embedding_ctx_length=False,
    )
    traced = TracedEmbeddings(inner, handler=telemetry.handler)
    return RunnableLambda(traced.embed_query)


_MODEL: Final = ("gen_ai.provider.name", "gen_ai.request.model", "server.address")
_OPERATIONS: Final[dict[str, tuple[Callable[..., Any], tuple[str, ...]]]] = {
    "chat": (_chat, _MODEL),
    "text_completion": (_text, _MODEL),
    "embeddings": (_embeddings, _MODEL),
    "execute_tool": (_tool, ("gen_ai.tool.name",)),
    "retrieval": (_retriever, ()),
}


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("setting", _SETTINGS)
def test_the_span_is_whole(server: FakeOpenAI, operation: str, setting: str) -> None:
    """With any setting the span is complete, and no internal failure is counted."""
    make, attributes = _OPERATIONS[operation]
    chosen: dict[str, Any] = _SETTINGS[setting]  # type: ignore[assignment]
    with capture(settings=Settings(strict=True, **chosen)) as telemetry:
        config = {**_CONFIG, "callbacks": [telemetry.handler]}
        runnable = RunnableLambda(make(server, telemetry).invoke)
        runnable.invoke("Tulips?", config)
        (span,) = (
            span
            for span in telemetry.spans
            if span["attributes"].get("gen_ai.operation.name") == operation
        )
        assert [name for name in attributes if name not in span["attributes"]] == []
        assert span["status"] == "UNSET"
        assert telemetry.value("otel_callbacks_errors_total") in {None, 0.0}
        if chosen.get("labels") == _LABELS and chosen.get("extensions", True):
            (series,) = (
                sample.labels
                for family in telemetry.registry.collect()
                for sample in family.samples
                if sample.name == "otel_callbacks_operations_total"
                and sample.labels["gen_ai_operation_name"] == operation
            )
            assert series["team"] == "flowers"
            assert series["gen_ai_prompt_name"] == "greeting"
            assert series["tag_vip"] == "true"
            assert series["chain"] == "shop"


def test_calls_of_an_agent_carry_its_name(server: FakeOpenAI) -> None:
    """If LangChain names the agent, the spend series have it as a label."""
    settings = Settings(strict=True, labels="gen_ai.agent.name")
    with capture(settings=settings) as telemetry:
        config = {
            "callbacks": [telemetry.handler],
            "metadata": {"lc_agent_name": "florist"},
        }
        _chat(server, telemetry).invoke("Tulips?", config)
        labels = {"gen_ai_agent_name": "florist"}
        assert telemetry.value("otel_callbacks_tokens_total", **labels)
