"""The innermost open run of the app's code, for calls that LangChain does not report.

LangChain tells each run's parent; embeddings have no callback, so theirs is found
beside the current span.
"""

from __future__ import annotations

from uuid import UUID

from opentelemetry import context as otel_context

from otel_callbacks._spans.current import RUN_KEY, STAND_INS, StandIn, step_aside


def innermost_run_id() -> UUID | None:
    """Return the id of the innermost open run here, if there is one."""
    run = otel_context.get_value(RUN_KEY)
    if isinstance(run, STAND_INS) and not run.open:
        # A model's run that ended in another task is still here.
        step_aside(run)
        run = run.outer
    if isinstance(run, StandIn) and run.open:
        return UUID(int=run.key)
    return None
