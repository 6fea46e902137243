"""A real API server takes every folder, and refuses what is planted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from manifests import BUILT, ROOT, named, rendered, resources
from planted import PLACES, REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from api_server import ApiServer
    from manifests import Resource

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", BUILT)
def test_the_server_takes_every_folder(api_server: ApiServer, name: str) -> None:
    """Strictly validated, and without a warning of the restricted Pod policy."""
    space = ("--namespace=shop",) if name == "zero-code" else ()
    output = api_server.kubectl(
        *api_server.DRY, *space, "-f", "-", given=rendered(name)
    )
    assert "Warning" not in output, output
    assert output.count("serverside-applied") == rendered(name).count("\nkind: ")


@pytest.mark.parametrize("planted", REFUSED)
def test_a_planted_mistake_is_refused(
    api_server: ApiServer, planted: Callable[[], Resource]
) -> None:
    """The message names what is wrong."""
    assert REFUSED[planted] in api_server.refusal(planted())


@pytest.mark.parametrize("planted", [one for one in PLACES if one not in REFUSED])
def test_what_the_schema_check_refuses_the_server_refuses(
    api_server: ApiServer, planted: Callable[[], Resource]
) -> None:
    """The check without a server is no stricter than the server."""
    assert api_server.refusal(planted()) != ""


def test_the_good_manifests_of_the_planted_ones_are_taken(
    api_server: ApiServer,
) -> None:
    """A refusal is the mistake's, not the manifest's."""
    for name in ("overlays/small", "monitoring"):
        api_server.kubectl(*api_server.DRY, "-f", "-", given=rendered(name))


def test_definitions_that_do_not_fit_are_named_as_on_the_page(
    api_server: ApiServer,
) -> None:
    """Missing in that version, or older than a field that is used."""
    page = (ROOT.parents[1] / "docs/kubernetes.md").read_text()
    monitor = named(resources("monitoring"), "PodMonitor", "servers")
    monitor["apiVersion"] = "monitoring.coreos.com/v2"
    refusal = api_server.refusal(monitor)
    assert 'no matches for kind "PodMonitor" in version "monitoring.coreos.com/v2"' in (
        refusal
    )
    assert "`no matches for kind " in page
    prometheus = named(resources("monitoring"), "Prometheus", "otel-callbacks")
    prometheus["spec"]["ofTomorrow"] = True
    refusal = api_server.refusal(prometheus)
    assert ".spec.ofTomorrow: field not declared in schema" in refusal
    assert "`field not declared in schema`" in page
