from __future__ import annotations

import socket
from pathlib import Path

from forefill_lab.cluster import down

MOUNTINFO = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:30 / /var/lib/forefill-cluster/kubelet/pods/a rw - tmpfs tmpfs rw
31 30 0:31 / /var/lib/forefill-cluster/kubelet/pods/a/with\040space rw - tmpfs tmpfs rw
32 22 0:32 / /var/lib/forefill-cluster-of-another rw - tmpfs tmpfs rw
33 22 0:33 / /run/forefill-cluster/shm rw shared:3 - tmpfs tmpfs rw
""".strip()


def test_mounts_of_the_cluster_come_last_first_and_others_not_at_all() -> None:
    folders = (Path("/var/lib/forefill-cluster"), Path("/run/forefill-cluster"))
    assert down.mounts_below(MOUNTINFO, *folders) == [
        "/run/forefill-cluster/shm",
        "/var/lib/forefill-cluster/kubelet/pods/a/with space",
        "/var/lib/forefill-cluster/kubelet/pods/a",
    ]


def test_a_backslash_in_a_mount_point_is_not_unescaped_twice() -> None:
    assert down.unescape(r"/a\134040b") == r"/a\040b"


def test_a_socket_is_removed_only_when_nobody_listens(tmp_path: Path) -> None:
    deserted, served, file = tmp_path / "deserted", tmp_path / "served", tmp_path / "file"
    file.touch()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(deserted))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(served))
        server.listen()
        for path in (deserted, served, file, tmp_path / "absent"):
            down.unlink_if_deserted(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "served"]


def test_only_links_into_the_state_folder_dangle(tmp_path: Path) -> None:
    logs, state = tmp_path / "logs", tmp_path / "state"
    logs.mkdir()
    (logs / "ours").symlink_to(state / "pod-logs" / "0.log")
    (logs / "theirs").symlink_to("/var/log/pods/0.log")
    (logs / "plain").touch()
    assert down.dangling(logs, state) == [logs / "ours"]
    assert down.dangling(tmp_path / "absent", state) == []


def test_what_network_plugins_keep_is_ours_when_it_names_our_namespaces(tmp_path: Path) -> None:
    run = Path("/run/forefill-cluster")
    (tmp_path / "ours").write_text(f'{{"sandbox": "{run}/containerd/netns/cni-1"}}')
    (tmp_path / "theirs").write_text('{"sandbox": "/var/run/netns/cni-2"}')
    (tmp_path / "similar").write_text('{"sandbox": "/run/forefill-cluster-2/netns/cni-3"}')
    assert down.mentioning(tmp_path, run) == [tmp_path / "ours"]
    assert down.mentioning(tmp_path / "absent", run) == []
