from __future__ import annotations

from otel_callbacks.cli.demo import provider as words


def test_every_question_has_an_answer_in_its_own_language() -> None:
    """And no question is asked in two scenes."""
    groups = (
        words.ASKED,
        words.POEMS,
        words.PRICES,
        words.BUSY,
        words.IMPATIENT,
        words.REPEATED,
        words.ORDERS,
        words.CARE,
    )
    assert sum(map(len, groups)) == len(words.ANSWERS)
    for question, answer in words.ANSWERS.items():
        assert question.isascii() == answer.isascii()


def test_both_languages_are_spoken_in_every_group() -> None:
    """Chinese and English customers come to the shop."""
    assert {one.isascii() for one in words.ASKED} == {True, False}
    assert {one.isascii() for one in words.TOO_LONG} == {True, False}
