from forefill_operator import workload
from forefill_operator.workload import Workload, Workloads


def test_a_stranger_starts_with_full_trust() -> None:
    assert Workload().join() == 1.0


def test_a_pod_starts_like_those_beside_it() -> None:
    known = Workload()
    known.join()
    known.trust -= 0.6
    assert known.join() == 0.4


def test_a_single_pod_leaves_its_name_to_the_next() -> None:
    known = Workload()
    known.join()
    known.trust -= 0.9
    known.leave("uid", 0.1, -0.5)
    assert (known.pods, known.left_skill) == (0, -0.5)
    assert abs(known.join() - 0.1) < 1e-12


def test_one_of_ten_that_leaves_counts_a_tenth() -> None:
    known = Workload()
    for _ in range(10):
        known.join()
    known.trust -= 1.0
    known.leave("uid", 0.0, 0.0)
    assert known.join() == 0.9


def test_the_same_name_is_the_same_workload() -> None:
    known = Workloads()
    assert known.get("ai/Deployment/web") is known.get("ai/Deployment/web")
    assert known.get("ai/Deployment/web") is not known.get("ai/Deployment/api")


def test_the_longest_without_pods_is_forgotten_first() -> None:
    known = Workloads()
    kept = known.get("kept")
    kept.join()
    oldest = known.get("oldest")
    for number in range(workload.MOST_WORKLOADS - 1):
        known.get(f"workload-{number}")
    assert known.get("kept") is kept
    assert known.get("oldest") is not oldest
