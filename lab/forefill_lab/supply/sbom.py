"""`python -m forefill_lab.supply.sbom [--out DIR]`: what is in each image, as CycloneDX 1.6 and as a list of licences.

Components are those of the image's requirements.txt, with the hashes that pip is held to. Licences are what the
installed packages say of themselves; `make` installs the same versions. Debian's packages of the base image come from
its own package list (`dpkg-query`), which scanners read there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
IMAGES = ("operator", "sidecar")
_RELEASE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# A namespace for serial numbers: the same content has the same one.
_SERIALS = uuid.uuid5(uuid.NAMESPACE_DNS, "forefill.io")
Document = dict[str, Any]


def releases(text: str) -> list[tuple[str, str, list[str]]]:
    """Name, version and SHA-256 sums of each release in a requirements file."""
    entries = text.replace("\\\n", " ").splitlines()
    found = [(match, entry) for entry in entries if (match := _RELEASE.match(entry))]
    return [(match[1], match[2], _HASH.findall(entry)) for match, entry in found]


def licence(name: str) -> str:
    """What the installed package says: an SPDX expression, else its classifiers, else the head of its licence."""
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return ""
    said = installed.metadata
    expressions = said.get_all("License-Expression", [])
    classifiers = [each.rpartition(" :: ")[2] for each in said.get_all("Classifier", []) if each.startswith("License")]
    texts = [line[:80] for text in said.get_all("License", []) for line in text.strip().splitlines()[:1]]
    return (
        str(next(iter(expressions), "")) or " AND ".join(classifiers) or next(iter(texts), _head_of_licence(installed))
    )


def _head_of_licence(installed: metadata.Distribution) -> str:
    files = [path for path in installed.files or [] if "LICEN" in path.name.upper()]
    lines = files[0].read_text().strip().splitlines() if files else []
    return lines[0].strip() if lines else ""


def component(name: str, version: str, hashes: list[str]) -> Document:
    purl = f"pkg:pypi/{name}@{version}"
    described: Document = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if said := licence(name):
        described["licenses"] = [{"license": {"name": said}}]
    described["hashes"] = [{"alg": "SHA-256", "content": each} for each in hashes]
    return described


def bom(image: str, requirements: str, version: str) -> Document:
    """A CycloneDX document that is the same for the same content."""
    components = [component(*release) for release in releases(requirements)]
    root = f"pkg:oci/forefill-{image}@{version}"
    content = json.dumps(components, sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SERIALS, image + version + content)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": root,
                "name": f"forefill-{image}",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": [each["bom-ref"] for each in components]}],
    }


def licences(document: Document) -> str:
    rows = [f"{each['name']}\t{each['version']}\t{_named(each)}" for each in document["components"]]
    return "\n".join(rows) + "\n"


def _named(described: Document) -> str:
    return str(described["licenses"][0]["license"]["name"]) if "licenses" in described else "unknown"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m forefill_lab.supply.sbom", description=__doc__)
    parser.add_argument("--out", type=Path, metavar="DIR", default=ROOT / "build" / "sbom")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        requirements = (ROOT / image / "requirements.txt").read_text()
        document = bom(image, requirements, metadata.version("forefill"))
        (options.out / f"{image}.cdx.json").write_text(json.dumps(document, indent=1) + "\n")
        (options.out / f"{image}.licences.tsv").write_text(licences(document))
        unknown = [each["name"] for each in document["components"] if "licenses" not in each]
        print(f"{image}: {len(document['components'])} components, licence unknown: {', '.join(unknown) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
