"""How to reach the API server and who to be there: a pod's service account, or a kubeconfig."""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from forefill_operator.kube import tls

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class BadCredentials(Exception):
    """The sentence names what is missing or can't be used."""


@dataclass(frozen=True)
class Credentials:
    """`server` is a URL without a final slash. A client certificate, if any, is inside `context`."""

    server: str
    context: ssl.SSLContext
    namespace: str = "default"
    token: str = ""
    token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """The token file is read for each request: the kubelet writes a new token there every hour or so."""
        token = self.token if self.token_file is None else self.token_file.read_text(encoding="ascii").strip()
        return {"Authorization": f"Bearer {token}"} if token else {}


def find(environ: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT) -> Credentials:
    """A pod's own account, else the file that KUBECONFIG names, else ~/.kube/config. Raises BadCredentials."""
    if environ.get("KUBERNETES_SERVICE_HOST") and not environ.get("KUBECONFIG"):
        return in_cluster(environ, service_account)
    path = Path(environ.get("KUBECONFIG") or Path(environ.get("HOME", "/")) / ".kube" / "config")
    return from_kubeconfig(path)


def in_cluster(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Credentials:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        namespace = (folder / "namespace").read_text(encoding="ascii").strip()
    except OSError as error:
        raise BadCredentials(f"the pod's service account can't be used: {error}") from None
    address = f"[{host}]" if ":" in host else host
    return Credentials(f"https://{address}:{port}", context, namespace, token_file=folder / "token")


def from_kubeconfig(path: Path) -> Credentials:
    """The current context of a kubeconfig with a client certificate, a token or a token file. Raises BadCredentials."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        context = _named(config, "contexts", config.get("current-context"), path)["context"]
        cluster = _named(config, "clusters", context.get("cluster"), path)["cluster"]
        user = _named(config, "users", context.get("user"), path)["user"] or {}
        return Credentials(
            server=cluster["server"].rstrip("/"),
            context=_context(cluster, user, path),
            namespace=context.get("namespace") or "default",
            token=user.get("token", ""),
            token_file=path.parent / user["tokenFile"] if user.get("tokenFile") else None,
        )
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadCredentials(f"{path}: can't be used: {' '.join(str(error).split())}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise BadCredentials(f"{path}: is not a kubeconfig: {error}") from None


def _named(config: Mapping[str, Any], kind: str, name: object, path: Path) -> dict[str, Any]:
    for entry in config.get(kind) or []:
        if entry.get("name") == name:
            found: dict[str, Any] = entry
            return found
    raise BadCredentials(f"{path}: {kind} has no entry {name!r}")


def _context(cluster: Mapping[str, Any], user: Mapping[str, Any], path: Path) -> ssl.SSLContext:
    if cluster.get("insecure-skip-tls-verify"):
        raise BadCredentials(f"{path}: insecure-skip-tls-verify is not supported: give certificate-authority")
    if "exec" in user or "auth-provider" in user:
        raise BadCredentials(f"{path}: exec and auth-provider are not supported: use a client certificate or a token")
    authority = _content(cluster, "certificate-authority", path)
    context = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
    certificate, key = (_content(user, name, path) for name in ("client-certificate", "client-key"))
    if certificate or key:
        tls.load_pair(context, certificate, key)
    return context


def _content(holder: Mapping[str, Any], name: str, path: Path) -> bytes:
    """PEM given as base64 under NAME-data or in the file NAME, which is relative to the kubeconfig."""
    if holder.get(f"{name}-data"):
        return base64.b64decode(holder[f"{name}-data"], validate=True)
    return (path.parent / holder[name]).read_bytes() if holder.get(name) else b""
