"""The stack under test: the files under ``deploy/``, on free ports.

Collector and Jaeger read the very files, their addresses and folders from the
environment variables that the files name. Prometheus knows no such variables: its
file is copied with each target replaced by where that target listens here, and
with shorter intervals; rules and everything else stay as they are.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from binaries import binary
from processes import Server, free_ports

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parents[1] / "deploy"
PROMETHEUS_FLAGS = tuple(
    flag
    for flag in yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())[
        "services"
    ]["prometheus"]["command"]
    if "feature" in flag or "otlp" in flag
)

_INTERVAL = "1s"
# In place of five minutes, for the sums that long ranges are made of.
_LONG = "10s"


class Stack:
    """Collector, Jaeger and Prometheus with their ports, folders and logs.

    Nothing runs until it is started; each server can be stopped, killed and started
    again by itself.

    Args:
        folder: Where their data and logs go.
        is_quick: Whether Prometheus reads each second, with a second of patience; else
            as often and as patiently as its file says.
        settings: Variables of ``deploy/collector/config.yaml`` that differ from the
            tests' own.
    """

    def __init__(self, folder: Path, *, is_quick: bool = True, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._is_quick = is_quick
        self.folder = folder
        self._ports = dict(
            zip(
                (
                    *("grpc", "http", "lines", "health", "metrics"),
                    *("jaeger_otlp", "jaeger_http", "jaeger_grpc"),
                    *("jaeger_health", "jaeger_metrics", "prometheus", "app"),
                ),
                free_ports(12),
                strict=True,
            )
        )
        self.settings = settings
        self.collector = self._collector()
        self.jaeger = self._jaeger()
        self.prometheus = self._prometheus()

    def address(self, port: str) -> str:
        """Return host and port of one of the stack's endpoints.

        Args:
            port: Its name, such as ``grpc`` or ``jaeger_http``.
        """
        return f"127.0.0.1:{self._ports[port]}"

    def url(self, port: str) -> str:
        """Return the URL of one of the stack's endpoints.

        Args:
            port: Its name, such as ``http`` or ``prometheus``.
        """
        return f"http://{self.address(port)}"

    @property
    def app_port(self) -> int:
        """The port that Prometheus reads the app's series from."""
        return self._ports["app"]

    @property
    def storage(self) -> Path:
        """The Collector's volume, with its queue and its log lines."""
        return Path(self.settings.get("COLLECTOR_STORAGE", self.folder / "otelcol"))

    def start(self) -> None:
        """Start all three servers."""
        for server in (self.jaeger, self.prometheus, self.collector):
            server.start()

    def stop(self) -> None:
        """Stop all three servers, in an order in which each can still send its data."""
        for server in (self.collector, self.jaeger, self.prometheus):
            server.stop()

    def _collector(self) -> Server:
        environment = {
            "COLLECTOR_GRPC_ENDPOINT": self.address("grpc"),
            "COLLECTOR_HTTP_ENDPOINT": self.address("http"),
            "COLLECTOR_LINES_ENDPOINT": self.address("lines"),
            "COLLECTOR_HEALTH_ENDPOINT": self.address("health"),
            "COLLECTOR_METRICS_HOST": "127.0.0.1",
            "COLLECTOR_METRICS_PORT": str(self._ports["metrics"]),
            "COLLECTOR_JAEGER_ENDPOINT": self.address("jaeger_otlp"),
            "COLLECTOR_PROMETHEUS_URL": self.url("prometheus"),
            "COLLECTOR_STORAGE": str(self.storage),
            "COLLECTOR_DECISION_WAIT_AFTER_ROOT": "1s",
            "COLLECTOR_SPAN_METRICS_INTERVAL": _INTERVAL,
        }
        return Server(
            "Collector",
            [binary("otelcol"), "--config", DEPLOY / "collector/config.yaml"],
            environment | self.settings,
            self.folder / "collector.log",
            self.url("health"),
        )

    def _jaeger(self) -> Server:
        return Server(
            "Jaeger",
            [binary("jaeger"), "--config", DEPLOY / "jaeger/config.yaml"],
            {
                "JAEGER_OTLP_ENDPOINT": self.address("jaeger_otlp"),
                "JAEGER_HTTP_ENDPOINT": self.address("jaeger_http"),
                "JAEGER_GRPC_ENDPOINT": self.address("jaeger_grpc"),
                "JAEGER_HEALTH_ENDPOINT": self.address("jaeger_health"),
                "JAEGER_METRICS_HOST": "127.0.0.1",
                "JAEGER_METRICS_PORT": str(self._ports["jaeger_metrics"]),
                "JAEGER_PROMETHEUS_URL": self.url("prometheus"),
                "JAEGER_BADGER_DIRECTORY": str(self.folder / "badger"),
                "JAEGER_UI_CONFIG": str(DEPLOY / "jaeger/ui.json"),
                "OTEL_TRACES_SAMPLER": "always_off",
            },
            self.folder / "jaeger.log",
            f"{self.url('jaeger_health')}/status",
        )

    def _prometheus(self) -> Server:
        return Server(
            "Prometheus",
            [
                binary("prometheus"),
                f"--config.file={self._prometheus_file()}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address={self.address('prometheus')}",
                *PROMETHEUS_FLAGS,
            ],
            {},
            self.folder / "prometheus.log",
            f"{self.url('prometheus')}/-/ready",
        )

    def _prometheus_file(self) -> Path:
        """Copy Prometheus' files with the addresses of this run."""
        copied = self.folder / "prometheus"
        shutil.copytree(DEPLOY / "prometheus", copied, dirs_exist_ok=True)
        file = copied / "prometheus.yml"
        configuration = yaml.safe_load(file.read_text())
        if self._is_quick:
            configuration["global"] |= {
                "scrape_interval": _INTERVAL,
                "scrape_timeout": _INTERVAL,
                "evaluation_interval": _INTERVAL,
            }
        here = {
            "app:9464": self.address("app"),
            "otel-collector:8888": self.address("metrics"),
            "jaeger:8888": self.address("jaeger_metrics"),
            "localhost:9090": self.address("prometheus"),
        }
        for job in configuration["scrape_configs"]:
            for group in job.get("static_configs", ()):
                # A target that is not listed above must fail, not be left out.
                group["targets"] = [here.pop(target) for target in group["targets"]]
        assert not here, f"no job reads {sorted(here)}"
        file.write_text(yaml.safe_dump(configuration))
        for rules in copied.glob("rules/*.yml") if self._is_quick else ():
            rules.write_text(_quicker(rules.read_text()))
        return file


def _quicker(rules: str) -> str:
    """Shorten groups with an interval of their own, and the windows they read."""
    groups = yaml.safe_load(rules)
    for group in groups["groups"]:
        if (interval := group.get("interval")) is not None:
            group["interval"] = _LONG
            for rule in group["rules"]:
                rule["expr"] = rule["expr"].replace(f"[{interval}]", f"[{_LONG}]")
    return str(yaml.safe_dump(groups))
