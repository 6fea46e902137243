"""The compose file itself comes up, unmodified, in a container engine of its own."""

from __future__ import annotations

import subprocess

import pytest
from stack import HERE

pytestmark = pytest.mark.e2e


def test_compose_file_comes_up_and_keeps_its_data() -> None:
    """Services are healthy and pass on a trace, also after down and up."""
    ended = subprocess.run(  # noqa: S603 -- our own script
        [HERE / "compose_up.sh"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    if "left out, not tested" in ended.stdout:
        pytest.skip(ended.stdout.strip())
    assert "down and up kept the data" in ended.stdout
