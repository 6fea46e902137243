"""The hop to Grafana: its health, and that of both its data sources.

https://grafana.com/docs/grafana/latest/developers/http_api/data_source/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks.cli.doctor.probe import Site

if TYPE_CHECKING:
    from otel_callbacks.cli._http import Address
    from otel_callbacks.cli.doctor.probe import Visit

SOURCES: Final = ("prometheus", "jaeger")
"""The uids that ``deploy/grafana/provisioning`` gives to the data sources."""

_OK: Final = 200
_UNHEALTHY: Final = 400


def look(visit: Visit, address: Address) -> str:
    """Look at Grafana and its data sources.

    Args:
        visit: The hop.
        address: Where it is.

    Returns:
        What was seen.

    Raises:
        Trouble: Grafana does not answer.
    """
    site = Site("grafana", address, visit)
    answer = site.get("/api/health")
    health = answer.json()
    if not isinstance(health, dict) or "database" not in health:
        raise site.stranger(answer)
    if health["database"] != "ok":
        visit.trouble(
            f"its database is not well: {health['database']}",
            "Look at `docker compose logs grafana`; is its volume full or read-only?",
        )
    well = [uid for uid in SOURCES if _is_well(visit, site, uid)]
    version = f"version {health['version']}" if "version" in health else "answers"
    return ", ".join([version, *(f"data source {uid}" for uid in well)])


def _is_well(visit: Visit, site: Site, uid: str) -> bool:
    """Look at one data source."""
    answer = site.get(f"/api/datasources/uid/{uid}/health")
    if answer.status == _OK:
        return True
    found = answer.json()
    message = found.get("message", "") if isinstance(found, dict) else ""
    if site.needs_login(answer):
        visit.caution(
            f"the data source {uid} cannot be looked at without a login "
            f"(HTTP {answer.status})",
            site.login_remedy(),
        )
    elif answer.status == _UNHEALTHY:
        visit.trouble(
            f"the data source {uid} is not well: {message}",
            f"Can Grafana reach it? Its URL is one inside Grafana's network: "
            f"http://{uid}:... in deploy/grafana/provisioning/datasources.",
        )
    else:
        visit.trouble(
            f"there is no data source with the uid {uid} (HTTP {answer.status} "
            f"{message})".replace(" )", ")"),
            "Mount deploy/grafana/provisioning into /etc/grafana/provisioning, and "
            "look at `docker compose logs grafana` for its plugins.",
        )
    return False
