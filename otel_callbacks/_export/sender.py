"""Export one signal from a thread of its own.

Ending a span only appends to a queue. The SDK's processors wait for a lock when a batch
is full, report a successful flush when everything was lost, and delay the exit of an
app for as long as a Collector does not respond.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future
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
"""Seconds that the exit of an app waits for a receiver."""
_AFTER_A_FAILURE: Final = 0.2
_SLICE: Final = 0.02

_NOT_TRACED: Final = otel_context.set_value(
    otel_context._SUPPRESS_INSTRUMENTATION_KEY,  # noqa: SLF001 -- it has no other name
    True,  # noqa: FBT003
    otel_context.Context(),
)
_logger: Final = logging.getLogger("otel_callbacks")


class Sender(ABC):
    """Exports in a thread of its own, and counts lost items."""

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
        self.after_fork()
        open_filter(self)
        call_after_fork(self)

    def after_fork(self) -> None:
        """Set the initial state; the thread and the items are the parent process's."""
        self._exporter: Any = None
        self._thread: threading.Thread | None = None
        # `put` never blocks, even in a signal handler or a finalizer.
        self._orders: queue.SimpleQueue[Future[bool] | None] = queue.SimpleQueue()
        self._is_woken = False
        self._in_hand = 0
        self._failing = False
        self._failed_at = 0.0
        self._lost = 0
        self._lines: list[str] = []

    # -- overridden by subclasses ------------------------------------------------

    @abstractmethod
    def _send(self) -> None:
        """Export all pending items."""

    def _drop(self) -> int:
        """Drop the pending items; return their number."""
        return 0

    # -- the thread --------------------------------------------------------------

    def start(self) -> None:
        """Start the thread unless it is running."""
        if self._thread is not None:
            return
        name = f"otel-callbacks-{self._to.signal.name}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No threads left, or the interpreter is exiting: the end exports.
            self._thread = None

    def _work(self) -> None:
        """Export at intervals and on request, until the end."""
        orders = self._orders
        while True:
            order: Future[bool] | None = None
            with contextlib.suppress(queue.Empty):
                order = orders.get(timeout=self._interval)
            self._is_woken = False
            # Read first: items queued before the end are exported in this turn.
            is_last = self.closed
            self._turn()
            if order is not None:
                lost, self._lost = self._lost, 0
                order.set_result(not lost)
            if is_last:
                return

    def _turn(self) -> None:
        """Export all pending items, and let no exception out."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 -- the thread must live on
            self._lost += 1
            with contextlib.suppress(Exception):  # strict mode raises it again
                self.diagnostics.trouble(self._to.signal.where, error)

    def wake(self) -> None:
        """Request an export soon."""
        if not self._is_woken:
            self._is_woken = True
            self._orders.put(None)

    def export(self, batch: Any, count: int, **more: Any) -> None:
        """Export one batch in the sender's thread."""
        self._in_hand = count
        self._lines = lines = []
        # The app's own instrumentation of HTTP must not trace this.
        token = otel_context.attach(_NOT_TRACED)
        ok = False
        try:
            with listening(self._capture):
                if self._exporter is None:
                    self._exporter = self._make()
                ok = self._exporter.export(batch, **more).name == "SUCCESS"
        except Exception as error:  # noqa: BLE001 -- counted and logged below
            lines.append(type(error).__name__)
            # Older exporters raise what newer ones log. The text of other errors does
            # not describe the connection.
            if isinstance(error, OSError):
                lines.append(str(error))
        finally:
            otel_context.detach(token)
        if self._in_hand:
            self._in_hand = 0
            self._record(count, ok=ok)

    def _capture(self, line: str) -> None:
        """Keep a log line of the exporter: it marks a failure, even on a retry."""
        self._lines.append(line)
        self._failed_at = time.monotonic()

    def _record(self, count: int, *, ok: bool) -> None:
        """Record the result of an export."""
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
        """Count lost items, and log the reason once for each address."""
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

    def request_flush(self) -> Future[bool]:
        """Request a flush; its result is whether everything was accepted."""
        order: Future[bool] = Future()
        if self.closed:
            order.set_result(not self._lost)
            return order
        self.start()
        self._orders.put(order)
        return order

    def finish(self) -> None:
        """Request a last export and the end, without waiting."""
        if not self.closed:
            self.start()
            self.closed = True
            self._orders.put(None)

    def join(self, deadline: float) -> None:
        """Wait for the end: to the deadline, or shortly after a failure."""
        thread, started = self._thread, time.monotonic()
        while thread is not None and thread.is_alive():
            now = time.monotonic()
            if self._failed_at:
                late = max(started, self._failed_at) + _AFTER_A_FAILURE
                deadline = min(deadline, late)
            if now >= deadline:
                break
            thread.join(min(deadline - now, _SLICE))
        self._stop(thread)
        close_filter(self)

    def _stop(self, thread: threading.Thread | None) -> None:
        """Close the exporter; count the items that could not be exported."""
        # The last items may have been queued after the thread's last turn.
        remaining = self._in_hand + self._drop()
        self._in_hand = 0
        if remaining:
            self._report(remaining)
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            with listening(lambda _: None), contextlib.suppress(Exception):
                exporter.shutdown()
        if thread is not None:
            thread.join(_SLICE)
            # The provider's shutdown calls this again: one wait is enough.
            self._thread = None


class QueueSender(Sender):
    """Exports the items of a queue in batches."""

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

    def after_fork(self) -> None:
        """Start with an empty queue, too."""
        super().after_fork()
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        """Queue an item."""
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
        """Drop the oldest item, and count it."""
        try:
            self._items.popleft()
        except IndexError:  # exported in the meantime
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
        """Export the items that are queued now."""
        remaining = len(self._items)
        while batch := self._take(min(remaining, self._batch)):
            remaining -= len(batch)
            self.export(batch, len(batch))

    def _take(self, count: int) -> list[Any]:
        """Remove the oldest items from the queue and return them."""
        found: list[Any] = []
        with contextlib.suppress(IndexError):  # dropped in the meantime
            while len(found) < count:
                found.append(self._items.popleft())
        return found

    def _drop(self) -> int:
        """Drop the queued items; return their number."""
        remaining = len(self._items)
        self._items.clear()
        return remaining
