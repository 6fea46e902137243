"""How the text of a setting becomes its value, or is refused by name."""

from __future__ import annotations

import pytest

from otel_callbacks import SettingError, Settings
from otel_callbacks.testing import FakeChatModel, capture


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("prometheus", "prometheus"),
        ("otlp", "otlp"),
        ("none", "none"),
        ("both", "both"),
        ("prometheus,otlp", "both"),
        (" otlp , prometheus ", "both"),
    ],
)
def test_exporters_of_metrics(text: str, value: str) -> None:
    """A list in OpenTelemetry's variable has the same meaning as our word."""
    settings = Settings.from_env({"OTEL_METRICS_EXPORTER": text})
    assert settings.metrics_exporter == value


@pytest.mark.parametrize("text", [",", "prometheus,none", "otlp,otlp,console"])
def test_other_exporters_are_refused(text: str) -> None:
    """A list with anything else is refused."""
    with pytest.raises(SettingError, match=r"^OTEL_METRICS_EXPORTER="):
        Settings.from_env({"OTEL_METRICS_EXPORTER": text})


def test_content_mode_in_any_case() -> None:
    """The content mode is accepted in upper and lower case."""
    variable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    for text in ("span_only", "SPAN_ONLY"):
        assert Settings.from_env({variable: text}).capture_content == "SPAN_ONLY"


@pytest.mark.parametrize("text", ["0", "-0.01", "nan", "inf", "ten"])
def test_money_is_above_nothing(text: str) -> None:
    """A budget of 0 is refused, because it would refuse every call."""
    variable = "OTEL_CALLBACKS_BUDGET_COST_USD"
    with pytest.raises(SettingError, match=f"^{variable}="):
        Settings.from_env({variable: text})
    assert Settings.from_env({variable: "0.01"}).budget_cost_usd == 0.01


def test_the_forms_of_an_entry() -> None:
    """An entry is a key, the chain or a tag, with an optional limit."""
    choices = " team:20, cost-center ,chain,tag.vip:1,"
    metadata = {"team": "roses", "cost-center": "7"}
    with capture(Settings(strict=True, labels=choices)) as telemetry:
        FakeChatModel().invoke(
            "?",
            {
                "callbacks": [telemetry.handler],
                "metadata": metadata,
                "tags": ["vip"],
            },
        )
        labels = {"team": "roses", "cost_center": "7", "chain": "", "tag_vip": "true"}
        assert telemetry.value("otel_callbacks_operations_total", **labels) == 1
    assert Settings(labels="").labels == ""


@pytest.mark.parametrize(
    "name",
    [
        "user",
        "userId",
        "USER-ID",
        "session_name",
        "thread_id",
        "conversation",
        "requestId",
        "run_id",
        "trace",
        "span.id",
        "email",
        "ip",
        "tag.user_id",
    ],
)
def test_unbounded_names_are_refused(name: str) -> None:
    """The message names the variable, the value, the reason and the alternative."""
    with pytest.raises(
        SettingError, match=r" cannot be a label: it has one value per .*\. Use the "
    ) as e:
        Settings(labels=f"team,{name}")
    assert e.value.variable == "OTEL_CALLBACKS_LABELS"
    assert e.value.value == name


def test_secrets_are_refused() -> None:
    """Keys that may hold prompts or secrets are refused as labels."""
    with pytest.raises(SettingError, match=r"it may hold a secret or"):
        Settings(labels="api_key")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outcome", "outcome is the name of another"),
        ("gen_ai.request.model", "gen_ai_request_model is the name of another"),
        ("le", "le is the name of another"),
        ("1st", "starts with a letter"),
        ("花", "starts with a letter"),
        ("team:0", "=team:0: must be a whole number from 1"),
        ("team:x", "=team:x: must be a whole number from 1"),
        ("team,team:2", "'team' appears twice"),
        ("cost.center,cost-center", "'cost_center' appears twice"),
        (",".join(f"a{n}" for n in range(11)), "at most 10 labels"),
    ],
)
def test_wrong_choices_are_refused(text: str, message: str) -> None:
    """Used names, empty names, wrong limits and too many labels are refused."""
    with pytest.raises(SettingError, match=message):
        Settings(labels=text)


@pytest.mark.parametrize("name", ["user_tier", "tenant", "feature", "usergroup"])
def test_bounded_names_are_allowed(name: str) -> None:
    """A name that only resembles a refused one is allowed."""
    assert Settings(labels=name).labels == name
