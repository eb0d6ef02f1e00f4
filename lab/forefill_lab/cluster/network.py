"""The node's bridge, the kernel settings and the firewall rules: made by `up`, taken back by `down`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from . import addresses
from .commands import output, succeeds
from .paths import Paths

SYSCTLS = Path("/proc/sys")
NET = Path("/sys/class/net")
WANTED = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
ALSO_CHANGED = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/vs/conntrack",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/ipv6/conf/all/forwarding",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""What the kubelet, kube-proxy and the bridge plugin set on their own."""

OUR_CHAINS = ("KUBE-", "CNI-", "FOREFILL-")
FORWARD = "FOREFILL-FORWARD"


def remember_sysctls(file: Path) -> None:
    """Write down the values from before the cluster, unless an earlier try already did."""
    if not file.exists():
        names = [name for name in (*WANTED, *ALSO_CHANGED) if (SYSCTLS / name).exists()]
        file.write_text(json.dumps({name: (SYSCTLS / name).read_text().strip() for name in names}))


def restore_sysctls(file: Path) -> None:
    if not file.exists():
        return
    for name, value in json.loads(file.read_text()).items():
        if (SYSCTLS / name).read_text().strip() != value:
            (SYSCTLS / name).write_text(value)


def up(paths: Paths) -> None:
    remember_sysctls(paths.sysctls)
    for name, value in WANTED.items():
        if (SYSCTLS / name).exists():
            (SYSCTLS / name).write_text(value)
    output(["ip", "link", "add", addresses.NODE_BRIDGE, "type", "bridge"])
    output(["ip", "address", "add", f"{addresses.NODE}/32", "dev", addresses.NODE_BRIDGE])
    output(["ip", "link", "set", addresses.NODE_BRIDGE, "up"])
    allow_forwarding()


def allow_forwarding() -> None:
    """Docker, for one, lets the machine drop what it forwards; pods may talk nevertheless."""
    lines = [f":{FORWARD} - [0:0]", f"-I FORWARD -j {FORWARD}"]
    lines += [f"-A {FORWARD} -{side} {addresses.POD_BRIDGE} -j ACCEPT" for side in "io"]
    output(["iptables-restore", "--noflush"], stdin="\n".join(["*filter", *lines, "COMMIT", ""]))


def down(paths: Paths) -> None:
    for port in sorted((NET / addresses.POD_BRIDGE / "brif").glob("*")):
        succeeds(["ip", "link", "delete", port.name])
    for bridge in (addresses.POD_BRIDGE, addresses.NODE_BRIDGE):
        if (NET / bridge).exists():
            output(["ip", "link", "delete", bridge])
    for family in ("iptables", "ip6tables"):
        remove_rules(family)
    restore_sysctls(paths.sysctls)


def remove_rules(family: str) -> None:
    commands = removal(output([f"{family}-save"]))
    if commands:
        output([f"{family}-restore", "--noflush"], stdin=commands)
    drop_empty_tables(family)


def drop_empty_tables(family: str) -> None:
    """With nftables below, a look makes the table: drop those that hold no rule and only accept."""
    for table in idle_tables(output([f"{family}-save"])):
        succeeds(["nft", "delete", "table", "ip6" if family == "ip6tables" else "ip", table])


def is_ours(chain: str) -> bool:
    return chain.startswith(OUR_CHAINS)


def tables(saved: str) -> Iterator[tuple[str, list[str]]]:
    """Name and lines of each table in the output of iptables-save."""
    name, lines = "", list[str]()
    for line in saved.splitlines():
        if line.startswith("*"):
            name, lines = line[1:], []
        elif line == "COMMIT":
            yield name, lines
        elif not line.startswith("#"):
            lines.append(line)


def removal(saved: str) -> str:
    """Input of `iptables-restore --noflush` that takes away our chains and the rules that lead to them."""
    parts = [
        f"*{name}\n" + "\n".join(commands) + "\nCOMMIT\n" for name, lines in tables(saved) if (commands := undo(lines))
    ]
    return "".join(parts)


def undo(lines: Iterable[str]) -> list[str]:
    declared = [line[1:].split()[0] for line in lines if line.startswith(":")]
    chains = [chain for chain in declared if is_ours(chain)]
    jumps = [line for line in lines if line.startswith("-A ") and leads_to_ours(line)]
    return [
        *(f"-D {line.removeprefix('-A ')}" for line in jumps),
        *(f"-F {chain}" for chain in chains),
        *(f"-X {chain}" for chain in chains),
    ]


def leads_to_ours(rule: str) -> bool:
    words = rule.split()
    if is_ours(words[1]):
        return False
    return any(word in ("-j", "-g") and is_ours(target) for word, target in pairwise(words))


def idle_tables(saved: str) -> list[str]:
    """Tables whose every line declares a built-in chain that accepts."""
    return [name for name, lines in tables(saved) if all(" ACCEPT " in line and line.startswith(":") for line in lines)]
