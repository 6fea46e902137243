"""Injection as OpenTelemetry's operator does it, over an app with older packages.

The operator copies the image's folder into the Pod and sets ``PYTHONPATH``; Python then
runs the folder's ``sitecustomize``. https://github.com/open-telemetry/opentelemetry-operator
(internal/instrumentation/python.go)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from manifests import ROOT
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from otel_callbacks.testing import FakeOpenAI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _pytest.tmpdir import TempPathFactory

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

_TOP = ROOT.parents[1]
_REQUIREMENTS = _TOP / "requirements"
_FILL = ROOT / "injection/fill.sh"
# What an app of today has: LangChain and its dependencies, none of OpenTelemetry.
_NOT_THE_APP_S = re.compile(r"opentelemetry|genai-prices|prometheus|protobuf|wrapt")
_APP = """
import langchain_core
from langchain_openai import ChatOpenAI
print("langchain_core", langchain_core.__version__)
print(ChatOpenAI(model="gpt-4.1-mini", max_retries=0).invoke("Which flowers?").content)
"""
_PREFIX = "opentelemetry/instrumentation/auto_instrumentation"


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run(  # noqa: S603 -- a Python of ours
        [
            *(str(python), "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"),
            *arguments,
        ],
        check=True,
    )


def _pins(file: Path, wanted: Callable[[str], bool]) -> str:
    """Return the pins of some packages, with their hashes."""
    blocks = re.split(r"(?m)^(?=[a-z])", file.read_text())
    return "".join(each for each in blocks if "==" in each and wanted(each))


@pytest.fixture(scope="session")
def app(tmp_path_factory: TempPathFactory) -> Path:
    """A Python with the lowest LangChain that is allowed, and nothing of ours."""
    folder = tmp_path_factory.mktemp("app")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603
    pins = _pins(
        _REQUIREMENTS / "zero-code-lowest.txt",
        lambda pin: not _NOT_THE_APP_S.match(pin),
    )
    (folder / "pins.txt").write_text(pins)
    _pip(folder / "bin/python", "--require-hashes", "-r", str(folder / "pins.txt"))
    return folder / "bin/python"


@pytest.fixture(scope="session")
def image(tmp_path_factory: TempPathFactory) -> Path:
    """The folder that the image holds."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run(  # noqa: S603 -- a Python of ours
        [
            *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
            *("--outdir", str(folder / "dist"), str(_TOP)),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(  # noqa: S603 -- our own script
        [
            *(str(_FILL), str(_REQUIREMENTS / "zero-code.txt"), str(wheel)),
            *(str(folder / "autoinstrumentation"), "native"),
        ],
        check=True,
        env={**os.environ, "PATH": path},
    )
    return folder / "autoinstrumentation"


@pytest.fixture
def spans() -> Iterator[tuple[str, list[str]]]:
    """An OTLP receiver: its address, and the names of the spans it was sent."""
    names: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                request = ExportTraceServiceRequest.FromString(body)
                names.extend(
                    span.name
                    for resource in request.resource_spans
                    for scope in resource.scope_spans
                    for span in scope.spans
                )
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", names
        finally:
            server.shutdown()
            thread.join()


def _run(app: Path, image: Path, endpoint: str, into: Path) -> tuple[str, str]:
    """Inject as the operator does, and return what the app says, on both streams."""
    injected = into / "otel-auto-instrumentation-python"
    if image != injected:
        shutil.copytree(image, injected)
    with FakeOpenAI() as provider:
        ended = subprocess.run(  # noqa: S603 -- a Python of ours
            [str(app), "-c", _APP],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{injected / _PREFIX}:{injected}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_LOGS_EXPORTER": "otlp",
                "OPENAI_API_KEY": "none",
                "OPENAI_BASE_URL": provider.base_url,
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, ended.stderr


def test_an_app_keeps_its_own_packages_and_is_traced(
    app: Path, image: Path, spans: tuple[str, list[str]], tmp_path: Path
) -> None:
    """Its langchain_core is its own, its spans arrive, and nothing is complained of."""
    endpoint, names = spans
    output, warned = _run(app, image, endpoint, tmp_path)
    assert output.startswith("langchain_core 1.0.0\n")
    assert "chat gpt-4.1-mini" in names
    assert "otel_callbacks" not in warned, warned


@pytest.mark.parametrize(
    ("removed", "missing"),
    [
        ("genai_prices*", "genai_prices is missing"),
        ("prometheus_client*", "prometheus_client is missing"),
    ],
)
def test_a_missing_module_is_one_warning(
    app: Path,
    image: Path,
    spans: tuple[str, list[str]],
    tmp_path: Path,
    removed: str,
    missing: str,
) -> None:
    """Without it there would be one DEBUG line; the app runs as before."""
    endpoint, names = spans
    injected = tmp_path / "otel-auto-instrumentation-python"
    shutil.copytree(image, injected)
    for each in injected.glob(removed):
        shutil.rmtree(each)
    output, warned = _run(app, injected, endpoint, tmp_path)
    assert output.startswith("langchain_core 1.0.0\n")
    assert names == []
    lines = [line for line in warned.splitlines() if "does not fit" in line]
    assert len(lines) == 1, warned
    assert missing in lines[0]


@pytest.mark.parametrize(
    ("removed", "module"),
    [
        (
            "opentelemetry/exporter/otlp/proto/http",
            "opentelemetry.exporter.otlp.proto.http",
        ),
        ("google/protobuf", "google.protobuf"),
    ],
)
def test_what_opentelemetry_misses_it_names(
    app: Path,
    image: Path,
    spans: tuple[str, list[str]],
    tmp_path: Path,
    removed: str,
    module: str,
) -> None:
    """Nothing of ours is loaded then, and the app runs as before."""
    endpoint, names = spans
    injected = tmp_path / "otel-auto-instrumentation-python"
    shutil.copytree(image, injected)
    shutil.rmtree(injected / removed)
    output, warned = _run(app, injected, endpoint, tmp_path)
    assert output.startswith("langchain_core 1.0.0\n")
    assert names == []
    assert f"No module named '{module}'" in warned


def test_a_broken_package_of_the_app_is_none_of_the_check_s_business(
    app: Path, image: Path, spans: tuple[str, list[str]], tmp_path: Path
) -> None:
    """What pip left of a package that was half removed has no name and no version."""
    endpoint, names = spans
    (site,) = app.parents[1].glob("lib/python*/site-packages")
    half = site / "half_removed-1.0.dist-info"
    half.mkdir()
    try:
        output, warned = _run(app, image, endpoint, tmp_path)
    finally:
        half.rmdir()
    assert output.startswith("langchain_core 1.0.0\n")
    assert "chat gpt-4.1-mini" in names
    assert "otel_callbacks" not in warned, warned


def test_a_hidden_package_is_one_warning(
    app: Path, image: Path, spans: tuple[str, list[str]], tmp_path: Path
) -> None:
    """As with ``pip install --target`` and all dependencies."""
    endpoint, names = spans
    injected = tmp_path / "otel-auto-instrumentation-python"
    shutil.copytree(image, injected)
    pins = _pins(
        _REQUIREMENTS / "zero-code.txt",
        lambda pin: pin.startswith(("langchain-core==", "langchain-protocol==")),
    )
    (tmp_path / "pins.txt").write_text(pins)
    _pip(
        Path(sys.executable),
        *("--require-hashes", "-r", str(tmp_path / "pins.txt")),
        *("--target", str(injected)),
    )
    output, warned = _run(app, injected, endpoint, tmp_path)
    assert not output.startswith("langchain_core 1.0.0\n")
    lines = [line for line in warned.splitlines() if "does not fit" in line]
    assert len(lines) == 1
    assert re.search(r"langchain-core 1\.0\.0 of the app is hidden by 1\.", lines[0])
    assert "chat gpt-4.1-mini" in names


def test_the_image_is_small_and_has_nothing_of_langchain(image: Path) -> None:
    """About 9 MB; only protobuf has a compiled part, which every Python can load."""
    size = sum(each.stat().st_size for each in image.rglob("*") if each.is_file())
    assert size < 15_000_000
    assert list(image.glob("langchain*")) == []
    assert list(image.glob("pydantic*")) == []
    compiled = {str(each.relative_to(image)) for each in image.rglob("*.so")}
    assert {each for each in compiled if ".abi3." not in each} == set()


def test_the_dockerfile_s_images_are_those_of_compose() -> None:
    """A build argument's default is the pin of ``.env``."""
    pins = dict(re.findall(r"(?m)^(\w+_IMAGE)=(\S+)$", (_TOP / ".env").read_text()))
    defaults = dict(
        re.findall(
            r"(?m)^ARG (\w+_IMAGE)=(\S+)$", (ROOT / "injection/Dockerfile").read_text()
        )
    )
    assert defaults == {key: pins[key] for key in ("PYTHON_IMAGE", "BUSYBOX_IMAGE")}
