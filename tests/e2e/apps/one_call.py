"""An app that makes one call for each line of its input; each costs 45 cents."""

from __future__ import annotations

import sys

from otel_callbacks import configure
from otel_callbacks.testing import FakeChatModel

handler = configure(service_name="one-call")
usage = {"input_tokens": 1_000_000, "output_tokens": 500_000, "total_tokens": 1_500_000}
llm = FakeChatModel(usage=usage, model_name="gpt-4o-mini", provider="openai")
sys.stdout.write("ready\n")
sys.stdout.flush()
for _ in sys.stdin:
    llm.invoke("?", {"callbacks": [handler]})
    sys.stdout.write("called\n")
    sys.stdout.flush()
handler.close()
