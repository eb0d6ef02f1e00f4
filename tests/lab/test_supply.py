import re
import tomllib
from pathlib import Path

import pytest

from forefill_lab.supply import lock, sbom

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = dict(
    (lock.canonical(name), version)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
)
EXTRAS = {"operator": ("operator", "kube"), "sidecar": ("sidecar",)}


def locked(image: str) -> dict[str, str]:
    text = (ROOT / image / "requirements.txt").read_text()
    return {name: version for name, version, _ in sbom.releases(text)}


def wanted(image: str) -> dict[str, str]:
    extras = [entry for extra in EXTRAS[image] for entry in PROJECT["optional-dependencies"][extra]]
    pairs = (
        re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", entry) for entry in [*PROJECT["dependencies"], *extras]
    )
    return {lock.canonical(pair[1]): pair[2] for pair in pairs if pair}


@pytest.mark.parametrize("image", EXTRAS)
def test_an_image_installs_what_the_project_asks_for_at_the_versions_that_are_constrained(image: str) -> None:
    found = locked(image)
    assert wanted(image).items() <= found.items()
    assert {name: CONSTRAINTS.get(name) for name in found} == found


@pytest.mark.parametrize("path", ["operator/requirements.txt", "sidecar/requirements.txt", "build-requirements.txt"])
def test_every_release_is_held_to_its_hashes(path: str) -> None:
    found = sbom.releases((ROOT / path).read_text())
    assert found
    assert [name for name, _, hashes in found if not hashes] == []


@pytest.mark.parametrize(
    ("filename", "belongs"),
    [
        ("scikit_learn-1.5.0-cp311-cp311-manylinux_2_17_x86_64.whl", True),
        ("scikit-learn-1.5.0.tar.gz", True),
        ("scikit_learn-1.5.0.zip", True),
        ("scikit_learn-1.5.1-cp311-cp311-manylinux_2_17_x86_64.whl", False),
        ("scikit_learn_extra-1.5.0.tar.gz", False),
        ("scikit.tar.gz", False),
    ],
)
def test_files_belong_to_their_release(filename: str, belongs: bool) -> None:
    assert lock.belongs(filename, "scikit-learn", "1.5.0") is belongs


def test_a_bill_of_materials_lists_every_release_with_licence_and_hashes_and_is_the_same_again() -> None:
    text = (ROOT / "sidecar" / "requirements.txt").read_text()
    document = sbom.bom("sidecar", text, "1.2.3")
    assert document == sbom.bom("sidecar", text, "1.2.3")
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert {each["purl"] for each in document["components"]} == {
        f"pkg:pypi/{name}@{version}" for name, version in locked("sidecar").items()
    }
    assert [each["name"] for each in document["components"] if "licenses" not in each or not each["hashes"]] == []
    assert document["dependencies"][0]["dependsOn"] == [each["bom-ref"] for each in document["components"]]
    assert "msgspec\t" in sbom.licences(document)


def test_another_content_has_another_serial_number() -> None:
    one, other = (sbom.bom("sidecar", f"a=={version} --hash=sha256:{'0' * 64}", "1") for version in "12")
    assert one["serialNumber"] != other["serialNumber"]
