"""Sends what one signal has, from a thread of its own.

Whoever ends a span appends and goes on. The SDK's own processors wait for a lock where
a batch is full, say that a flush went well when everything was lost, and hold an app's
end up for as long as a Collector does not answer.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from opentelemetry import context as otel_context

from otel_callbacks._background import call_after_fork
from otel_callbacks._export.reasons import close_filter, listening, open_filter, why

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks._diagnostics import Diagnostics
    from otel_callbacks._export.otlp import Route

PATIENCE: Final = 2.0
"""Seconds that an app's end waits for a receiver."""
_AFTER_A_FAILURE: Final = 0.2
_SLICE: Final = 0.02

_NOT_TRACED: Final = otel_context.set_value(
    otel_context._SUPPRESS_INSTRUMENTATION_KEY,  # noqa: SLF001 -- it has no other name
    True,  # noqa: FBT003
    otel_context.Context(),
)
_logger: Final = logging.getLogger("otel_callbacks")


class Flush:
    """Asks a sender to send all that it has, and says whether that worked."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._ok = False

    def finish(self, *, ok: bool) -> None:
        """Tell whoever waits."""
        self._ok = ok
        self._done.set()

    def wait(self, deadline: float) -> bool:
        """Return whether everything was accepted before the deadline."""
        remaining = max(deadline - time.monotonic(), 0.0)
        self._done.wait(min(remaining, threading.TIMEOUT_MAX))
        return self._ok


class Sender:
    """Sends in a thread of its own, and counts what is lost."""

    def __init__(
        self,
        to: Route,
        diagnostics: Diagnostics,
        interval: float,
        make: Callable[[], Any] | None = None,
    ) -> None:
        self._to = to
        self.diagnostics = diagnostics
        self._interval = interval
        self._make = make or to.exporter
        self.closed = False
        self._begin()
        open_filter(self)
        call_after_fork(self)

    def _begin(self) -> None:
        """Have nothing sent, no thread and no connection yet."""
        self._exporter: Any = None
        self._thread: threading.Thread | None = None
        # Never waits, not even where a signal handler or a finalizer puts.
        self._orders: queue.SimpleQueue[Flush | None] = queue.SimpleQueue()
        self._is_logged = False
        self._in_hand = 0
        self._failing = False
        self._failed_at = 0.0
        self._lost = 0
        self._lines: list[str] = []

    def after_fork(self) -> None:
        """Begin anew: what was there is the parent process's."""
        self._begin()

    # -- what a kind of sender does its own way --------------------------------

    def _send(self) -> None:
        """Send what there is."""
        raise NotImplementedError

    def _drop(self) -> int:
        """Drop what cannot be sent any more; return how much."""
        return 0

    # -- the thread --------------------------------------------------------------

    def start(self) -> None:
        """Start the thread unless it runs."""
        if self._thread is not None:
            return
        name = f"otel-callbacks-{self._to.signal.name}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No threads left, or the interpreter is ending: the end sends.
            self._thread = None

    def _work(self) -> None:
        """Send at intervals and whenever that is asked for, until the end."""
        orders = self._orders
        while True:
            order: Flush | None = None
            with contextlib.suppress(queue.Empty):
                order = orders.get(timeout=self._interval)
            self._is_logged = False
            # Read first: what came before the end is sent in this turn.
            is_last = self.closed
            self._turn()
            if order is not None:
                lost, self._lost = self._lost, 0
                order.finish(ok=not lost)
            if is_last:
                return

    def _turn(self) -> None:
        """Send what there is, and let nothing out."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 -- the thread must live on
            self._lost += 1
            with contextlib.suppress(Exception):  # strict mode raises it again
                self.diagnostics.trouble(self._to.signal.where, error)

    def wake(self) -> None:
        """Send soon."""
        if not self._is_logged:
            self._is_logged = True
            self._orders.put(None)

    def export(self, batch: Any, count: int, **more: Any) -> None:
        """Send one batch, in the sender's thread."""
        self._in_hand = count
        self._lines = lines = []
        # The app's own instrumentation of HTTP must not trace this.
        token = otel_context.attach(_NOT_TRACED)
        ok = False
        try:
            with listening(self._hear):
                if self._exporter is None:
                    self._exporter = self._make()
                ok = self._exporter.export(batch, **more).name == "SUCCESS"
        except Exception as error:  # noqa: BLE001 -- counted and said below
            lines.append(type(error).__name__)
            # Older exporters raise what newer ones log. Of other errors, the text is
            # no sign of what is wrong with the connection.
            if isinstance(error, OSError):
                lines.append(str(error))
        finally:
            otel_context.detach(token)
        if self._in_hand:
            self._in_hand = 0
            self._take_note(count, ok=ok)

    def _hear(self, line: str) -> None:
        """Take what the exporter logs: a retry is a sign that there is trouble."""
        self._lines.append(line)
        self._failed_at = time.monotonic()

    def _take_note(self, count: int, *, ok: bool) -> None:
        """Take note of how an export went."""
        if ok:
            self._failed_at = 0.0
            if self._failing:
                self._failing = False
                _logger.info(
                    "otel_callbacks: %s reach %s again.",
                    self._to.signal.noun,
                    self._to.target,
                )
        else:
            self._failing = True
            self._failed_at = time.monotonic()
            self._report(count)

    def _report(self, count: int) -> None:
        """Count what is lost, and say once why: one line for all of one address."""
        self._lost += count
        signal, target = self._to.signal, self._to.target
        reason = why(self._lines, self._to)
        server = urlsplit(target if "://" in target else f"//{target}").hostname
        self.diagnostics.oddity(
            signal.where,
            f"{signal.noun} cannot be sent to {target}: {reason}. The app goes on, and "
            f"{signal.consequence}; further failures are counted in "
            f"otel_callbacks_errors_total{{where='{signal.where}'}}, not logged. "
            "`otel-callbacks doctor` finds the cause.",
            count=count,
            about=f"export to {server}: {reason.split(':')[0]}",
        )

    # -- flush and the end -------------------------------------------------------

    def request_flush(self) -> Flush:
        """Ask for a flush; several senders then do theirs at the same time."""
        order = Flush()
        if self.closed:
            order.finish(ok=not self._lost)
            return order
        self.start()
        self._orders.put(order)
        return order

    def finish(self) -> None:
        """Send what there is and end; does not wait."""
        if not self.closed:
            self.start()
            self.closed = True
            self._orders.put(None)

    def join(self, deadline: float) -> None:
        """Wait for the end, but not longer than makes sense."""
        thread, begun = self._thread, time.monotonic()
        while thread is not None and thread.is_alive():
            now = time.monotonic()
            if self._failed_at:
                late = max(begun, self._failed_at) + _AFTER_A_FAILURE
                deadline = min(deadline, late)
            if now >= deadline:
                break
            thread.join(min(deadline - now, _SLICE))
        self._stop(thread)
        close_filter(self)

    def _stop(self, thread: threading.Thread | None) -> None:
        """Let go of the connection; count what could not be sent."""
        # The last calls may have come after the thread's last look.
        remaining = self._in_hand + self._drop()
        self._in_hand = 0
        if remaining:
            self._report(remaining)
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            with listening(_ignore), contextlib.suppress(Exception):
                exporter.shutdown()
        if thread is not None:
            thread.join(_SLICE)
            # Its provider's shutdown asks for the end again: one wait is enough.
            self._thread = None


class QueueSender(Sender):
    """Sends what is put on a queue, in batches."""

    def __init__(
        self,
        to: Route,
        diagnostics: Diagnostics,
        *,
        interval: float,
        size: int,
        batch: int,
        variable: str,
        make: Callable[[], Any] | None = None,
    ) -> None:
        self._size = size
        self._batch = min(batch, size)
        self._variable = variable
        super().__init__(to, diagnostics, interval, make)

    def _begin(self) -> None:
        """Have nothing waiting, too."""
        super()._begin()
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        """Take something to be sent."""
        if self.closed:
            self._lost += 1
            return
        items = self._items
        items.append(item)
        if self._thread is None:
            self.start()
        waiting = len(items)
        if waiting >= self._batch:
            self.wake()
            if waiting > self._size:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Make room, and count it."""
        try:
            self._items.popleft()
        except IndexError:  # it was sent in the meantime
            return
        self._lost += 1
        noun = self._to.signal.noun
        where = self._to.signal.full
        self.diagnostics.oddity(
            where,
            f"more than {self._size} {noun} wait to be sent; the oldest are dropped. "
            f"Raise {self._variable}. Dropped {noun} are counted in "
            f"otel_callbacks_errors_total{{where='{where}'}}.",
        )

    def _send(self) -> None:
        """Send what waits now."""
        remaining = len(self._items)
        while batch := self._take(min(remaining, self._batch)):
            remaining -= len(batch)
            self.export(batch, len(batch))

    def _take(self, count: int) -> list[Any]:
        """Take the oldest off the queue."""
        found: list[Any] = []
        with contextlib.suppress(IndexError):  # dropped in the meantime
            while len(found) < count:
                found.append(self._items.popleft())
        return found

    def _drop(self) -> int:
        """Drop what waits."""
        remaining = len(self._items)
        self._items.clear()
        return remaining


def _ignore(line: str) -> None:
    """Pass over what an exporter logs at its own end."""
