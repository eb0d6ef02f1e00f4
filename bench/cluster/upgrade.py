"""Install an earlier release, upgrade to this one under load, go back, uninstall: who notices?

The earlier release is its chart with its own images, which are built from its sources (on a node of our own only).
"""

import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from bench.cluster import shop

from forefill_lab.cluster import images, recipes, versions
from forefill_lab.cluster.kube import CHART, SYSTEM, Kube
from forefill_lab.cluster.kubectl import Failed
from forefill_lab.cluster.paths import REPOSITORY as ROOT
from forefill_lab.cluster.paths import Paths
from forefill_lab.cluster.progress import Progress

# The chart of the first release.
FIRST = "0924a73"


def sources_of(commit: str, folder: Path) -> Path:
    """The repository as it was at `commit`. Raises Failed."""
    words = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "archive", commit]
    done = subprocess.run(words, capture_output=True)
    if done.returncode != 0:
        raise Failed(f"the sources of {commit} can't be had: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def images_of(commit: str, sources: Path) -> list[str]:
    """Both images of these sources on the node, as values of the chart."""
    paths, progress, words = Paths.from_environment(), Progress(), []
    if not paths.imported.exists():
        raise Failed("images of an earlier release are built for a node of our own only")
    for recipe in recipes.RECIPES:
        repository = f"{versions.IMAGE_PREFIX}/earlier-{recipe.name}"
        archive = paths.cache / "images" / f"earlier-{recipe.name}-{commit}.tar"
        if not archive.exists():
            with progress.step(f"Build {repository}:{commit}"):
                images.bud(paths, recipe, f"{repository}:{commit}", progress, sources, [])
                images.push(paths, f"{repository}:{commit}", archive)
        images.import_into_node(paths, [images.Image(f"{repository}:{commit}", archive)], progress)
        words.append(f"--set-string=image.{recipe.name}.repository={repository},image.{recipe.name}.tag={commit}")
    return words


def secret(kube: Kube) -> str:
    found = kube.get("secret", "forefill-ca", "-n", SYSTEM)
    return str(found["data"]["tls.crt"])


def run(kube: Kube, commit: str) -> int:
    with tempfile.TemporaryDirectory(prefix="forefill-earlier-") as folder:
        sources = sources_of(commit, Path(folder))
        earlier = (sources / "charts" / "forefill", images_of(commit, sources))
        kube.uninstall()
        kube.install(*earlier)
        authority = secret(kube)
        with shop.shop(kube):
            kube.until(lambda: shop.enforced(kube), "Enforced is True with the earlier release", 120.0)
            print(f"before: {dict(shop.outcomes(kube))}", flush=True)
            for name, release in (
                ("upgrade", (CHART, kube.values())),
                ("downgrade", earlier),
                ("upgrade again", (CHART, kube.values())),
            ):
                kube.install(*release)
                took = settled(kube, name)
                print(
                    f"{name}: every client acknowledged {took:.0f} s after the rollout; {dict(shop.outcomes(kube))}",
                    flush=True,
                )
            print(kube.helm("test", "forefill", "-n", SYSTEM, "--logs").stdout)
            kept = secret(kube) == authority
            kube.uninstall()
            crowd = shop.outcomes(kube)
            kube.until(lambda: shop.outcomes(kube).total() > crowd.total() + 50, "the pods serve on without Forefill")
            outcomes = shop.outcomes(kube)
    print(f"requests: {dict(outcomes)}; the authority was kept: {kept}")
    return 0 if set(outcomes) == {"200"} and kept else 1


def settled(kube: Kube, name: str) -> float:
    """Seconds until the operator knows all three clients and Enforced is True."""
    known = "forefill_policy_clients"
    return kube.until(lambda: shop.figure(kube, known) == 3.0 and shop.enforced(kube), f"{name}: Enforced", 120.0)
