"""A real API server and etcd on loopback, without a node: for all that needs the API and no running pod, nor root.

Both are the test cluster's own programs. They live in a temporary folder and end with the run.
"""

import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forefill_lab.cluster import ClusterError, binaries, certificates, kind
from forefill_lab.cluster.certificates import Subject
from forefill_lab.cluster.kubectl import Kubectl, Object
from forefill_lab.cluster.paths import Paths
from forefill_lab.cluster.progress import Progress

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "forefill"
RELEASE, SYSTEM = "forefill", "forefill-apiserver"


class ApiServer(Kubectl):
    """kubectl and helm against the API server, and processes of ours that use it as a service account."""

    def __init__(self, programs: binaries.Binaries, folder: Path, url: str, admin: Path, audit: Path) -> None:
        super().__init__(programs["kubectl"], programs["helm"], admin, home=folder)
        self.folder, self.url, self.audit = folder, url, audit
        self.processes: list[subprocess.Popen[bytes]] = []

    def create(self, manifest: Object, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.kubectl("create", "-f", "-", "-o", "json", *words, text=json.dumps(manifest), check=False)

    def token(self, namespace: str, account: str, *words: str) -> str:
        return self.kubectl("create", "token", account, "-n", namespace, *words).stdout.strip()

    def account(self, namespace: str, account: str) -> Path:
        """A kubeconfig of a service account."""
        path = self.folder / f"{account}.kubeconfig"
        path.write_text(kubeconfig(self.url, self.folder, {"token": self.token(namespace, account)}))
        return path

    @contextmanager
    def running(self, kubeconfig: Path, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
        """`forefill` with these words, until the block ends."""
        log = self.folder / f"{words[0]}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "forefill", *words],
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, log.read_text()


def kubeconfig(url: str, folder: Path, user: Object) -> str:
    """YAML is a superset of JSON."""
    cluster = {"server": url, "certificate-authority": str(folder / "ca.crt")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
        }
    )


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def programs() -> binaries.Binaries:
    cache = Paths.from_environment().cache
    built = all(binaries.finished(program, cache).exists() for program in binaries.programs())
    if not built and kind.usable():
        pytest.skip("kind serves as the cluster here, so no API server of our own was built")
    try:
        return binaries.ensure(cache, Progress())
    except ClusterError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must run the tests of the API server: {error}")
        pytest.skip(str(error))


def write_certificates(folder: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    authority = certificates.authority("forefill-apiserver", now)
    (folder / "ca.crt").write_bytes(authority.certificate_pem)
    certificates.issue(authority, Subject("apiserver", hosts=("127.0.0.1",)), now).write(folder, "apiserver")
    certificates.issue(authority, Subject("admin", "system:masters"), now).write(folder, "admin")
    key = certificates.new_key()
    certificates.write_private(folder / "accounts.key", certificates.private_pem(key))
    (folder / "accounts.pub").write_bytes(certificates.public_pem(key))
    admin = {"client-certificate": str(folder / "admin.crt"), "client-key": str(folder / "admin.key")}
    (folder / "admin.json").write_text(json.dumps(admin))
    rules = [{"level": "Metadata", "omitStages": ["RequestReceived"]}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
    (folder / "audit.json").write_text(json.dumps(policy))


def etcd(folder: Path, client: int, peer: int) -> list[str]:
    return [
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--log-level=error",
        "--unsafe-no-fsync",
    ]


def kube_apiserver(folder: Path, client: int, port: int) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{client}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--client-ca-file={folder}/ca.crt",
        f"--tls-cert-file={folder}/apiserver.crt",
        f"--tls-private-key-file={folder}/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/accounts.pub",
        f"--service-account-signing-key-file={folder}/accounts.key",
        "--service-cluster-ip-range=10.98.0.0/24",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        # No controller makes the accounts that it would ask for.
        "--disable-admission-plugins=ServiceAccount",
        f"--audit-policy-file={folder}/audit.json",
        f"--audit-log-path={folder}/audit.log",
        "--profiling=false",
    ]


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with serving(programs(), tmp_path_factory.mktemp("apiserver")) as server:
        yield server


@contextmanager
def serving(found: binaries.Binaries, folder: Path) -> Iterator[ApiServer]:
    """An API server with all that it keeps in `folder`, until the block ends."""
    write_certificates(folder)
    client, peer, port = free_ports(3)
    url = f"https://127.0.0.1:{port}"
    admin = folder / "admin.kubeconfig"
    admin.write_text(kubeconfig(url, folder, json.loads((folder / "admin.json").read_text())))
    server = ApiServer(found, folder, url, admin, folder / "audit.log")
    commands = {"etcd": etcd(folder, client, peer), "kube-apiserver": kube_apiserver(folder, client, port)}
    for name, words in commands.items():
        log = (folder / f"{name}.log").open("wb")
        with log:
            server.processes.append(subprocess.Popen([found[name], *words], stdout=log, stderr=log, cwd=folder))
    try:
        ready = ("get", "--raw=/readyz")
        server.until(lambda: server.kubectl(*ready, check=False).returncode == 0, "the API server is ready", 90.0)
        yield server
    finally:
        for process in reversed(server.processes):
            process.terminate()
            process.wait(30)
        shutil.rmtree(folder / "etcd", ignore_errors=True)


@pytest.fixture(scope="session")
def installed(api_server: ApiServer) -> ApiServer:
    return install(api_server)


def install(api_server: ApiServer) -> ApiServer:
    """The chart is installed; nothing of it runs, for there is no node."""
    api_server.helm("upgrade", "--install", RELEASE, str(CHART), "-n", SYSTEM, "--create-namespace")
    api_server.kubectl("wait", "--for=condition=Established", "crd/tokenpolicies.forefill.io")
    served = ("get", "tokenpolicies", "-A")
    api_server.until(lambda: api_server.kubectl(*served, check=False).returncode == 0, "the resource is served")
    return api_server
