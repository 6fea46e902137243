"""Write the rule files of Prometheus as PrometheusRules, into ``rules.yaml``.

``make kubernetes-files`` runs it; a test holds that the committed file is what it
writes. Kustomize can copy every other shared file by itself, but not into a field of
another resource.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

_HERE = Path(__file__).resolve().parent
_DEPLOY = _HERE.parents[1]
_HEADER = """\
# Written by build.py from the rule files of deploy/prometheus/rules and
# deploy/kubernetes/rules: change them there, then run make kubernetes-files.
"""

RULES = _HERE / "rules.yaml"


def sources() -> list[Path]:
    """Return the rule files, in the order in which they are written."""
    return [
        *sorted((_DEPLOY / "prometheus/rules").glob("*.yml")),
        *sorted((_DEPLOY / "kubernetes/rules").glob("*.yml")),
    ]


def resource(file: Path) -> dict[str, object]:
    """Return the PrometheusRule of one rule file.

    Args:
        file: A file with ``groups:``, as Prometheus reads it.
    """
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"otel-callbacks-{file.stem}"},
        "spec": yaml.safe_load(file.read_text()),
    }


def rules() -> str:
    """Return the text of ``rules.yaml``."""
    documents = [
        yaml.safe_dump(resource(file), sort_keys=False, width=100, allow_unicode=True)
        for file in sources()
    ]
    return _HEADER + "---\n".join(documents)


if __name__ == "__main__":
    RULES.write_text(rules())
    sys.stdout.write(f"{RULES.relative_to(_DEPLOY.parent)}\n")
