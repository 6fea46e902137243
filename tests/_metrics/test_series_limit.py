"""Each series has so many label sets and no more, whatever its labels' product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.outputs import LLMResult
from opentelemetry.sdk.trace import TracerProvider

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel, FakeTextModel, capture

if TYPE_CHECKING:
    from otel_callbacks.testing import Capture

_LIMIT = 5
_TOKENS = "otel_callbacks_tokens_total"


def _label_sets(telemetry: Capture, name: str) -> list[dict[str, str]]:
    """Return the label sets of a sample."""
    return [dict(labels) for sample, labels in telemetry.samples if sample == name]


def _call(telemetry: Capture, team: str, error: Exception | None = None) -> None:
    """Make one call for a team."""
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    model = FakeChatModel(usage=usage, error=error)
    config = {"callbacks": [telemetry.handler], "metadata": {"team": team}}
    if error is None:
        model.invoke("?", config)
    else:
        with pytest.raises(type(error)):
            model.invoke("?", config)


def test_further_label_sets_become_other(caplog: pytest.LogCaptureFixture) -> None:
    """Their sum stays right by operation, token type and outcome; one line says it."""
    with capture(settings=Settings(labels="team", series_limit=_LIMIT)) as telemetry:
        for number in range(20):
            _call(telemetry, f"team-{number}")
        sets = _label_sets(telemetry, _TOKENS)
        # Five and what is too many, by token type.
        assert len(sets) == _LIMIT + 2
        assert telemetry.value(_TOKENS) == 20 * 10
        assert telemetry.value(_TOKENS, gen_ai_token_type="input") == 20 * 7
        assert telemetry.value(_TOKENS, outcome="ok") == 20 * 10
        others = [one for one in sets if one["team"] == "other"]
        assert {one["gen_ai_request_model"] for one in others} == {"other"}
        assert {one["gen_ai_operation_name"] for one in others} == {"chat"}
        overflowed = "otel_callbacks_labels_overflowed_total"
        assert telemetry.value(overflowed, label=_TOKENS) > 0
        lines = [r.message for r in caplog.records if f"{_TOKENS} has 5" in r.message]
        assert len(lines) == 1
        assert "OTEL_CALLBACKS_SERIES_LIMIT" in lines[0]


def test_errors_and_histograms_are_bounded_as_well() -> None:
    """``error_type`` beyond the limit has the conventions' own word."""
    with capture(settings=Settings(series_limit=1)) as telemetry:
        _call(telemetry, "a")
        for error in (ValueError("no"), KeyError("no"), TypeError("no")):
            _call(telemetry, "a", error)
        counts = "gen_ai_client_operation_duration_seconds_count"
        sets = _label_sets(telemetry, counts)
        assert sorted(one["error_type"] for one in sets) == ["", "_OTHER"]
        assert telemetry.value(counts) == 4


def test_calls_in_flight_are_bounded_as_well() -> None:
    """The gauge has as many label sets as any other series."""
    with capture(settings=Settings(series_limit=2)) as telemetry:
        seen: list[int] = []

        class Looks(FakeChatModel):
            """Looks at the series while it is called."""

            def _generate(self, *args: Any, **kwargs: Any) -> Any:
                seen.append(telemetry.value("otel_callbacks_operations_in_flight"))
                return super()._generate(*args, **kwargs)

        for number in range(5):
            name = f"model-{number}"
            Looks(model_name=name).invoke("?", {"callbacks": [telemetry.handler]})
        assert seen == [1] * 5
        sets = _label_sets(telemetry, "otel_callbacks_operations_in_flight")
        assert len(sets) <= 3


def test_models_called_before_a_scrape_are_bounded_as_well() -> None:
    """The gauge shows 0 for no more of them than its limit."""
    with capture(settings=Settings(series_limit=2)) as telemetry:
        for number in range(5):
            name = f"model-{number}"
            FakeChatModel(model_name=name, callbacks=[telemetry.handler]).invoke("?")
        assert len(_label_sets(telemetry, "otel_callbacks_operations_in_flight")) == 2


def test_a_handler_that_was_set_up_with_more_labels_is_counted() -> None:
    """The registry's series keep the labels of the first handler."""
    with capture(settings=Settings(labels="team", strict=True)) as telemetry:
        other = OTelCallbackHandler(
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            registry=telemetry.registry,
            settings=Settings(labels="team,feature", strict=True),
        )
        about = {"team": "roses", "feature": "x"}
        FakeChatModel().invoke("?", {"callbacks": [other], "metadata": about})
        assert telemetry.value("otel_callbacks_operations_total", team="") == 1
        other.close()


def test_a_text_model_has_both_types_of_tokens(telemetry: Capture) -> None:
    """Embeddings alone have no output."""
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    FakeTextModel(usage=usage, callbacks=[telemetry.handler]).invoke("Roses?")
    for kind, count in (("input", 7), ("output", 3)):
        assert telemetry.value(_TOKENS, gen_ai_token_type=kind) == count


def test_a_run_of_one_of_two_handlers_may_be_repeated(telemetry: Capture) -> None:
    """Its id is free again when it has ended."""
    other = OTelCallbackHandler(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        registry=telemetry.registry,
        settings=Settings(strict=True),
    )
    run_id = uuid4()
    for _ in range(3):
        other.on_chat_model_start({}, [["?"]], run_id=run_id)
        other.on_llm_end(LLMResult(generations=[]), run_id=run_id)
    assert telemetry.value("otel_callbacks_operations_total") == 3
    other.close()
