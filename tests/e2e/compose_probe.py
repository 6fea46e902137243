"""Sends a trace to a stack on its usual ports, or waits until it is found there.

``send`` prints the trace's id; ``find ID`` ends well once Jaeger has the trace and
Prometheus has counted it.
"""

from __future__ import annotations

import sys
from functools import partial

from answers import samples, trace
from processes import eventually
from telemetry import chat, sending, trace_id

_WITHIN = 90.0
_COUNTED = 'traces_span_metrics_calls_total{service_name="compose"} > 0'


def main(arguments: list[str]) -> None:
    """Run the command in the first argument.

    Args:
        arguments: ``send``, or ``find`` and a trace id.
    """
    match arguments:
        case ["send"]:
            with sending("127.0.0.1:4317", "compose") as tracer:
                call = chat(tracer)
                call.end()
            sys.stdout.write(trace_id(call) + "\n")
        case ["find", wanted]:
            jaeger = partial(trace, "http://127.0.0.1:16686", wanted)
            eventually(jaeger, f"{wanted} in Jaeger", _WITHIN)
            prometheus = partial(samples, "http://127.0.0.1:9090", _COUNTED)
            eventually(prometheus, "the call in Prometheus", _WITHIN)
        case _:
            sys.exit("usage: compose_probe.py send | find TRACE_ID")


if __name__ == "__main__":
    main(sys.argv[1:])
