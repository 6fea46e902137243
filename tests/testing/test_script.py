from __future__ import annotations

import pytest

from otel_callbacks.testing import Received, Reply
from otel_callbacks.testing.replies import Script


def _asked(question: str, model: str = "m") -> Received:
    """Return a request that asks a question."""
    json = {"model": model, "messages": [{"role": "user", "content": question}]}
    return Received.of("/v1/chat/completions", json, {})


def test_the_queue_is_used_up_and_then_comes_the_usual_reply() -> None:
    """Scripted replies come in order, one for each request."""
    script = Script()
    script.add(Reply("one"), lambda received: Reply(received.text))
    texts = [script.reply(_asked(question)).text for question in "abc"]
    assert texts == ["one", "b", None]


def test_rules_match_question_model_or_predicate() -> None:
    """Three ways to say which requests are meant."""
    script = Script()
    script.when("tulip", Reply("by question"))
    script.when("gpt-4o", Reply("by model"))
    script.when(lambda received: received.stream, Reply("by predicate"))
    assert script.reply(_asked("Any tulips?")).text == "by question"
    assert script.reply(_asked("x", "gpt-4o")).text == "by model"
    assert script.reply(_asked("x", "gpt-4o-mini")).text is None
    streamed = Received.of("/", {"stream": True}, {})
    assert script.reply(streamed).text == "by predicate"


def test_a_rule_comes_before_the_queue_and_its_last_reply_stays() -> None:
    """A rule's replies are given one after another, the last one for ever."""
    script = Script()
    script.add(Reply("queued"))
    script.when("rose", Reply("first"), Reply("then"))
    texts = [script.reply(_asked("rose")).text for _ in range(3)]
    assert texts == ["first", "then", "then"]
    assert script.reply(_asked("lily")).text == "queued"


def test_the_newest_rule_wins_and_all_can_be_forgotten() -> None:
    """A test may overrule what a fixture has set."""
    script = Script()
    script.add(Reply("queued"))
    script.when("rose", Reply("old"))
    script.when("rose", Reply("new"))
    assert script.reply(_asked("rose")).text == "new"
    script.clear()
    assert script.reply(_asked("rose")).text is None


def test_a_rule_without_a_reply_is_refused() -> None:
    """It could never answer."""
    with pytest.raises(ValueError, match="at least one reply"):
        Script().when("rose")
