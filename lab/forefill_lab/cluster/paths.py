"""Where the cluster keeps what: builds in the user's cache, all else in folders of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Paths:
    """`cache` outlives the cluster; `state` and `run` are removed with it."""

    cache: Path
    state: Path = Path("/var/lib/forefill-cluster")
    run: Path = Path("/run/forefill-cluster")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(cache=home / "forefill")

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def certificates(self) -> Path:
        return self.state / "certificates"

    @property
    def configs(self) -> Path:
        return self.state / "configs"

    @property
    def cni(self) -> Path:
        return self.state / "cni"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def processes(self) -> Path:
        return self.state / "processes"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def sysctls(self) -> Path:
        return self.state / "sysctls.json"

    @property
    def imported(self) -> Path:
        return self.state / "imported.json"

    @property
    def kind_kubeconfig(self) -> Path:
        return self.cache / "kind.kubeconfig"
