"""Measure what each tier costs, and print the tables of ``docs/scale.md``.

``python tests/scale/rates.py [REQUESTS]`` starts the whole pipeline, sends that many
requests of 500 spans as fast as one client can, waits until what is kept is stored, and
divides spans by CPU time, tier by tier. Rates are of one core; what else runs on the
machine makes the run longer, not the figures.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_TESTS = _HERE.parent
sys.path[:0] = [
    *(str(_HERE), str(_TESTS), str(_TESTS / "e2e"), str(_TESTS / "e2e/servers")),
]

from pipeline import Pipeline  # noqa: E402 -- importable by the lines above
from processes import Server, eventually  # noqa: E402
from traces import FAILED, Client  # noqa: E402

# A call as the recorded traces have it: one chat span of five.
_SPANS_A_CALL = 5
_SHARE_OF_A_CORE = 0.6
_DAYS = 14
_LOADS = (1, 100, 10_000)


@dataclass(frozen=True, slots=True)
class Tier:
    """What one tier did, and what it took.

    Args:
        name: As the table names it.
        spans: How many went through.
        seconds: Of CPU.
        resident: Bytes of memory at the end.
        kept_only: Whether only kept spans come here.
    """

    name: str
    spans: int
    seconds: float
    resident: int
    kept_only: bool

    @property
    def rate(self) -> float:
        """Spans a second that one core does."""
        return self.spans / self.seconds


def measure(requests: int) -> tuple[list[Tier], dict[str, float]]:
    """Run the pipeline and return its tiers, and the bytes of a span.

    Args:
        requests: How many, of 500 spans each.
    """
    servers = Pipeline()
    try:
        servers.start()
        client = Client(servers.front, servers.ca, servers.token, batch=100)
        # Caches, indices and the JVMs' compilers are warm before it counts.
        client.send(20)
        _settled(servers, client)
        groups: dict[str, tuple[list[Server], bool]] = {
            "gateway": ([servers.gateways[0]], False),
            "samplers": (servers.samplers, False),
            "Kafka": ([servers.kafka], True),
            "Jaeger's ingester": ([servers.ingester], True),
            "OpenSearch": ([servers.opensearch], True),
        }

        def used() -> dict[str, float]:
            return {
                name: sum(servers.processor_seconds(each) for each in members)
                for name, (members, _) in groups.items()
            }

        before, kept, sent = used(), servers.count(), client.sent.accepted
        began = time.monotonic()
        client.send(requests)
        took = time.monotonic() - began
        _settled(servers, client)
        after = used()
        kept, sent = servers.count() - kept, client.sent.accepted - sent
        assert client.sent.refused == client.sent.unanswered == 0
        tiers = [
            Tier(
                name,
                kept if kept_only else sent,
                after[name] - before[name],
                max(servers.resident_bytes(each) for each in members),
                kept_only,
            )
            for name, (members, kept_only) in groups.items()
        ]
        servers.ask(
            "otel-callbacks-jaeger-span-*/_forcemerge?max_num_segments=1", method="POST"
        )
        stats = servers.ask("otel-callbacks-jaeger-span-*/_stats/store")
        stored = stats["_all"]["primaries"]["store"]["size_in_bytes"]
        sizes = {
            "as OTLP": client.sent.bytes_accepted / client.sent.accepted,
            "in OpenSearch": stored / servers.count(),
        }
        sys.stdout.write(
            f"{sent:,} spans in {took:.0f} s, {kept:,} of them kept; "
            "refused, lost: 0\n\n"
        )
    finally:
        servers.stop()
    return tiers, sizes


def _settled(servers: Pipeline, client: Client) -> None:
    """Wait until every failed trace is stored, and nothing more comes."""
    failed = set(client.sent.of(FAILED))
    eventually(lambda: failed <= set(servers.stored(failed)), "all is stored", 600.0)
    last = [-1, 0.0]

    def quiet() -> bool:
        now = servers.count()
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > 5

    eventually(quiet, "nothing more comes", 600.0)


def main(requests: int) -> None:
    """Measure and print.

    Args:
        requests: How many, of 500 spans each.
    """
    tiers, sizes = measure(requests)
    write = sys.stdout.write
    write("| tier | CPU s | spans | spans a second and core | memory, MB |\n")
    write("| --- | --- | --- | --- | --- |\n")
    for tier in tiers:
        write(
            f"| {tier.name} | {tier.seconds:.1f} | {tier.spans:,} | {tier.rate:,.0f} "
            f"| {tier.resident / 1e6:,.0f} |\n"
        )
    write("\n")
    for name, size in sizes.items():
        write(f"bytes of a span {name}: {size:,.0f}\n")
    kept = tiers[-1].spans / tiers[0].spans
    write(f"kept: {kept:.1%}\n\n")
    write("| calls a second | " + " | ".join(tier.name for tier in tiers))
    write(f" | OpenSearch's disk for {_DAYS} days, GB | Kafka's for a day, GB |\n")
    write("| --- " * (len(tiers) + 3) + "|\n")
    for calls in _LOADS:
        spans = calls * _SPANS_A_CALL
        cores = [
            spans * (kept if tier.kept_only else 1) / tier.rate / _SHARE_OF_A_CORE
            for tier in tiers
        ]
        a_day = spans * kept * 86_400 / 1e9
        write(f"| {calls:,} | " + " | ".join(f"{each:.2f}" for each in cores))
        write(f" | {a_day * _DAYS * sizes['in OpenSearch']:,.1f}")
        write(f" | {a_day * sizes['as OTLP']:,.1f} |\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
