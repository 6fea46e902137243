"""All scenarios, one after another in one process."""

from __future__ import annotations

import runpy
from pathlib import Path

for path in sorted((Path(__file__).parents[1] / "scenarios").glob("*.py")):
    runpy.run_path(str(path), run_name="__main__")
