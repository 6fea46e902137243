from __future__ import annotations

import math

from otel_callbacks.testing import answers


def test_counts_a_cjk_character_a_word_and_a_sign_as_one_token_each() -> None:
    """The documented rule: countable by hand in both languages."""
    assert answers.tokens_of("Rose 12, 玫瑰ok!") == [
        "Rose",
        "12",
        ",",
        "玫",
        "瑰",
        "ok",
        "!",
    ]
    assert answers.count_tokens("") == 0


def test_pieces_of_a_stream_lose_nothing() -> None:
    """One piece for each token, and together they are the text."""
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
    """With n > 1 the choices are told apart."""
    assert answers.answer_to("Roses?", 0) != answers.answer_to("Roses?", 1)


def test_a_lone_surrogate_is_answered() -> None:
    """Text that cannot be encoded is hashed all the same."""
    assert answers.answer_to("\ud800")


def test_known_models_are_dated_and_others_unchanged() -> None:
    """The provider answers with a snapshot's name where it has one."""
    assert answers.dated("gpt-4o-mini") == "gpt-4o-mini-2024-07-18"
    assert answers.dated("qwen-plus") == "qwen-plus"


def test_embeddings_have_length_one_and_the_size_asked_for() -> None:
    """A text's vector is the same each time and normalised."""
    vector = answers.vector_of("peony", 8)
    assert len(vector) == 8
    assert math.isclose(math.hypot(*vector), 1.0)
    assert answers.vector_of("peony") == answers.vector_of("peony")
    assert len(answers.vector_of("peony")) == 16
