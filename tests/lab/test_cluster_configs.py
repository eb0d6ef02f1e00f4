from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import re
import stat
import tomllib
from pathlib import Path

import pytest

from forefill_lab.cluster import addresses, components, configs, credentials
from forefill_lab.cluster.paths import Paths

PATHS = Paths(cache=Path("/cache"), state=Path("/state"), run=Path("/run/own"))
RENDERED = (configs.containerd, configs.cni, configs.kubelet, configs.kube_proxy, configs.corefile)
SYSTEM = ("/usr/lib/cni",)


def test_a_kubeconfig_carries_its_credentials_along() -> None:
    config = json.loads(configs.kubeconfig("admin", b"ca", b"certificate", b"key"))
    encoded = {name: base64.b64encode(name.encode()).decode() for name in ("ca", "certificate", "key")}
    assert config["clusters"][0]["cluster"] == {
        "server": addresses.API_SERVER,
        "certificate-authority-data": encoded["ca"],
    }
    assert config["users"] == [
        {
            "name": "admin",
            "user": {"client-certificate-data": encoded["certificate"], "client-key-data": encoded["key"]},
        }
    ]
    assert config["contexts"][0]["name"] == config["current-context"]


def test_containerd_keeps_to_its_own_folders_and_tolerates_a_fixed_oom_score() -> None:
    config = tomllib.loads(configs.containerd(PATHS))
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert (config["root"], config["state"]) == ("/state/containerd", "/run/own/containerd")
    assert config["grpc"]["address"] == "/run/own/containerd.sock"
    assert (cri["restrict_oom_score_adj"], cri["netns_mounts_under_state_dir"]) == (True, True)
    assert cri["containerd"]["runtimes"]["runc"]["options"] == {"Root": "/run/own/runc", "SystemdCgroup": False}


def test_the_kubelet_accepts_control_groups_of_version_1() -> None:
    config = json.loads(configs.kubelet(PATHS))
    assert (config["failCgroupV1"], config["cgroupDriver"], config["failSwapOn"]) == (False, "cgroupfs", False)
    assert config["authentication"]["anonymous"] == {"enabled": False}


@pytest.mark.parametrize("render", RENDERED, ids=lambda render: render.__name__)
def test_configured_paths_lie_in_folders_of_the_cluster(render: object) -> None:
    assert callable(render)
    paths = re.findall(r'(?:(?<=[" ])|(?<=unix://))/[a-z][^"\s]*', render(PATHS))
    own = [path for path in paths if path.startswith(("/state/", "/run/own/", *SYSTEM))]
    assert paths == [path for path in paths if path in own or path == configs.CGROUP_ROOT]


@pytest.mark.parametrize("name", components.NODE_COMPONENTS)
def test_components_listen_on_loopback_or_the_node_and_nowhere_else(name: str) -> None:
    text = " ".join(components.NODE_COMPONENTS[name](PATHS))
    assert "0.0.0.0" not in text
    if name in ("kube-controller-manager", "kube-scheduler"):
        assert "--bind-address=127.0.0.1" in text


@pytest.mark.parametrize("render", RENDERED, ids=lambda render: render.__name__)
def test_no_configuration_listens_everywhere(render: object) -> None:
    assert callable(render)
    assert not re.search(r'[Aa]ddress"?\s*[:=]\s*"?(0\.0\.0\.0|::)', render(PATHS))


def test_the_service_of_the_api_server_is_the_first_address_of_its_range() -> None:
    services = ipaddress.ip_network(addresses.SERVICES)
    pods = ipaddress.ip_network(addresses.PODS)
    node = ipaddress.ip_address(addresses.NODE)
    assert ipaddress.ip_address(addresses.KUBERNETES_SERVICE) == services[1]
    assert not services.overlaps(pods)
    assert node not in services
    assert node not in pods


def test_interface_names_fit_the_kernel() -> None:
    assert max(len(addresses.NODE_BRIDGE), len(addresses.POD_BRIDGE)) <= 15


def test_written_credentials_are_complete_and_kept_from_others(tmp_path: Path) -> None:
    paths = Paths(cache=tmp_path / "cache", state=tmp_path / "state", run=tmp_path / "run")
    credentials.write(paths, datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC))
    named = [
        Path(match)
        for component in components.NODE_COMPONENTS.values()
        for argument in component(paths)
        if (match := argument.partition("=")[2]).startswith((f"{paths.certificates}/", f"{paths.configs}/"))
    ]
    assert [path for path in named if not path.exists()] == []
    secret = [*paths.certificates.glob("*.key"), *paths.configs.glob("*.kubeconfig"), paths.kubeconfig]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
