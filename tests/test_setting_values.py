"""How the text of a setting becomes its value, or is refused by name."""

from __future__ import annotations

import pytest

from otel_callbacks._setting_values import (
    SettingError,
    content_mode,
    exporters,
    money,
    read_setting,
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
    """OpenTelemetry's variable may hold a list, which says the same as our word."""
    assert exporters(text) == value


@pytest.mark.parametrize("text", ["", "prometheus,none", "otlp,otlp,console"])
def test_other_exporters_are_refused(text: str) -> None:
    """A list with anything else is refused."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the reader has no message
        exporters(text)


def test_content_mode_in_any_case() -> None:
    """The conventions write it large, people often do not."""
    assert content_mode("span_only") == content_mode("SPAN_ONLY") == "SPAN_ONLY"


@pytest.mark.parametrize("text", ["0", "-0.01", "nan", "inf", "ten"])
def test_money_is_above_nothing(text: str) -> None:
    """A budget of nothing would refuse the first call, so it is a mistake."""
    with pytest.raises(ValueError):  # noqa: PT011 -- the reader has no message
        money(text)
    assert money("0.01") == 0.01


def test_a_reader_may_say_more_than_we_could() -> None:
    """A reason that a reader gives itself is kept."""

    def reader(text: str) -> str:
        variable = "VARIABLE"
        raise SettingError(variable, text, "anything but this, because")

    with pytest.raises(SettingError, match="because"):
        read_setting("VARIABLE", "x", {"parser": reader, "allowed": "nothing"})
