from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from otel_callbacks.cli._common import moment

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", datetime(2026, 11, 21, 10, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 11, 20, 12, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 14, 12, tzinfo=UTC)),
        ("2w", datetime(2026, 11, 7, 12, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30+02:00", datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    """So long ago, a day, or a moment."""
    assert moment(text, NOW) == expected


def test_now_is_the_clocks() -> None:
    """Nobody has to say what time it is."""
    assert abs((datetime.now(UTC) - moment("0h")).total_seconds()) < 60


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-7d", "999999w", "2026-13-01"])
def test_what_is_no_time(text: str) -> None:
    """It is refused with what is allowed."""
    with pytest.raises(argparse.ArgumentTypeError, match="allowed are 24h, 7d"):
        moment(text)
