"""Query a board's variables, panels and links as Grafana and a browser do."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError

from answers import get
from stack import DEPLOY

_RATE_INTERVAL = "15s"
_STEP = 2
_LABEL_VALUES = re.compile(r"label_values\((?:(.+), )?(\w+)\)")
_LABEL_NAMES = re.compile(r"label_names\((.+)\)")


@dataclass
class Answer:
    """The query results of one panel.

    Args:
        panel: The panel's JSON.
        queries: The expressions with variables filled in.
        series: For each query the series: labels and (time, value) pairs.
        traces: Traces from Jaeger, for tables of traces.
        trouble: A server's error.
    """

    panel: dict[str, Any]
    queries: list[str] = field(default_factory=list)
    series: list[list[dict[str, Any]]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    trouble: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the panel shows its text for no data."""
        return not any(self.series) and not self.traces

    @property
    def value(self) -> float:
        """The one number of a panel of one number."""
        ((series,),) = self.series
        return float(series["values"][-1][1])

    def column(self, at: int, label: str) -> dict[str, float]:
        """Return a column of a table, by one of its labels."""
        return {
            one["labels"].get(label, ""): float(one["values"][-1][1])
            for one in self.series[at]
        }


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels with queries, including those of collapsed rows."""
    return [
        panel
        for placed in dashboard["panels"]
        for panel in (placed.get("panels") or [placed])
        if panel["type"] not in {"row", "text"}
    ]


class Board:
    """One dashboard, with one choice of services.

    Args:
        name: The name of its file.
        prometheus: The URL of Prometheus.
        jaeger: The URL of Jaeger.
        since: Unix seconds: the start of the time range, which ends now.
        chosen: Values of variables, instead of all.
    """

    def __init__(
        self, name: str, prometheus: str, jaeger: str, since: float, **chosen: str
    ) -> None:
        file = DEPLOY / "grafana/json" / f"{name}.json"
        self.name = name
        self.json: dict[str, Any] = json.loads(file.read_text())
        self._prometheus = prometheus
        self._jaeger = jaeger
        self._until = time.time()
        self._since = since
        self._chosen = chosen
        self.options: dict[str, list[str]] = {}
        self.variables: dict[str, str] = {}
        for variable in self.json["templating"]["list"]:
            self.variables[variable["name"]] = self._of(variable)

    def _of(self, variable: dict[str, Any]) -> str:
        """Return a variable's value for an expression."""
        name = variable["name"]
        if variable["type"] != "query":
            current = variable.get("current") or {}
            return self._chosen.get(name) or str(current.get("value") or "")
        values = self._asked(self._filled(variable["query"]["query"]))
        if pattern := variable.get("regex"):
            values = [one for one in values if re.fullmatch(pattern[1:-1], one)]
        self.options[name] = values
        if not variable.get("includeAll"):
            return self._chosen.get(name) or (values[0] if values else "")
        if name in self._chosen:
            assert self._chosen[name] in values, (name, values)
            return re.escape(self._chosen[name])
        return str(variable.get("allValue") or "|".join(map(re.escape, values)))

    def _asked(self, query: str) -> list[str]:
        """Query values or names of labels."""
        window = {"start": str(self._since), "end": str(self._until)}
        if match := _LABEL_NAMES.fullmatch(query):
            url = f"{self._prometheus}/api/v1/labels"
            selector = f'{{__name__=~".*{match[1]}.*"}}'
            found = get(url, **window, **{"match[]": selector})["data"]
            return [name for name in found if name != "__name__"]
        match = _LABEL_VALUES.fullmatch(query)
        assert match, query
        url = f"{self._prometheus}/api/v1/label/{match[2]}/values"
        found = get(url, **window, **({"match[]": match[1]} if match[1] else {}))
        return [value for value in found["data"] if value]

    def _filled(self, text: str) -> str:
        """Fill in variables, as Grafana does."""
        width = f"{max(30, int(self._until - self._since))}s"
        # Within a PromQL string a backslash is written as two.
        is_promql = "=~" in text
        for name, value in (
            ("__rate_interval", _RATE_INTERVAL),
            ("__range", width),
            *sorted(self.variables.items(), key=lambda one: -len(one[0])),
        ):
            filled = value.replace("\\", "\\\\") if is_promql else value
            for form in (f"${{{name}:percentencode}}", f"${{{name}}}"):
                text = text.replace(form, filled)
            text = re.sub(rf"\${name}\b", filled.replace("\\", "\\\\"), text)
        return text

    def answers(self) -> dict[str, Answer]:
        """Query every panel, and return the results by title."""
        return {panel["title"]: self.ask(panel) for panel in panels_of(self.json)}

    def ask(self, panel: dict[str, Any]) -> Answer:
        """Run all queries of a panel."""
        answer = Answer(panel)
        for target in panel.get("targets", ()):
            try:
                if "expr" in target:
                    query = self._filled(target["expr"])
                    answer.queries.append(query)
                    answer.series.append(self._prometheus_series(query, target))
                else:
                    answer.traces += self._jaeger_traces(target)
            except HTTPError as error:
                answer.trouble = f"{error} for {target}"
        return answer

    def _prometheus_series(
        self, query: str, target: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Run an instant or a range query."""
        window = {
            "start": str(self._since),
            "end": str(self._until),
            "step": str(_STEP),
        }
        if target.get("instant"):
            url = f"{self._prometheus}/api/v1/query"
            found = get(url, query=query, time=str(self._until))
        else:
            url = f"{self._prometheus}/api/v1/query_range"
            found = get(url, query=query, **window)
            if target.get("exemplar"):
                del window["step"]
                exemplars = f"{self._prometheus}/api/v1/query_exemplars"
                get(exemplars, query=query, **window)
        return [
            {"labels": one["metric"], "values": values}
            for one in found["data"]["result"]
            # A native histogram is no value but its buckets.
            if (
                values := one.get("values")
                or one.get("histograms")
                or [one[key] for key in ("value", "histogram") if key in one]
            )
        ]

    def _jaeger_traces(self, target: dict[str, Any]) -> list[str]:
        """Search traces as Grafana's data source does."""
        tags = dict(
            one.split("=", 1) for one in target.get("tags", "").split() if "=" in one
        )
        query = {
            "service": self._filled(target["service"]),
            "limit": str(target["limit"]),
            "start": str(int(self._since * 1e6)),
            "end": str(int(self._until * 1e6)),
            **({"tags": json.dumps(tags)} if tags else {}),
            **(
                {"minDuration": self._filled(target["minDuration"])}
                if "minDuration" in target
                else {}
            ),
        }
        found = get(f"{self._jaeger}/api/traces", **query)["data"]
        services = {
            process["serviceName"]
            for trace in found
            for process in trace["processes"].values()
        }
        assert services <= {query["service"]}, services
        return [trace["traceID"] for trace in found]

    def links(self) -> list[str]:
        """Return the URLs of all links that need no value."""
        urls = [link["url"] for link in self.json["links"] if link.get("url")]
        for panel in panels_of(self.json):
            urls += [
                link["url"]
                for link in panel["fieldConfig"]["defaults"].get("links") or ()
            ]
        return [self._filled(url) for url in urls]
