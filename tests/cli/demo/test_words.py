from __future__ import annotations

from otel_callbacks.cli.demo import provider as replies


def test_every_question_has_an_answer_in_its_own_language() -> None:
    """No question is in two groups."""
    groups = (
        replies.ASKED,
        replies.POEMS,
        replies.PRICES,
        replies.BUSY,
        replies.IMPATIENT,
        replies.REPEATED,
        replies.ORDERS,
        replies.CARE,
    )
    assert sum(map(len, groups)) == len(replies.ANSWERS)
    for question, answer in replies.ANSWERS.items():
        assert question.isascii() == answer.isascii()


def test_questions_are_in_both_languages() -> None:
    """Some are in Chinese, some in English."""
    assert {one.isascii() for one in replies.ASKED} == {True, False}
    assert {one.isascii() for one in replies.TOO_LONG} == {True, False}
