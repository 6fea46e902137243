"""Prometheus' HTTP API, as far as the doctor asks it.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.cli.doctor_chain import SERVICE
from otel_callbacks.cli.doctor_visit import Site, Visit

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor_addresses import Address
    from otel_callbacks.cli.doctor_visit import Answer

_OK: Final = 200
_MINUTE: Final = 60.0


class Prometheus:
    """A Prometheus.

    Args:
        address: Where it is.
        visit: The hop.
    """

    def __init__(self, address: Address, visit: Visit) -> None:
        self.site = Site("prometheus", address, visit)

    def recognise(self) -> None:
        """Make sure that it is a Prometheus that answers.

        Raises:
            Trouble: It is not.
        """
        answer = self.site.get("/api/v1/query", query="vector(1)")
        if _data(answer) is None:
            raise self.site.stranger(answer)

    def data(self, path: str, **query: str) -> Any:
        """Return what an address of the API says, or None where it says nothing.

        Args:
            path: The path below ``/api/v1``.
            query: The query's parameters.

        Raises:
            Trouble: It does not answer.
        """
        return _data(self.site.get(f"/api/v1/{path}", **query))

    def value(self, query: str) -> float | None:
        """Return the one number that an expression gives now, or None.

        Args:
            query: The expression.

        Raises:
            Trouble: It does not answer.
        """
        found = self.data("query", query=query)
        result = found["result"] if found else ()
        return float(result[0]["value"][1]) if result else None

    def traces_of_exemplars(self, query: str, since: float, until: float) -> set[str]:
        """Return the traces that exemplars of a series name.

        Args:
            query: The series' selector.
            since: Unix seconds.
            until: Unix seconds.

        Raises:
            Trouble: It does not answer.
        """
        found = self.data(
            "query_exemplars",
            query=query,
            # Clocks may differ; the trace's id is its own.
            start=f"{since - _MINUTE:.3f}",
            end=f"{until + _MINUTE:.3f}",
        )
        return {
            exemplar["labels"].get("trace_id", "")
            for series in found or ()
            for exemplar in series["exemplars"]
        }


def calls_of_the_doctor(prometheus: Prometheus) -> float:
    """Return how many spans of the doctor's the span metrics have counted.

    Args:
        prometheus: The Prometheus.

    Raises:
        Trouble: It does not answer.
    """
    query = f'sum(traces_span_metrics_calls_total{{service_name="{SERVICE}"}})'
    return prometheus.value(query) or 0.0


def _data(answer: Answer) -> Any:
    """Return the data of a success, else None."""
    found = answer.json()
    if answer.status == _OK and isinstance(found, dict):
        return found.get("data")
    return None
