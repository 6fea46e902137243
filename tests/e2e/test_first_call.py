"""The first call of a series is on the boards, also after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from answers import samples, total
from one_call import one_call_app
from processes import eventually

if TYPE_CHECKING:
    from stack import Stack

pytestmark = pytest.mark.e2e

_CALL = {
    "otel_callbacks_cost_usd_total": 0.45,
    "otel_callbacks_tokens_total": 1_500_000,
    "otel_callbacks_operations_total": 1,
    "gen_ai_client_operation_duration_seconds_count": 1,
    "gen_ai_client_token_usage_sum": 1_500_000,
}


def _seen(url: str, job: str, calls: int) -> None:
    """Wait until every series has risen by what the calls are.

    ``increase`` extrapolates: as time goes by the surplus of the first minutes shrinks.
    """
    for name, one in _CALL.items():
        query = f'sum(increase({name}{{job="{job}"}}[10m]))'
        eventually(
            lambda query=query, whole=calls * one: (  # type: ignore[misc]
                whole * 0.999 <= total(url, query) <= whole * 1.25
            ),
            f"{calls} times {one} in {query}",
            120,
        )


@pytest.mark.parametrize(
    ("exporter", "job"), [("prometheus", "app"), ("otlp", "one-call")]
)
def test_one_call_is_seen_and_one_after_a_restart(
    own_stack: Stack, exporter: str, job: str
) -> None:
    """45 cents are spent and shown, scraped and pushed, before and after a restart."""
    own_stack.start()
    url = own_stack.url("prometheus")
    runs = f'otel_callbacks_open_runs{{job="{job}"}}'
    with one_call_app(own_stack, exporter) as call:
        eventually(lambda: samples(url, runs), "a scrape or push before the call")
        call()
        _seen(url, job, 1)
    with one_call_app(own_stack, exporter) as call:
        call()
        _seen(url, job, 2)
