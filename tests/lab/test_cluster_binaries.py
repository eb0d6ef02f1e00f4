from __future__ import annotations

from forefill_lab.cluster import binaries, versions

UPSTREAM = {
    "Go": "1.26.0",
    "Godebug": [{"Key": "default", "Value": "go1.26"}],
    "Replace": [
        {"Old": {"Path": "k8s.io/kubectl"}, "New": {"Path": "./staging/src/k8s.io/kubectl"}},
        {"Old": {"Path": "k8s.io/api"}, "New": {"Path": "./staging/src/k8s.io/api"}},
        {"Old": {"Path": "example.org/fork"}, "New": {"Path": "example.org/other", "Version": "v1.0.0"}},
    ],
}


def test_staging_folders_are_replaced_by_the_released_modules_and_nothing_else() -> None:
    assert binaries.kubernetes_go_mod(UPSTREAM, "v1.36.4", "v0.36.4").splitlines() == [
        "module forefill.io/kubernetes",
        "go 1.26.0",
        "godebug default=go1.26",
        "require k8s.io/kubernetes v1.36.4",
        "replace k8s.io/api => k8s.io/api v0.36.4",
        "replace k8s.io/kubectl => k8s.io/kubectl v0.36.4",
    ]


def test_a_module_without_replacements_and_settings_needs_none() -> None:
    text = binaries.kubernetes_go_mod({"Go": "1.26.0", "Replace": None}, "v1.36.4", "v0.36.4")
    assert text == "module forefill.io/kubernetes\ngo 1.26.0\nrequire k8s.io/kubernetes v1.36.4\n"


def test_components_learn_their_version_from_the_linker() -> None:
    package = "k8s.io/component-base/version"
    assert binaries.version_flags("v1.36.4") == (
        f"-s -w -X {package}.gitVersion=v1.36.4 -X {package}.gitMajor=1"
        f" -X {package}.gitMinor=36 -X {package}.gitTreeState=clean"
    )


def test_every_program_is_kept_under_its_pinned_version() -> None:
    keys = {program.name: program.key.split("-")[0] for program in binaries.programs()}
    assert keys == {
        "kubernetes": versions.KUBERNETES,
        "helm": versions.HELM,
        "coredns": versions.COREDNS,
        "pause": versions.PAUSE,
    }


def test_the_staging_version_is_the_kubernetes_version_below_one() -> None:
    assert versions.KUBERNETES_STAGING == versions.KUBERNETES.replace("v1.", "v0.", 1)


def test_digests_of_shifted_parts_differ() -> None:
    assert binaries.digest("ab", "c") != binaries.digest("a", "bc")
