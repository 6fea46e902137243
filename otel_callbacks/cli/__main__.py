"""``python -m otel_callbacks.cli``, for use without the console script."""

from __future__ import annotations

import sys

from otel_callbacks.cli import main

if __name__ == "__main__":
    sys.exit(main())
