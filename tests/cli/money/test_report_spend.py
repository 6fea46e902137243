from __future__ import annotations

from otel_callbacks.cli.report.prometheus import Sample, read_metrics
from otel_callbacks.cli.report.spend import spend, total


def test_spend_by_model_and_outcome(metrics: str) -> None:
    """Each number stands once; tools are no model calls."""
    rows = spend(read_metrics(metrics).samples)
    assert list(rows) == [
        ("gpt-4o-mini", "cache_hit"),
        ("gpt-4o-mini", "cancelled"),
        ("gpt-4o-mini", "ok"),
        ("rose-1", "ok"),
        ("rose-1", "unpriced"),
    ]
    assert rows["gpt-4o-mini", "ok"].numbers() == {
        "calls": 100,
        "input_tokens": 1_200_000,
        "output_tokens": 100_000,
        "cost_usd": 0.24,
        "saved_tokens": 0,
        "saved_usd": 0,
        "unpriced_tokens": 0,
    }
    assert rows["gpt-4o-mini", "cache_hit"].saved_tokens == 30
    assert rows["rose-1", "unpriced"].unpriced_tokens == 70


def test_spend_by_label(metrics: str) -> None:
    """Further labels divide the rows, and the sum stays the same."""
    samples = read_metrics(metrics).samples
    rows = spend(samples, ("team",))
    assert rows["gpt-4o-mini", "ok", "shop"].calls == 90
    assert rows["gpt-4o-mini", "ok", "post"].calls == 10
    assert total(rows.values()) == total(spend(samples).values())


def test_the_dearest_model_is_first() -> None:
    """Whoever pays looks at the first lines."""
    samples = [
        Sample("otel_callbacks_cost_usd_total", {"gen_ai_request_model": "a"}, 1),
        Sample("otel_callbacks_cost_usd_total", {"gen_ai_response_model": "b"}, 2),
        Sample("otel_callbacks_cost_usd_total", {}, 0.5),
    ]
    assert [key[0] for key in spend(samples)] == ["b", "a", "unknown"]
