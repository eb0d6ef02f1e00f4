"""Deletes the operator's pod with grace 0 again and again under load: `python -m bench.restarts [--minutes 10]`.

Counts requests that failed, what was ever held beyond the maximum, and how long until Enforced was True again.
"""

import argparse
import json
import sys
import time
from statistics import median

from bench.cluster import shop

from forefill_lab.cluster.kube import SYSTEM, connect
from forefill_lab.cluster.kubectl import Failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.restarts", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=90.0, metavar="SECONDS", help="between two deletions")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kube = connect()
    kube.install()
    over_grants, again = [], []

    def settled() -> bool:
        over_grants.append(shop.figure(kube, "forefill_policy_over_grant"))
        known = shop.figure(kube, "forefill_policy_clients") == options.replicas
        return known and shop.enforced(kube)

    try:
        with shop.shop(kube, options.replicas):
            kube.until(settled, "Enforced is True", 90.0)
            since, until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), time.monotonic() + options.minutes * 60.0
            while time.monotonic() < until:
                due = time.monotonic() + options.every
                gone = shop.operator_pod(kube)
                kube.kubectl("delete", "pod", "-n", SYSTEM, gone, "--grace-period=0", "--force")
                begun = time.monotonic()
                kube.until(lambda gone=gone: shop.operator_pod(kube) not in ("", gone), "another pod is there")
                kube.until(settled, "Enforced is True again", 120.0)
                again.append(time.monotonic() - begun)
                while time.monotonic() < due:
                    settled()
                    time.sleep(1.0)
            outcomes = shop.outcomes(kube, since)
    finally:
        kube.uninstall()
    seen = [each for each in over_grants if each == each]
    result = {
        "restarts": len(again),
        "requests": dict(outcomes),
        "failed": outcomes.total() - outcomes["200"],
        "over_grant_max": max(seen),
        "enforced_again_seconds": {"median": round(median(again), 1), "max": round(max(again), 1)},
    }
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0 if result["failed"] == 0 and max(seen) == 0.0 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(str(failed))
