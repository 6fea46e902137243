"""The pipeline of the large overlay as processes on this machine.

Gateways, samplers and Jaeger run the very files of ``deploy``; only addresses differ,
by the variables that the files name. Between apps, gateways and samplers there are TLS
and a token as in a cluster; Kafka and OpenSearch listen on the loopback address alone.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import yaml
from binaries import binary
from jars import folder as jars
from processes import Server, eventually, free_ports

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
LARGE = DEPLOY / "kubernetes/overlays/large"
LOGIN = DEPLOY / "kubernetes/kafka-login"
TOPIC = "otlp_spans"
PARTITIONS = 4
_NOBODY = "65534"
_KAFKA_USER = "jaeger"
_TICKS = os.sysconf("SC_CLK_TCK")


class Pipeline:
    """All servers, each of which can be stopped, killed and started by itself.

    Args:
        keep_percent: Share of ordinary traces that samplers keep.
    """

    def __init__(self, keep_percent: int = 10) -> None:
        # OpenSearch does not run as root, and pytest's folders are root's alone.
        self.folder = Path(tempfile.mkdtemp(prefix="scale-"))
        self.folder.chmod(0o755)
        self.token = secrets.token_hex(16)
        self._keep = keep_percent
        names = (
            *(
                "kafka",
                "kafka_login",
                "controller",
                "opensearch",
                "transport",
                "prometheus",
            ),
            "victoria",
            *("ingester_health", "ingester_metrics"),
            *(
                f"{tier}_{port}"
                for tier in ("gateway0", "gateway1", "sampler0", "sampler1")
                for port in ("grpc", "http", "health", "metrics", "lines")
            ),
        )
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._certificates()
        self.kafka = self._kafka()
        self.opensearch = self._opensearch()
        self.prometheus = self._prometheus()
        self.victoria = self._victoria()
        self.ingester = self._ingester()
        self.samplers = [self._sampler(index) for index in range(2)]
        self.gateways = [self._gateway(index) for index in range(2)]
        # Which gateway clients use: one list that they all look at.
        self.front = [self.ports["gateway0_http"]]

    @property
    def ca(self) -> Path:
        """The certificate of the authority that the gateways' is signed by."""
        return self.folder / "tls/ca.crt"

    def address(self, port: str) -> str:
        """Return host and port of a server's endpoint.

        Args:
            port: Its name, such as ``kafka`` or ``sampler0_grpc``.
        """
        return f"127.0.0.1:{self.ports[port]}"

    def start(self) -> None:
        """Start all but the second gateway, the storage first."""
        self.opensearch.launch()
        self.start_kafka()
        self._create_topic()
        eventually(self._yellow, "OpenSearch answers", 180.0)
        self.victoria.start()
        self.prometheus.start()
        for server in (*self.samplers, self.gateways[0], self.ingester):
            server.start()

    def start_kafka(self) -> None:
        """Start Kafka and wait until it takes connections."""
        self.kafka.launch()
        eventually(lambda: _open(self.ports["kafka"]), "Kafka answers", 120.0)

    def stop(self) -> None:
        """End everything, first what takes data in."""
        for server in (
            *(*self.gateways, *self.samplers, self.ingester),
            *(self.prometheus, self.victoria, self.kafka, self.opensearch),
        ):
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What servers say about themselves

    def metric(self, tier: str, name: str, **labels: str) -> float:
        """Return the sum of a series of one server.

        Args:
            tier: Such as ``gateway0`` or ``ingester``.
            name: The series.
            labels: What its labels must be.
        """
        try:
            with urlopen(
                f"http://{self.address(f'{tier}_metrics')}/metrics", timeout=60
            ) as answer:
                text = answer.read().decode()
        except (URLError, ConnectionError):
            return 0.0
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith((f"{name}{{", f"{name} "))
            and all(f'{key}="{value}"' in line for key, value in labels.items())
        )

    def metrics_text(self, tier: str) -> str:
        """Return all series of one server, as it shows them.

        Args:
            tier: Such as ``gateway0`` or ``ingester``.
        """
        with urlopen(
            f"http://{self.address(f'{tier}_metrics')}/metrics", timeout=60
        ) as answer:
            text: str = answer.read().decode()
            return text

    def query(self, expression: str, server: str = "prometheus") -> float:
        """Return what Prometheus answers to an instant query; zero for nothing.

        Args:
            expression: PromQL with one series as its result.
            server: ``prometheus``, or ``victoria`` for what is kept long.
        """
        url = f"http://{self.address(server)}/api/v1/query?query="
        with urlopen(url + quote(expression), timeout=60) as answer:  # noqa: S310
            result = json.load(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    # OpenSearch

    def ask(
        self, path: str, body: dict[str, Any] | None = None, method: str = "GET"
    ) -> dict[str, Any]:
        """Return OpenSearch's answer.

        Args:
            path: Of the URL, with its query.
            body: Sent as JSON.
            method: The method of HTTP.
        """
        request = Request(
            f"http://{self.address('opensearch')}/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310 -- http, ours
                found: dict[str, Any] = json.load(answer)
                return found
        except HTTPError as error:
            if error.code == 503:  # a new index whose shards have not started
                error.close()
                raise
            with error:
                if error.code == 404:
                    return {}
                message = f"{method} {path}: {error.code} {error.read()[:500]!r}"
            raise AssertionError(message) from error

    def stored(self, wanted: set[str]) -> dict[str, list[str]]:
        """Return the ids of the stored spans of some traces, by trace id.

        A span that was written twice stands there twice.

        Args:
            wanted: Trace ids; others are not looked at.
        """
        self.ask("otel-callbacks-jaeger-span-*/_refresh", method="POST")
        found: dict[str, list[str]] = {}
        page = self.ask(
            "otel-callbacks-jaeger-span-*/_search?scroll=1m",
            {"size": 10_000, "_source": ["traceID", "spanID"], "sort": ["_doc"]},
            "POST",
        )
        while page and page["hits"]["hits"]:
            for hit in page["hits"]["hits"]:
                source = hit["_source"]
                if source["traceID"] in wanted:
                    found.setdefault(source["traceID"], []).append(source["spanID"])
            page = self.ask(
                "_search/scroll",
                {"scroll": "1m", "scroll_id": page["_scroll_id"]},
                "POST",
            )
        return found

    def count(self) -> int:
        """Return how many spans are stored."""
        self.ask("otel-callbacks-jaeger-span-*/_refresh", method="POST")
        return int(self.ask("otel-callbacks-jaeger-span-*/_count").get("count", 0))

    def _yellow(self) -> bool:
        with suppress(URLError, ConnectionError, AssertionError):
            return bool(self.ask("_cluster/health").get("status"))
        return False

    # Kafka's own tools

    def tool(self, name: str, *arguments: str) -> str:
        """Run one of Kafka's tools and return what it says.

        Args:
            name: Its class.
            arguments: What follows the address.
        """
        ended = subprocess.run(  # noqa: S603 -- java from the PATH
            [
                *(_java(), "-cp", f"{jars()}/jars/*", "-Xmx128m", name),
                *("--bootstrap-server", self.address("kafka"), *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def _create_topic(self) -> None:
        self.tool(
            "org.apache.kafka.tools.TopicCommand",
            *("--create", "--topic", TOPIC, "--partitions", str(PARTITIONS)),
        )

    # How each is started

    def _certificates(self) -> None:
        """Make an authority and a certificate for the gateways' name and here."""
        folder = self.folder / "tls"
        folder.mkdir()
        names = "DNS:otel-gateway.otel-callbacks.svc,IP:127.0.0.1"
        (folder / "names").write_text(f"subjectAltName={names}\n")
        (folder / "token").write_text(self.token)
        openssl = shutil.which("openssl") or "openssl"
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        for command in (
            (
                *("req", "-x509", *new, "-days", "2", "-subj", "/CN=authority"),
                *("-keyout", "ca.key", "-out", "ca.crt"),
            ),
            (
                *("req", *new, "-subj", "/CN=otel-gateway"),
                *("-keyout", "tls.key", "-out", "tls.csr"),
            ),
            (
                *("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt"),
                *("-CAkey", "ca.key", "-CAcreateserial", "-days", "2"),
                *("-extfile", "names", "-out", "tls.crt"),
            ),
        ):
            subprocess.run(  # noqa: S603 -- openssl from the PATH
                [openssl, *command], cwd=folder, check=True, capture_output=True
            )

    def _kafka(self) -> Server:
        folder = self.folder / "kafka"
        folder.mkdir()
        settings = folder / "server.properties"
        settings.write_text(
            "process.roles=broker,controller\n"
            "node.id=1\n"
            f"controller.quorum.voters=1@{self.address('controller')}\n"
            f"listeners=PLAINTEXT://{self.address('kafka')},"
            f"LOGIN://{self.address('kafka_login')},"
            f"CONTROLLER://{self.address('controller')}\n"
            f"advertised.listeners=PLAINTEXT://{self.address('kafka')},"
            f"LOGIN://{self.address('kafka_login')}\n"
            "controller.listener.names=CONTROLLER\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
            "LOGIN:SASL_PLAINTEXT\n"
            # Samplers and ingester log in, as deploy/kubernetes/kafka-login does.
            "listener.name.login.sasl.enabled.mechanisms=SCRAM-SHA-512\n"
            "listener.name.login.scram-sha-512.sasl.jaas.config="
            "org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
            f"log.dirs={folder / 'logs'}\n"
            "offsets.topic.replication.factor=1\n"
            "transaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\n"
            "group.initial.rebalance.delay.ms=0\n"
            "auto.create.topics.enable=false\n"
        )
        java = (_java(), "-cp", f"{jars()}/jars/*")
        subprocess.run(  # noqa: S603 -- java from the PATH
            [
                *(*java, "kafka.tools.StorageTool", "format"),
                *("-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(settings)),
                "--add-scram",
                f"SCRAM-SHA-512=[name={_KAFKA_USER},password={self.token}]",
            ],
            check=True,
            capture_output=True,
        )
        return Server(
            "Kafka",
            [*java, "-Xms256m", "-Xmx384m", "kafka.Kafka", settings],
            {},
            self.folder / "kafka.log",
            "",
        )

    def _opensearch(self) -> Server:
        folder = self.folder / "opensearch"
        shutil.copytree(jars() / "opensearch/config", folder / "config")
        (folder / "config/opensearch.yml").write_text(
            yaml.safe_dump(
                {
                    "cluster.name": "scale",
                    "discovery.type": "single-node",
                    "network.host": "127.0.0.1",
                    "http.port": self.ports["opensearch"],
                    "transport.port": self.ports["transport"],
                    "path.data": str(folder / "data"),
                    "path.logs": str(folder / "logs"),
                    "node.store.allow_mmap": False,
                    # How soon a full disk is seen.
                    "cluster.info.update.interval": "10s",
                }
            )
        )
        # The archive is not executable as Python unpacks it; the cache may be root's.
        program = self.folder / "opensearch/home"
        shutil.copytree(jars() / "opensearch", program)
        start: list[str | Path] = ["bash", program / "bin/opensearch"]
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", _NOBODY, str(folder)], check=True)  # noqa: S603, S607
            start = ["setpriv", "--reuid", _NOBODY, "--clear-groups", *start]
        return Server(
            "OpenSearch",
            start,
            {
                "OPENSEARCH_PATH_CONF": str(folder / "config"),
                "OPENSEARCH_JAVA_OPTS": "-Xms1g -Xmx1g",
                "JAVA_HOME": str(Path(_java()).resolve().parents[1]),
            },
            self.folder / "opensearch.log",
            f"http://{self.address('opensearch')}/",
        )

    def _prometheus(self) -> Server:
        settings = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
        settings["rule_files"] = [str(DEPLOY / "kubernetes/rules/tiers.yml")]
        settings["global"] |= {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
        }
        settings["scrape_configs"] = [
            {
                "job_name": job,
                "static_configs": [
                    {"targets": [self.address(f"{tier}_metrics") for tier in tiers]}
                ],
            }
            for job, tiers in (
                ("otel-collector", ("gateway0", "gateway1", "sampler0", "sampler1")),
                ("jaeger", ("ingester",)),
            )
        ]
        # As the operator writes it from overlays/large/long-keeping.yaml.
        patch = yaml.safe_load((LARGE / "long-keeping.yaml").read_text())
        (long,) = patch["spec"]["remoteWrite"]
        long["queue_config"] = {
            "capacity": long["queueConfig"]["capacity"],
            "max_shards": long["queueConfig"]["maxShards"],
            "max_samples_per_send": long.pop("queueConfig")["maxSamplesPerSend"],
        }
        long["url"] = long["url"].replace(
            "victoria-metrics:8428", self.address("victoria")
        )
        settings["remote_write"] = [long]
        file = self.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(settings))
        return Server(
            "Prometheus",
            [
                binary("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address={self.address('prometheus')}",
                *("--enable-feature=exemplar-storage", "--web.enable-otlp-receiver"),
            ],
            {},
            self.folder / "prometheus.log",
            f"http://{self.address('prometheus')}/-/ready",
        )

    def _victoria(self) -> Server:
        text = (LARGE / "victoria-metrics.yaml").read_text()
        (container,) = (
            each["spec"]["template"]["spec"]["containers"][0]
            for each in yaml.safe_load_all(text)
            if each["kind"] == "StatefulSet"
        )
        return Server(
            "VictoriaMetrics",
            [
                binary("victoria-metrics"),
                *container["args"],
                # The last one counts.
                f"-storageDataPath={self.folder / 'victoria'}",
                f"-httpListenAddr={self.address('victoria')}",
            ],
            {},
            self.folder / "victoria.log",
            f"http://{self.address('victoria')}/health",
        )

    def _collector(self, name: str, tier: str, *more: Path, **settings: str) -> Server:
        files = (
            DEPLOY / "collector/config.yaml",
            DEPLOY / "kubernetes/base/secure.yaml",
            LARGE / f"{tier}-tier.yaml",
            *more,
        )
        return Server(
            name,
            [binary("otelcol-tiers"), *(f"--config={file}" for file in files)],
            {
                "COLLECTOR_GRPC_ENDPOINT": self.address(f"{name}_grpc"),
                "COLLECTOR_HTTP_ENDPOINT": self.address(f"{name}_http"),
                "COLLECTOR_HEALTH_ENDPOINT": self.address(f"{name}_health"),
                "COLLECTOR_LINES_ENDPOINT": self.address(f"{name}_lines"),
                "COLLECTOR_METRICS_HOST": "127.0.0.1",
                "COLLECTOR_METRICS_PORT": str(self.ports[f"{name}_metrics"]),
                "COLLECTOR_STORAGE": str(self.folder / name),
                "COLLECTOR_TLS": str(self.folder / "tls"),
                "COLLECTOR_TOKEN_FILE": str(self.folder / "tls/token"),
                "COLLECTOR_PROMETHEUS_URL": f"http://{self.address('prometheus')}",
                **settings,
            },
            self.folder / f"{name}.log",
            f"http://{self.address(f'{name}_health')}/",
        )

    def _gateway(self, index: int) -> Server:
        samplers = ", ".join(self.address(f"sampler{each}_grpc") for each in range(2))
        return self._collector(
            f"gateway{index}", "gateway", COLLECTOR_SAMPLERS=f"[{samplers}]"
        )

    def _sampler(self, index: int) -> Server:
        return self._collector(
            f"sampler{index}",
            "sampler",
            LOGIN / "sampler.yaml",
            COLLECTOR_NAME=f"sampler{index}",
            COLLECTOR_KEEP_PERCENT=str(self._keep),
            COLLECTOR_OPEN_TRACES="200000",
            COLLECTOR_DECISION_WAIT_AFTER_ROOT="1s",
            COLLECTOR_SPAN_METRICS_INTERVAL="1s",
            **self._kafka_client(),
        )

    def _kafka_client(self) -> dict[str, str]:
        """Return how Kafka is reached: without TLS here, with a login."""
        return {
            "KAFKA_BROKERS": f"[{self.address('kafka_login')}]",
            "KAFKA_PLAINTEXT": "true",
            "KAFKA_USER": _KAFKA_USER,
            "KAFKA_PASSWORD": self.token,
        }

    def _ingester(self) -> Server:
        return Server(
            "ingester",
            [
                *(binary("jaeger"), "--config", LARGE / "jaeger-ingester.yaml"),
                f"--config={LOGIN / 'ingester.yaml'}",
            ],
            {
                **self._kafka_client(),
                "JAEGER_HEALTH_ENDPOINT": self.address("ingester_health"),
                "JAEGER_METRICS_HOST": "127.0.0.1",
                "JAEGER_METRICS_PORT": str(self.ports["ingester_metrics"]),
                "OPENSEARCH_URL": f"http://{self.address('opensearch')}",
                "OPENSEARCH_PLAINTEXT": "true",
                "OPENSEARCH_REPLICAS": "0",
                "OTEL_TRACES_SAMPLER": "always_off",
            },
            self.folder / "ingester.log",
            f"http://{self.address('ingester_health')}/status",
        )

    def processor_seconds(self, server: Server) -> float:
        """Return the CPU time that a running server has used, in seconds.

        Args:
            server: One of this pipeline's.
        """
        fields = Path(f"/proc/{server.process_id}/stat").read_text().rsplit(")", 1)[1]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def resident_bytes(self, server: Server) -> int:
        """Return the memory that a running server holds.

        Args:
            server: One of this pipeline's.
        """
        pages = Path(f"/proc/{server.process_id}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        sys.exit(
            "scale: java is not on the PATH; Kafka and OpenSearch need 17 or later"
        )
    return java


def _open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
