"""An app whose series are scraped and pushed at the same time."""

from __future__ import annotations

import sys

from otel_callbacks import configure
from otel_callbacks.testing import FakeChatModel

handler = configure(service_name="both-ways")
usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
config = {"callbacks": [handler], "metadata": {"team": "roses"}}
for _ in range(3):
    FakeChatModel(usage=usage).invoke("?", config)
    list(FakeChatModel(usage=usage, answer="a b c", chunks=3).stream("?", config))
FakeChatModel().invoke("?", config)
try:
    FakeChatModel(error=RuntimeError("no")).invoke("?", config)
except RuntimeError:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
sys.stdin.read()
handler.close()
