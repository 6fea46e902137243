"""Which reply a request gets: by a rule, from the queue, or the usual one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from otel_callbacks.testing.received import Received
from otel_callbacks.testing.replies import Reply

Match: TypeAlias = str | Callable[[Received], bool]
"""A text to look for in the question or to equal the model, or a question itself."""

Answer: TypeAlias = Reply | Callable[[Received], Reply]
"""A reply, or how to make one for a request."""


class Script:
    """Rules first, then the queue, then the usual reply; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Answer] = deque()
        self._rules: list[tuple[Match, deque[Answer]]] = []

    def add(self, *replies: Answer) -> None:
        """Queue replies for the next requests that no rule answers.

        Args:
            replies: One for each request, in order.
        """
        with self._lock:
            self._queue.extend(replies)

    def when(self, match: Match, *replies: Answer) -> None:
        """Answer certain requests; the newest rule that matches is taken.

        Args:
            match: A part of the question, a whole model name, or a predicate.
            replies: Given one after another; the last one stays.

        Raises:
            ValueError: There is no reply.
        """
        if not replies:
            message = "when() needs at least one reply"
            raise ValueError(message)
        with self._lock:
            self._rules.insert(0, (match, deque(replies)))

    def clear(self) -> None:
        """Forget the queue and the rules."""
        with self._lock:
            self._queue.clear()
            self._rules.clear()

    def reply(self, received: Received) -> Reply:
        """Choose the reply for a request and use it up.

        Args:
            received: The request.
        """
        answer = self._next(received)
        return answer(received) if callable(answer) else answer

    def _next(self, received: Received) -> Answer:
        """Take the next answer out of the first place that has one."""
        with self._lock:
            for match, replies in self._rules:
                if _matches(match, received):
                    return replies[0] if len(replies) == 1 else replies.popleft()
            return self._queue.popleft() if self._queue else Reply()


def _matches(match: Match, received: Received) -> bool:
    """Say whether a rule is for this request."""
    if callable(match):
        return match(received)
    return match == received.model or match in received.text
