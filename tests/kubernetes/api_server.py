"""A Kubernetes API server without a cluster: etcd, kube-apiserver, and no nodes.

It answers what a cluster's would about a manifest (defaults, validation, admission),
which no schema knows in full, and schedules nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import yaml
from binaries import BuildError, binary
from manifests import definitions
from processes import Server, eventually, free_ports

if TYPE_CHECKING:
    from pathlib import Path

_SPACES = ("otel-callbacks", "shop")


def missing() -> str:
    """Return what an API server lacks here, in words; empty when nothing."""
    try:
        binary("kube-apiserver")
    except BuildError as error:
        return str(error)
    return "" if shutil.which("etcd") else "etcd is not on the PATH (etcd-server)"


class ApiServer:
    """etcd and kube-apiserver on free ports of the loopback address.

    Args:
        folder: Where keys, data and logs go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = secrets.token_hex(16)
        client, peer, self._port = free_ports(3)
        etcd = f"http://127.0.0.1:{client}"
        self._etcd = Server(
            "etcd",
            [
                *(shutil.which("etcd") or "etcd", "--data-dir", folder / "etcd"),
                *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
                *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
                *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
            ],
            {},
            folder / "etcd.log",
            f"{etcd}/health",
        )
        self._server = Server(
            "kube-apiserver",
            [
                binary("kube-apiserver"),
                f"--etcd-servers={etcd}",
                *("--bind-address=127.0.0.1", f"--secure-port={self._port}"),
                f"--cert-dir={folder / 'certificates'}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                f"--service-account-key-file={folder / 'accounts.key'}",
                f"--service-account-signing-key-file={folder / 'accounts.key'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
            ],
            {},
            folder / "api-server.log",
            "",
        )

    def start(self) -> None:
        """Start both, add the operators' kinds and the namespaces."""
        (self._folder / "tokens.csv").write_text(
            f'{self._token},tester,tester,"system:masters"\n'
        )
        key = self._folder / "accounts.key"
        subprocess.run(  # noqa: S603 -- openssl from the PATH
            [shutil.which("openssl") or "openssl", "genrsa", "-out", str(key), "2048"],
            check=True,
            capture_output=True,
        )
        self._etcd.start()
        self._server.launch()
        eventually(self._ready, "kube-apiserver is ready", 240.0)
        for file in definitions():
            self.kubectl("apply", "--server-side", "-f", str(file))
        self.kubectl(
            *("wait", "--for=condition=Established", "--timeout=120s"),
            *("customresourcedefinitions", "--all"),
        )
        for name in _SPACES:
            self.kubectl("create", "namespace", name)

    def stop(self) -> None:
        """End both."""
        self._server.stop()
        self._etcd.stop()

    def _ready(self) -> bool:
        try:
            # A certificate that the server has just made for itself.
            context = ssl._create_unverified_context()  # noqa: S323
            with urlopen(
                f"https://127.0.0.1:{self._port}/readyz", timeout=60, context=context
            ) as answer:
                return bool(answer.status == 200)
        except URLError:
            return False

    def kubectl(self, *arguments: str, given: str = "") -> str:
        """Run kubectl and return what it says, warnings included.

        Args:
            arguments: Its arguments.
            given: Its standard input.

        Raises:
            AssertionError: It failed; the message is what it said.
        """
        ended = self._run(*arguments, given=given)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def environment(self) -> dict[str, str]:
        """Return an environment in which ``kubectl`` talks to this server."""
        file = self._folder / "kubeconfig"
        file.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {
                            "name": "here",
                            "cluster": {
                                "server": f"https://127.0.0.1:{self._port}",
                                "insecure-skip-tls-verify": True,
                            },
                        }
                    ],
                    "users": [{"name": "tester", "user": {"token": self._token}}],
                    "contexts": [
                        {
                            "name": "here",
                            "context": {"cluster": "here", "user": "tester"},
                        }
                    ],
                    "current-context": "here",
                }
            )
        )
        folder = self._folder / "bin"
        folder.mkdir(exist_ok=True)
        link = folder / "kubectl"
        if not link.exists():
            link.symlink_to(binary("kubectl"))
        return {
            "HOME": str(self._folder),
            "KUBECONFIG": str(file),
            "PATH": f"{folder}:{os.environ['PATH']}",
        }

    def refusal(self, resource: dict[str, object]) -> str:
        """Return why the server does not take a resource; empty when it does.

        Args:
            resource: What would be applied.
        """
        text = yaml.safe_dump(resource)
        ended = self._run(*self.DRY, "-f", "-", given=text)
        return "" if ended.returncode == 0 else ended.stderr

    DRY = ("apply", "--server-side", "--dry-run=server", "--validate=strict")

    def _run(self, *arguments: str, given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 -- our own binary
            [
                str(binary("kubectl")),
                f"--server=https://127.0.0.1:{self._port}",
                "--insecure-skip-tls-verify",
                f"--token={self._token}",
                f"--cache-dir={self._folder / 'discovery'}",
                *arguments,
            ],
            input=given,
            env={"HOME": str(self._folder), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
