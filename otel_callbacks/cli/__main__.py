"""``python -m otel_callbacks.cli``, where the console script is not on the path."""

from __future__ import annotations

import sys

from otel_callbacks.cli import main

if __name__ == "__main__":
    sys.exit(main())
