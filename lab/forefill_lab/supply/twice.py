"""`python -m forefill_lab.supply.twice [operator|sidecar …]`: builds each image twice and compares its layers.

Only our own layer is made twice, from the same base and the same dependencies; with `--all` the dependencies, too.
"""

from __future__ import annotations

import argparse
import json
import sys

from forefill_lab.cluster import images, recipes, versions
from forefill_lab.cluster.commands import output
from forefill_lab.cluster.paths import REPOSITORY, Paths
from forefill_lab.cluster.progress import Progress


def layers(paths: Paths, name: str) -> list[str]:
    """Digests of the uncompressed layers, from the base's up."""
    found: list[str] = json.loads(output(images.buildah(paths, "inspect", "--type=image", name)))["OCIv1"]["rootfs"][
        "diff_ids"
    ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m forefill_lab.supply.twice", description=__doc__)
    parser.add_argument("images", nargs="*", choices=("operator", "sidecar", []), default=["operator", "sidecar"])
    parser.add_argument("--all", action="store_true", help="install the dependencies again, too")
    options = parser.parse_args()
    paths, progress, same = Paths.from_environment(), Progress(), []
    images.ensure_base(paths, progress)
    for recipe in (each for each in recipes.RECIPES if each.name in options.images):
        built = []
        for number in range(2):
            if number and options.all:
                output(images.buildah(paths, "rmi", "--force", recipes.dependencies(recipe)))
            name = f"{versions.IMAGE_PREFIX}/twice:{recipe.name}-{number}"
            images.build(paths, recipe, name, progress, REPOSITORY)
            built.append(layers(paths, name))
            output(images.buildah(paths, "rmi", name))
        same.append(built[0] == built[1])
        digests = " ".join(layer[7:19] for layer in built[0])
        print(f"{recipe.name}: {'the same' if same[-1] else 'NOT the same'}: {digests}")
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
