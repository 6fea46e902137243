"""Write what the operator's resources share with the files of ``deploy/prometheus``.

``rules.yaml`` holds the rule files as PrometheusRules, ``settings.yaml`` is a patch
with the settings of ``prometheus.yml`` and the flags of the compose file. ``make
kubernetes-files`` runs it; a test holds that the committed files are what it writes.
Kustomize can copy every other shared file by itself, but not into a field of another
resource.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

_HERE = Path(__file__).resolve().parent
_DEPLOY = _HERE.parents[1]
_HEADER = """\
# Written by build.py from deploy/prometheus and deploy/kubernetes/rules: change the
# files there, then run make kubernetes-files.
"""

_FEATURES = "--enable-feature="

RULES = _HERE / "rules.yaml"
SETTINGS = _HERE / "settings.yaml"


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
    return _HEADER + "---\n".join(_yaml(resource(file)) for file in sources())


def settings() -> str:
    """Return the text of ``settings.yaml``, a patch of the Prometheus resource.

    The operator's names of the fields:
    https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusSpec
    """
    file = yaml.safe_load((_DEPLOY / "prometheus/prometheus.yml").read_text())
    often, storage, otlp = file["global"], file["storage"], file["otlp"]
    compose = yaml.safe_load((_DEPLOY.parent / "docker-compose.yml").read_text())
    flags = compose["services"]["prometheus"]["command"]
    spec = {
        # Without them graphs have no exemplars, and dashboards miss the first call of
        # every series.
        "enableFeatures": [
            feature
            for flag in flags
            if flag.startswith(_FEATURES)
            for feature in flag.removeprefix(_FEATURES).split(",")
        ],
        "enableOTLPReceiver": "--web.enable-otlp-receiver" in flags,
        "scrapeInterval": often["scrape_interval"],
        "scrapeTimeout": often["scrape_timeout"],
        "evaluationInterval": often["evaluation_interval"],
        "exemplars": {"maxSize": storage["exemplars"]["max_exemplars"]},
        "tsdb": {"outOfOrderTimeWindow": storage["tsdb"]["out_of_order_time_window"]},
        "otlp": {_camel(key): value for key, value in otlp.items()},
    }
    return _HEADER + _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "Prometheus",
            "metadata": {"name": "otel-callbacks"},
            "spec": spec,
        }
    )


def _camel(name: str) -> str:
    """Return a name of Prometheus' file as the operator spells it."""
    first, *others = name.split("_")
    return first + "".join(each.title() for each in others)


def _yaml(document: dict[str, object]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    for path, text in ((RULES, rules()), (SETTINGS, settings())):
        path.write_text(text)
        sys.stdout.write(f"{path.relative_to(_DEPLOY.parent)}\n")
