"""Real providers' packages: in an environment of their own, `make providers`."""

from __future__ import annotations

import importlib.util

# Collected where the packages are, which is where `make providers` runs.
collect_ignore = (
    [] if importlib.util.find_spec("langchain_anthropic") else ["test_packages.py"]
)
