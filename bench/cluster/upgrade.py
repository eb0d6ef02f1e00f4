"""Install an earlier chart, upgrade to this one under load, go back, uninstall: who notices?"""

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from bench.cluster import shop
from bench.cluster.kube import CHART, ROOT, SYSTEM, Failed, Kube

# The chart of the first release.
FIRST = "0924a73"


def chart_of(commit: str, folder: Path) -> Path:
    """The chart as it was at `commit`. Raises Failed."""
    words = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "archive", commit, "charts/forefill"]
    done = subprocess.run(words, capture_output=True)
    if done.returncode != 0:
        raise Failed(f"the chart of {commit} can't be had: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "charts" / "forefill"


def secret(kube: Kube) -> str:
    found = kube.get("secret", "forefill-ca", "-n", SYSTEM)
    return str(found["data"]["tls.crt"])


def run(kube: Kube, commit: str) -> int:
    with tempfile.TemporaryDirectory(prefix="forefill-chart-") as folder:
        before = chart_of(commit, Path(folder))
        kube.uninstall()
        kube.install(before)
        authority = secret(kube)
        with shop.shop(kube):
            kube.until(lambda: shop.enforced(kube), "Enforced is True with the earlier chart")
            for name, chart in (("upgrade", CHART), ("downgrade", before), ("upgrade again", CHART)):
                kube.install(chart)
                took = kube.until(
                    lambda: shop.enforced(kube) and shop.figure(kube, "forefill_policy_clients") == 3.0,
                    f"{name}: Enforced is True",
                    90.0,
                )
                print(f"{name}: Enforced True again {took:.0f} s after the rollout", flush=True)
            print(kube.helm("test", "forefill", "-n", SYSTEM, "--logs").stdout)
            kept = secret(kube) == authority
            kube.uninstall()
            crowd = shop.outcomes(kube)
            kube.until(lambda: shop.outcomes(kube).total() > crowd.total() + 50, "the pods serve on without Forefill")
            outcomes = shop.outcomes(kube)
    print(f"requests: {dict(outcomes)}; the authority was kept: {kept}")
    return 0 if set(outcomes) == {"200"} and kept else 1
