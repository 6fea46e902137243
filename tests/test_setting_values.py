"""How the text of a setting becomes its value, or is refused by name."""

from __future__ import annotations

import pytest

from otel_callbacks import SettingError, Settings
from otel_callbacks._setting_values import (
    CONTENT_MODE,
    EXPORTERS,
    MONEY,
    LabelChoice,
    Parser,
    label_choices,
    labels,
)


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
    assert EXPORTERS.parse(text) == value


@pytest.mark.parametrize("text", ["", "prometheus,none", "otlp,otlp,console"])
def test_other_exporters_are_refused(text: str) -> None:
    """A list with anything else is refused."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the reader has no message
        EXPORTERS.parse(text)


def test_content_mode_in_any_case() -> None:
    """The content mode is accepted in upper and lower case."""
    for text in ("span_only", "SPAN_ONLY"):
        assert CONTENT_MODE.parse(text) == "SPAN_ONLY"


@pytest.mark.parametrize("text", ["0", "-0.01", "nan", "inf", "ten"])
def test_money_is_above_nothing(text: str) -> None:
    """A budget of 0 is refused, because it would refuse every call."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the reader has no message
        MONEY.parse(text)
    assert MONEY.parse("0.01") == 0.01


def test_a_reader_may_say_more_than_we_could() -> None:
    """A more specific message of a parser is kept."""

    def reader(text: str) -> str:
        variable = "VARIABLE"
        raise SettingError(variable, text, "anything but this, because")

    with pytest.raises(SettingError, match="because"):
        Parser(reader, "nothing").read("VARIABLE", "x")


def test_the_forms_of_an_entry() -> None:
    """An entry is a key, the chain or a tag, with an optional limit."""
    assert label_choices(" team:20, cost-center ,chain,tag.vip:1,") == (
        LabelChoice("team", "team", limit=20),
        LabelChoice("cost_center", "cost-center"),
        LabelChoice("chain", ""),
        LabelChoice("tag_vip", "vip", is_tag=True, limit=1),
    )
    assert label_choices("") == ()
    assert labels("team:20") == "team:20"


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
        label_choices("api_key")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outcome", "outcome is the name of another"),
        ("gen_ai.request.model", "gen_ai_request_model is the name of another"),
        ("le", "le is the name of another"),
        ("1st", "starts with a letter"),
        ("花", "starts with a letter"),
        ("team:0", "a whole number from 1"),
        ("team:x", "a whole number from 1"),
        ("team,team:2", "'team' appears twice"),
        ("cost.center,cost-center", "'cost_center' appears twice"),
        (",".join(f"a{n}" for n in range(11)), "at most 10 labels"),
    ],
)
def test_wrong_choices_are_refused(text: str, message: str) -> None:
    """Used names, empty names, wrong limits and too many labels are refused."""
    with pytest.raises(SettingError, match=message):
        label_choices(text)


@pytest.mark.parametrize("name", ["user_tier", "tenant", "feature", "usergroup"])
def test_bounded_names_are_allowed(name: str) -> None:
    """A name that only resembles a refused one is allowed."""
    assert label_choices(name)[0].name == name
