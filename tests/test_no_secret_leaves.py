"""No key and no password leaves, wherever an app or a provider has put one.

Names, ids and reasons are sent, as telemetry is made of them. So a secret is planted
in each place that a foreign value can enter by, as an app may do by mistake, and every
byte that leaves is read: OTLP, ``/metrics``, log lines, standard error, ``repr``.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_openai import ChatOpenAI
from test_no_leak import Collector, Run

from otel_callbacks import SettingError, Settings, track_usage
from otel_callbacks.testing import FakeOpenAI, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks import OTelCallbackHandler

PLANTED = "plantedPLANTED0123456789"
SHAPES = {
    "key": f"sk-{PLANTED}",
    "key after words": f"model of sk-{PLANTED}",
    "bearer": f"Bearer {PLANTED}",
    "token": f"eyJ{PLANTED}.eyJ{PLANTED}.{PLANTED}",
    "password of a URL": f"https://user:{PLANTED}@models.example/v1/llama",
    "user of a URL": f"https://{PLANTED}@models.example/v1/llama",
    "query of a URL": f"https://models.example/v1/llama?token={PLANTED}",
    "fragment of a URL": f"https://models.example/v1/llama#{PLANTED}",
    "cloud key": f"AKIA{PLANTED.upper()}",
    "other scripts": f"模型 https://user:{PLANTED}@models.example/v1/llama",
}
MODES: list[dict[str, Any]] = [
    {},
    {"emit_event": True},
    {"labels": "team,tag.vip,gen_ai.agent.name,gen_ai.prompt.name,chain"},
    {"metrics_exporter": "both", "label_limit": 1},
]


class PlantedError(Exception):
    """An exception as a provider's client raises it."""

    def __init__(self, secret: str) -> None:
        super().__init__(secret)
        self.code = secret
        self.request_id = secret
        self.body = {"error": {"message": secret, "code": secret, "type": secret}}
        self.response = type("R", (), {"headers": {"x-request-id": secret}})()


def serialized(secret: str) -> dict[str, Any]:
    """Return how LangChain describes what is called."""
    url = f"https://user:{PLANTED}@models.example/v1?key={PLANTED}"
    return {
        "name": secret,
        "id": ["langchain", secret],
        "description": secret,
        "kwargs": {
            "model": secret,
            "base_url": url,
            "openai_api_base": url,
            "default_headers": {"authorization": secret},
            "api_key": secret,
            "k": 3,
        },
    }


def metadata(secret: str) -> dict[str, Any]:
    """Return metadata with the secret as value and as key."""
    names = (
        *("ls_provider", "ls_model_name", "ls_model_type", "ls_integration"),
        *("lc_agent_name", "agent_id", "agent_description", "agent_version"),
        *("conversation_id", "thread_id", "session_id", "user_id", "team"),
        *("langgraph_node", "langgraph_step", "gen_ai.prompt.name"),
        *("gen_ai.prompt.version", "ls_vector_store_provider", "ls_retriever_name"),
    )
    return {secret: secret, **dict.fromkeys(names, secret)}


def parameters(secret: str) -> dict[str, Any]:
    """Return the parameters of a model's call."""
    names = (
        *("model", "model_name", "service_tier", "reasoning_effort", "user"),
        *("previous_response_id", "api_key", "deployment_name", "engine"),
    )
    return {
        **dict.fromkeys(names, secret),
        secret: secret,
        "stop": [secret],
        "extra_headers": {"authorization": secret},
        "response_format": {"type": secret},
    }


def answer(secret: str) -> LLMResult:
    """Return an answer of which everything that is a name or an id is the secret."""
    names = (
        *("model_name", "model", "id", "finish_reason", "stop_reason", "status"),
        *("service_tier", "system_fingerprint", "model_provider", "object"),
    )
    details: dict[str, Any] = {**dict.fromkeys(names, secret), "headers": {"k": secret}}
    message = AIMessage(
        secret,
        id=secret,
        response_metadata=details,
        usage_metadata={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    )
    generation = ChatGeneration(message=message, generation_info=dict(details))
    return LLMResult(generations=[[generation]], llm_output=dict(details))


def use(handler: OTelCallbackHandler, secret: str) -> None:
    """Call every callback with the secret in all that it is given."""
    about: dict[str, Any] = {
        "tags": [secret, f"vip:{secret}", "vip"],
        "metadata": metadata(secret),
        "name": secret,
    }
    model = {"invocation_params": parameters(secret), "options": parameters(secret)}
    document = serialized(secret)
    root = uuid4()
    handler.on_chain_start(None, {secret: secret}, run_id=root, **about)
    ids = [uuid4() for _ in range(9)]
    inside: dict[str, Any] = {"parent_run_id": root, **about}
    messages = [[HumanMessage(secret, name=secret, id=secret)]]
    for run_id in ids[:3]:
        handler.on_chat_model_start(
            document, messages, run_id=run_id, **inside, **model
        )
    handler.on_llm_start(document, [secret], run_id=ids[3], **inside, **model)
    handler.on_llm_new_token(secret, run_id=ids[0])
    handler.on_llm_end(answer(secret), run_id=ids[0])
    handler.on_llm_error(PlantedError(secret), run_id=ids[1], response=answer(secret))
    handler.on_llm_end(object(), run_id=ids[2])
    handler.on_llm_end(answer(secret), run_id=ids[3])
    for run_id in ids[4:6]:
        handler.on_tool_start(
            document, secret, run_id=run_id, tool_call_id=secret, **inside
        )
    handler.on_tool_end(secret, run_id=ids[4])
    handler.on_tool_error(PlantedError(secret), run_id=ids[5])
    for run_id in ids[6:8]:
        handler.on_retriever_start(document, secret, run_id=run_id, **inside)
    handler.on_retriever_end([Document(secret)], run_id=ids[6])
    handler.on_retriever_error(PlantedError(secret), run_id=ids[7])
    handler.on_chain_start(document, secret, run_id=ids[8], **inside)
    handler.on_chain_error(PlantedError(secret), run_id=ids[8])
    handler.on_chain_end({secret: secret}, run_id=root)
    # An end that nothing started, an id that is none.
    handler.on_llm_end(answer(secret), run_id=uuid4())
    handler.on_chain_start(document, secret, run_id=secret, **about)  # type: ignore[arg-type]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Return a receiver of OTLP that keeps the bytes."""
    made = Collector()
    yield made
    made.stop()


@pytest.mark.parametrize("mode", range(len(MODES)))
def test_no_secret_of_a_known_shape_leaves(
    collector: Collector,
    mode: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No planted secret of a known form is exported."""
    caplog.set_level(logging.DEBUG, "otel_callbacks")
    run = Run(collector, None, **MODES[mode])
    with track_usage() as usage:
        for secret in SHAPES.values():
            use(run.handler, secret)
    shown = [repr(one) for one in (run.handler, usage, usage.calls, usage.by_model)]
    shown += [repr(run.handler.settings), str(usage), repr(vars(run.handler))]
    log = "\n".join(map(logging.Formatter().format, caplog.records))
    exported = run.everything(log)
    out, err = capfd.readouterr()
    everything = b"\n".join(
        [exported, out.encode(), err.encode(), *map(str.encode, shown)]
    )
    lowered = everything.lower()
    assert PLANTED.lower().encode() not in lowered, _around(lowered)
    assert len(run.collector.spans()) == 11 * len(SHAPES)
    # What is no secret is still there.
    assert b"models.example/v1/llama" in everything


def _around(everything: bytes) -> bytes:
    """Return where the secret is, for the reader of a failure."""
    at = everything.index(PLANTED.lower().encode())
    return everything[max(at - 200, 0) : at + 60]


def test_through_a_real_client(
    collector: Collector, server: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """A password in a URL, headers, response ids and an error's text do not leak."""
    caplog.set_level(logging.DEBUG, "otel_callbacks")
    run = Run(collector, None, emit_event=True)
    model = ChatOpenAI(
        model=f"https://user:{PLANTED}@models.example/llama",
        base_url=server.base_url.replace("://", f"://user:{PLANTED}@"),
        api_key=f"sk-{PLANTED}",  # type: ignore[arg-type]
        default_headers={"authorization": f"Bearer {PLANTED}"},
        max_retries=0,
        callbacks=[run.handler],
    )
    server.script(
        Reply(
            "Roses.",
            response_id=f"sk-{PLANTED}",
            system_fingerprint=f"Bearer {PLANTED}",
            service_tier=f"eyJ{PLANTED}.x",
        ),
        Reply.failing(401, message=f"wrong key sk-{PLANTED}"),
    )
    model.invoke("?")
    with contextlib.suppress(Exception):
        model.invoke("?")
    log = "\n".join(
        logging.Formatter().format(record)
        for record in caplog.records
        if record.name == "otel_callbacks"
    )
    exported = run.everything(log).lower()
    assert PLANTED.lower().encode() not in exported, _around(exported)
    assert len(run.collector.spans()) == 2


def test_a_refused_setting_names_no_password() -> None:
    """The message has the variable and the value without user and password."""
    with pytest.raises(SettingError) as refused:
        Settings.from_env({"OTEL_EXPORTER_OTLP_PROTOCOL": f"http://u:{PLANTED}@x"})
    assert PLANTED not in str(refused.value)
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http://x: must be" in str(refused.value)


def test_a_pickled_handler_holds_no_answer(collector: Collector) -> None:
    """A pickled handler holds settings and no runs."""
    run = Run(collector, None)
    use(run.handler, SHAPES["key"])
    assert PLANTED.encode() not in pickle.dumps(run.handler)
    run.everything("")
