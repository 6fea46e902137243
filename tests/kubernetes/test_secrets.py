"""``secrets.sh`` makes what the manifests mount, on a real API server."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from manifests import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from api_server import ApiServer

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]


def _run(server: ApiServer, *arguments: str) -> str:
    ended = subprocess.run(  # noqa: S603 -- our own script
        [str(ROOT / "secrets.sh"), *arguments],
        env=server.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _secret(
    server: ApiServer, name: str, space: str = "otel-callbacks"
) -> dict[str, bytes]:
    document = server.kubectl("--namespace", space, "get", "secret", name, "-o", "json")
    return {
        key: base64.b64decode(value)
        for key, value in json.loads(document)["data"].items()
    }


def test_secrets_are_made_once_and_handed_to_apps(
    api_server: ApiServer, tmp_path: Path
) -> None:
    """A second run changes nothing; the certificate is the authority's."""
    _run(api_server)
    token = _secret(api_server, "otel-gateway-token")
    tls = _secret(api_server, "otel-gateway-tls")
    assert set(token) == {"token", "user-salt"}
    assert len(token["token"]) == 64
    assert set(tls) == {"tls.crt", "tls.key", "ca.crt"}

    _run(api_server, "dev")
    assert _secret(api_server, "otel-gateway-token") == token
    assert _secret(api_server, "otel-gateway-tls") == tls
    assert set(_secret(api_server, "opensearch-jaeger")) == {
        *("username", "password", "ca.crt"),
    }

    _run(api_server, "app", "shop")
    assert _secret(api_server, "otel-gateway-token", "shop") == {
        "token": token["token"]
    }
    for name, content in tls.items():
        (tmp_path / name).write_bytes(content)
    openssl = shutil.which("openssl")
    assert openssl is not None
    verified = subprocess.run(  # noqa: S603 -- openssl from the PATH
        [
            *(openssl, "verify", "-CAfile", "ca.crt"),
            *("-verify_hostname", "otel-gateway.otel-callbacks.svc", "tls.crt"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.stdout == "tls.crt: OK\n", verified.stderr
    space = json.loads(api_server.kubectl("get", "namespace", "shop", "-o", "json"))
    assert space["metadata"]["labels"]["otel-callbacks/send"] == "true"


def test_an_unknown_word_shows_the_usage(api_server: ApiServer) -> None:
    """And changes nothing."""
    ended = subprocess.run(  # noqa: S603 -- our own script
        [str(ROOT / "secrets.sh"), "nonsense"],
        env=api_server.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "secrets.sh app NAMESPACE" in ended.stdout
