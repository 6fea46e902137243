"""Internal errors: logged once, always counted, raised only in strict mode.

A failure of telemetry never reaches the app. It is logged in one line, with its type
and place, and never with its message, which may hold content. It is counted by place;
the counts are the series ``otel_callbacks_errors_total{where}``.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_callbacks._background import Tally, background, is_collecting

if TYPE_CHECKING:
    from collections.abc import Sequence


class Counts:
    """A count for each set of label values."""

    __slots__ = ("_tally",)

    def __init__(self) -> None:
        nothing: dict[tuple[str, ...], float] = {}
        self._tally = Tally(nothing, _added)

    def add(self, *labels: str, count: int = 1) -> None:
        """Add to the count of a set of label values."""
        self._tally.add((labels, count))

    def read(self) -> dict[tuple[str, ...], float]:
        """Return the count of each set of label values."""
        return dict(self._tally.read())


def _added(
    counts: dict[tuple[str, ...], float],
    entries: Sequence[tuple[tuple[str, ...], int]],
) -> dict[tuple[str, ...], float]:
    """Return the counts with entries added."""
    counts = dict(counts)
    for labels, count in entries:
        counts[labels] = counts.get(labels, 0) + count
    return counts


_logger: Final = logging.getLogger("otel_callbacks")


class _Log:
    """Writes log lines, also as work of the background thread."""

    def work(self, message: str) -> None:
        """Write a line."""
        # An app's log handler that raises must not lose a run.
        with contextlib.suppress(Exception):
            _logger.warning("otel_callbacks: %s", message)


_log: Final = _Log()
_log_ref: Final = weakref.ref(_log)

# One line for each place and kind, with a limit of kinds for each place: error classes
# that are created for each error fill no memory, and no place suppresses another.
_MOST_KINDS: Final = 1_000


class Diagnostics:
    """Counts and logs internal errors."""

    __slots__ = ("_counts", "_logged", "strict")

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._counts = Counts()
        self._logged: dict[str, dict[str, object]] = {}

    def trouble(self, where: str, error: BaseException) -> None:
        """Count an internal error, and log it the first time."""
        self._counts.add(where)
        if self.strict:
            raise error
        if self._first(where, type(error).__qualname__):
            self.log(
                f"{where} failed with {type(error).__qualname__}{_place(error)}; the "
                "app goes on with less telemetry. Further failures of this kind are "
                f"counted in otel_callbacks_errors_total{{where={where!r}}} and not "
                "logged."
            )

    def oddity(self, where: str, message: str, count: int = 1, about: str = "") -> None:
        """Count an anomaly that is no exception, and log it the first time."""
        self._counts.add(where, count=count)
        self.log_once(about or where, message)

    def log_once(self, where: str, message: str, about: str = "") -> None:
        """Log a line the first time, without counting it."""
        if self._first(where, about):
            self.log(message)

    def log(self, message: str) -> None:
        """Log a line."""
        if is_collecting():
            # The interrupted code may hold a lock of the app's log handlers.
            background.put(_log_ref, message)
        else:
            _log.work(message)

    def counts(self) -> dict[str, int]:
        """Return the number of failures of each place."""
        return {where: int(count) for (where,), count in self._counts.read().items()}

    def _first(self, where: str, kind: str) -> bool:
        """Return whether this place and kind are logged for the first time."""
        logged = self._logged.setdefault(where, {})
        if len(logged) >= _MOST_KINDS:
            return False
        # Atomic: only one of two threads is the first.
        token = object()
        return logged.setdefault(kind, token) is token


def _place(error: BaseException) -> str:
    """Return an exception's last lines of code, in this package and the innermost."""
    lines: list[str] = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        line = f"{Path(code.co_filename).name}:{step.tb_lineno} in {code.co_name}"
        if step.tb_next is None or code.co_filename.startswith(_PACKAGE):
            lines.append(line)
        step = step.tb_next
    return f" at {', '.join(lines[-_PLACES:])}" if lines else ""


_PACKAGE: Final = str(Path(__file__).parent)
_PLACES: Final = 3
