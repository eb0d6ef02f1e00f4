"""`python -m forefill_lab.chart.lint`: helm lint, kubernetes-validate and checkov over the chart as it renders.

Once with its defaults and once with every switch on. helm comes from PATH or from the test cluster's cache; the other
two are installed into an environment of their own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from forefill_lab.cluster.clusters import tool
from forefill_lab.cluster.commands import ClusterError
from forefill_lab.cluster.paths import Paths
from forefill_lab.cluster.progress import Progress

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "forefill"
TOOLS = ("checkov==3.3.30", "kubernetes-validate==1.37.0")
KUBERNETES = ("1.31", "1.37")
VARIANTS = {
    "defaults": [],
    "everything": [
        "--set=serviceMonitor.enabled=true,podMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true",
        "--set=networkPolicy.enabled=true,certManager.enabled=true,kubernetesLoad.enabled=true",
        "--set=loadSources.default.url=https://prometheus:9090,loadSources.default.namespaces={*}",
        "--set=loadSecrets={prometheus}",
    ],
}


def environment(folder: Path) -> Path:
    """The folder with the tools' programs."""
    programs = folder / "bin"
    if not all((programs / name.partition("==")[0]).exists() for name in TOOLS):
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", *TOOLS], check=True)
    return programs


def passes(name: str, *command: str) -> bool:
    done = subprocess.run(command, capture_output=True, text=True)
    print(f"{'ok  ' if done.returncode == 0 else 'BAD '} {name}")
    if done.returncode != 0:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def main() -> int:
    try:
        helm = str(tool("helm", Paths.from_environment(), Progress()))
    except ClusterError as error:
        print(f"helm can't be had: {error}", file=sys.stderr)
        return 1
    programs = environment(ROOT / ".venv-chart")
    good = [passes("helm lint", helm, "lint", "--strict", str(CHART))]
    with tempfile.TemporaryDirectory(prefix="forefill-chart-") as folder:
        for name, words in VARIANTS.items():
            path = Path(folder) / f"{name}.yaml"
            rendered = subprocess.run(
                [helm, "template", "forefill", str(CHART), "-n", "system", *words], stdout=path.open("w")
            )
            good.append(rendered.returncode == 0)
            for version in KUBERNETES:
                validate = str(programs / "kubernetes-validate")
                good.append(
                    passes(f"{name}: kubernetes-validate {version}", validate, "-k", version, "--strict", str(path))
                )
            config = str(ROOT / "charts" / "checkov.yaml")
            good.append(passes(f"{name}: checkov", str(programs / "checkov"), "--config-file", config, "-f", str(path)))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
