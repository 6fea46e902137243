"""Each series has so many label sets and no more, whatever its labels' product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_callbacks import Settings
from otel_callbacks.testing import FakeChatModel, capture

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
