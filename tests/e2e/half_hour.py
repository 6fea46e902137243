"""Run the shipped demo beside the real servers, and print which alerts fired.

```
make quiet                      # 31 minutes; ARGS="--minutes 5" for less
```
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "servers"), str(HERE.parent)]

from answers import samples  # noqa: E402 -- the folders of the tests come first
from stack import Stack  # noqa: E402

_DEMO: Final = ("-m", "otel_callbacks.cli", "demo", "--rounds", "0", "--keep-serving")
# Before the first scrape of each, nothing is there; Prometheus says so at once.
_STARTS_SECONDS: Final = 60


def main() -> int:
    """Run the demo, print each alert with its duration, and fail if one fired."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=31.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        # A scrape that may take a second is late on a busy machine.
        stack = Stack(Path(folder), is_quick=False)
        demo = None
        try:
            stack.start()
            demo = subprocess.Popen(  # noqa: S603 -- our own program
                [sys.executable, *_DEMO],
                env={
                    **{k: v for k, v in os.environ.items() if "OTEL" not in k},
                    "OTEL_SERVICE_NAME": "flower-shop",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                    "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
                },
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(_STARTS_SECONDS)
            since = time.time()
            time.sleep(max(60 * minutes - _STARTS_SECONDS, 1))
            return _report(stack.url("prometheus"), since)
        finally:
            if demo is not None:
                demo.kill()
                demo.wait()
            stack.stop()


def _report(url: str, since: float) -> int:
    """Print firing and pending alerts, and return whether one fired."""
    window = f"[{int(time.time() - since)}s]"
    calls = samples(url, "sum(otel_callbacks_operations_total)")[0]["value"]
    print(f"{calls:,.0f} operations in {(time.time() - since) / 60:.0f} minutes")  # noqa: T201
    seen = samples(url, f"count_over_time(ALERTS{window})")
    for one in seen:
        labels = one["labels"]
        print(f"{labels['alertstate']:8} {one['value']:6.0f} s  {labels}")  # noqa: T201
    fired = [one for one in seen if one["labels"]["alertstate"] == "firing"]
    print(f"{len(fired)} alerts fired")  # noqa: T201
    return int(bool(fired))


if __name__ == "__main__":
    sys.exit(main())
