import os
from pathlib import Path

import pytest

from forefill_operator import manifests
from forefill_operator.manifests import InvalidManifest

POLICY = """\
apiVersion: forefill.io/v1alpha1
kind: TokenPolicy
metadata: {{name: {name}{namespace}}}
spec:
  upstream: {{url: "http://{name}:8000"}}
  fillRate: {{min: 1, max: {max}}}
"""


def text(name: str, namespace: str = "", highest: float = 100) -> str:
    return POLICY.format(name=name, namespace=f", namespace: {namespace}" if namespace else "", max=highest)


def write(path: Path, content: str, modified_ms: int = 1_700_000_000_000) -> None:
    path.write_text(content)
    os.utime(path, ns=(modified_ms * 1_000_000, modified_ms * 1_000_000))


def test_every_document_of_every_file_is_a_policy(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", f"---\n{text('llm')}---\n{text('db', 'data')}---\n")
    write(tmp_path / "b.yml", text("llm", "data"))
    write(tmp_path / "notes.txt", "not read")
    found = manifests.read_folder(tmp_path, {})
    assert {key: policy.key for key, policy in found.items()} == {
        key: key for key in ("default/llm", "data/db", "data/llm")
    }
    assert len({policy.uid for policy in found.values()}) == 3


def test_the_uid_is_the_same_in_every_run(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", text("llm"))
    first, second = (manifests.read_folder(tmp_path, {})["default/llm"].uid for _ in range(2))
    assert first == second


def test_the_generation_rises_when_the_spec_changes_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write(path, text("llm"), modified_ms=1000)
    first = manifests.read_folder(tmp_path, {})
    write(path, "# a comment\n" + text("llm"), modified_ms=2000)
    second = manifests.read_folder(tmp_path, first)
    write(path, text("llm", highest=200), modified_ms=3000)
    third = manifests.read_folder(tmp_path, second)
    generations = [found["default/llm"].generation for found in (first, second, third)]
    assert generations == [1000, 1000, 3000]


def test_the_generation_rises_though_an_older_file_was_put_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write(path, text("llm"), modified_ms=5000)
    first = manifests.read_folder(tmp_path, {})
    write(path, text("llm", highest=200), modified_ms=1000)
    assert manifests.read_folder(tmp_path, first)["default/llm"].generation == 5001


def test_an_operator_that_starts_again_knows_a_changed_file_by_its_generation(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write(path, text("llm"), modified_ms=1000)
    before = manifests.read_folder(tmp_path, {})["default/llm"].generation
    write(path, text("llm", highest=200), modified_ms=2000)
    assert manifests.read_folder(tmp_path, {})["default/llm"].generation > before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("kind: [", "can't be read"),
        ("- 1", "manifest: must be a mapping, not list"),
        ("kind: ConfigMap\napiVersion: v1", "apiVersion: is 'v1', but must be forefill.io/v1alpha1"),
        ("kind: Secret\napiVersion: forefill.io/v1alpha1", "kind: is 'Secret', but must be TokenPolicy"),
        ("kind: TokenPolicy\napiVersion: forefill.io/v1alpha1", "metadata.name: is required"),
        (text("llm", highest=0), "spec.fillRate.max: is 0, but must be above 0"),
        (text("llm", highest=0.5), "spec.fillRate.min: is 1, but must not be above max, which is 0.5"),
        (text("llm") + "  bursts: {}\n", "spec.bursts: is not a field; known ones are anomaly, burst,"),
    ],
)
def test_a_file_that_can_not_be_used_is_told_with_file_and_field(content: str, words: str, tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", content)
    with pytest.raises(InvalidManifest) as caught:
        manifests.read_folder(tmp_path, {})
    assert str(caught.value).startswith(f"{tmp_path / 'a.yaml'}: {words}")
    assert "\n" not in str(caught.value)


def test_a_fault_in_one_of_several_documents_is_told_with_its_number(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", f"{text('llm')}---\n{text('db', highest=0)}")
    with pytest.raises(InvalidManifest, match=r"a\.yaml, document 2: spec\.fillRate\.max"):
        manifests.read_folder(tmp_path, {})


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidManifest, match="can't be read"):
        manifests.read_folder(tmp_path, {})


def test_a_policy_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", text("llm"))
    write(tmp_path / "b.yaml", text("llm", "default"))
    with pytest.raises(InvalidManifest, match=r"b\.yaml: TokenPolicy default/llm is there twice"):
        manifests.read_folder(tmp_path, {})


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="is not a folder"):
        manifests.read_folder(tmp_path / "nowhere", {})
