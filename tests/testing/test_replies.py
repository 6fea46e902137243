from __future__ import annotations

import math

import pytest

from otel_callbacks.testing import Reply, Tokens
from otel_callbacks.testing import replies as answers


def test_tokens_add_up_field_by_field() -> None:
    """Details are summed separately from the totals."""
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
    """Type and code default to those of the status."""
    assert Reply.failing(status).error[:2] == expected


def test_a_failing_reply_takes_code_message_and_waiting_time() -> None:
    """Given values replace the defaults, and the headers have the waiting time."""
    reply = Reply.failing(
        400, code="content_filter", message="No.", retry_after=1.5, delay=0.1
    )
    assert reply.error == ("invalid_request_error", "content_filter", "No.")
    assert reply.headers == {"retry-after": "2", "retry-after-ms": "1500"}
    assert (reply.status, reply.delay) == (400, 0.1)


def test_counts_a_cjk_character_a_word_and_a_sign_as_one_token_each() -> None:
    """The documented rule, for both languages."""
    assert answers.count_tokens("Rose 12, 玫瑰ok!") == 7
    assert answers.count_tokens("") == 0


def test_pieces_of_a_stream_lose_nothing() -> None:
    """There is one piece for each token, and together they equal the text."""
    text = "  Twelve red roses, 29 euros。\n"
    pieces = answers.pieces_of(text)
    assert "".join(pieces) == text
    assert len(pieces) == answers.count_tokens(text)
    assert answers.pieces_of("") == []


def test_answers_in_the_script_of_the_question() -> None:
    """A Chinese question gets a Chinese answer, always the same."""
    assert answers.answer_to("玫瑰多少钱？") == answers.answer_to("玫瑰多少钱？")  # noqa: RUF001
    assert answers.answer_to("玫瑰多少钱？").endswith("。")  # noqa: RUF001
    assert answers.answer_to("Roses?").endswith(".")


def test_choices_of_one_question_differ() -> None:
    """With n > 1 each choice has another text."""
    assert answers.answer_to("Roses?", 0) != answers.answer_to("Roses?", 1)


def test_a_lone_surrogate_is_answered() -> None:
    """Text that cannot be encoded is hashed, too."""
    assert answers.answer_to("\ud800")


def test_embeddings_have_length_one_and_the_requested_size() -> None:
    """A text's vector is the same each time and normalised."""
    vector = answers.vector_of("peony", 8)
    assert len(vector) == 8
    assert math.isclose(math.hypot(*vector), 1.0)
    assert answers.vector_of("peony") == answers.vector_of("peony")
    assert len(answers.vector_of("peony")) == 16
