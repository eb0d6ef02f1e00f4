"""The chart on the real node: `python -m bench.cluster surface|upgrade [--write FILE]`.

surface: every kind of pod, row by row, as docs/injection.md tells. upgrade: from the chart of another commit to this
one under load and back, then uninstalled; requests that failed are counted.
"""

import argparse
import sys
from pathlib import Path

from bench.cluster import surface, upgrade
from bench.cluster.pages import put

from forefill_lab.cluster.kube import connect
from forefill_lab.cluster.kubectl import Failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("what", choices=("surface", "upgrade"))
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this Markdown file")
    parser.add_argument(
        "--from", dest="before", default=upgrade.FIRST, metavar="COMMIT", help="upgrade from this chart"
    )
    parser.add_argument("--keep", action="store_true", help="leave what was made")
    options = parser.parse_args()
    kube = connect()
    if options.what == "upgrade":
        return upgrade.run(kube, options.before)
    kube.install()
    try:
        results = surface.run(kube)
    finally:
        if not options.keep:
            surface.remove(kube)
            kube.uninstall()
    text = surface.table(results)
    print(text)
    if options.write:
        put(options.write, "surface", text)
    return 0 if all(good for _, _, good in results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(str(failed))
