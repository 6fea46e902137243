from __future__ import annotations

import pytest

from otel_callbacks.testing import Reply, Tokens


def test_tokens_add_up_field_by_field() -> None:
    """Details are summed beside the totals, never into them."""
    left = Tokens(10, 5, cached=4, reasoning=2)
    right = Tokens(1, 1, cached=1, audio_input=1, audio_output=1)
    assert left + right == Tokens(11, 6, 5, 2, 1, 1)
    assert (left + right).total == 17


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, ("invalid_request_error", "invalid_api_key")),
        (429, ("requests", "rate_limit_exceeded")),
        (503, ("server_error", "server_error")),
    ],
)
def test_a_failing_reply_has_the_status_usual_error(
    status: int, expected: tuple[str, str]
) -> None:
    """Type and code follow the status unless they are given."""
    assert Reply.failing(status).error[:2] == expected


def test_a_failing_reply_takes_code_message_and_waiting_time() -> None:
    """What is given replaces the usual, and the headers say when to come back."""
    reply = Reply.failing(
        400, code="content_filter", message="No.", retry_after=1.5, delay=0.1
    )
    assert reply.error == ("invalid_request_error", "content_filter", "No.")
    assert reply.headers == {"retry-after": "2", "retry-after-ms": "1500"}
    assert (reply.status, reply.delay) == (400, 0.1)
