"""Every folder of ``deploy/kubernetes`` is what the schemas allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from manifests import BUILT, mistakes, resources
from planted import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from manifests import Resource

pytestmark = pytest.mark.kubernetes


@pytest.mark.parametrize("name", BUILT)
def test_every_resource_fits_its_schema(name: str) -> None:
    """No field is unknown, missing, or of the wrong type."""
    found = {
        f"{each['kind']}/{each['metadata']['name']}": mistakes(each)
        for each in resources(name)
    }
    assert found
    assert {key: value for key, value in found.items() if value} == {}


@pytest.mark.parametrize("planted", PLACES)
def test_a_planted_mistake_is_seen(planted: Callable[[], Resource]) -> None:
    """File, resource and field are named, also where no API server can be had."""
    found = mistakes(planted())
    assert any(PLACES[planted] in one for one in found), found


@pytest.mark.parametrize("name", BUILT)
def test_no_resource_is_there_twice(name: str) -> None:
    """Kustomize would take the same name twice from two folders of ours."""
    found = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in resources(name)
    ]
    assert len(found) == len(set(found))
