"""`python -m forefill_lab.supply.packages`: the Debian packages that tests and faults use beside Python."""

import os
import shutil
import sys

from forefill_lab.cluster import packages
from forefill_lab.cluster.commands import ClusterError
from forefill_lab.cluster.progress import Progress

# Package, and the file that shows it is there.
PACKAGES = {
    "redis-server": "/usr/bin/redis-server",
    "prometheus": "/usr/bin/prometheus",
    "prometheus-node-exporter": "/usr/bin/prometheus-node-exporter",
    "faketime": "/usr/bin/faketime",
    "iproute2": "/usr/bin/ip",
    "iptables": "/usr/sbin/iptables",
}


def main() -> int:
    """0 when they are there; 1 when they can't be had, which is said."""
    names = packages.missing(PACKAGES)
    if names and (os.geteuid() or shutil.which("apt-get") is None):
        absent = ", ".join(names)
        print(f"packages: {absent}: not installed; that takes root and apt-get. Tests that need them are left out.")
        return 1
    try:
        packages.install(names, Progress())
    except ClusterError as failed:
        print(f"packages: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
