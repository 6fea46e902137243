"""Times on the command line: ``24h``, ``7d``, ``2026-11-01``."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from typing import Final

_AGO: Final = re.compile(r"(\d{1,6})([mhdw])")
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_MOST: Final = timedelta(days=3660)


def moment(text: str, now: datetime | None = None) -> datetime:
    """Read a time: so long ago, or a day or a moment, UTC unless it says otherwise.

    Args:
        text: Such as ``24h``, ``7d``, ``2026-11-01``, ``2026-11-01T12:00``.
        now: The time now, by default.

    Raises:
        ArgumentTypeError: It is none of these.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        length = int(ago[1]) * _UNITS[ago[2]]
        if length <= _MOST:
            return (now or datetime.now(UTC)) - length
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time; allowed are 24h, 7d, 2026-11-01"
        raise argparse.ArgumentTypeError(message) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
