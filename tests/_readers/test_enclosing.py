"""The run whose code is being executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableLambda

from otel_callbacks._readers.steps import enclosing_run_id

if TYPE_CHECKING:
    from uuid import UUID


class _Runs(BaseCallbackHandler):
    """Keeps the ids of chains."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []

    def on_chain_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Take a run's id."""
        self.ids.append(run_id)


def test_inside_a_step_it_is_the_steps_run() -> None:
    """And nothing before and after it."""
    runs = _Runs()
    inside: list[UUID | None] = []
    step: Any = RunnableLambda(lambda _: inside.append(enclosing_run_id()))
    assert enclosing_run_id() is None
    step.invoke("rose", config={"callbacks": [runs]})
    assert inside == runs.ids
    assert len(inside) == 1
    assert enclosing_run_id() is None
