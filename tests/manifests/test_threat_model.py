import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_every_test_that_the_threat_model_names_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_attack_is_in_the_threat_model() -> None:
    files = [*(ROOT / "tests" / "attacks").glob("test_*.py"), ROOT / "tests" / "e2e" / "apiserver" / "test_attacks.py"]
    written = {
        (str(path.relative_to(ROOT)), name)
        for path in files
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    untold = {
        # What an attack leaves is looked at, or what is no attack stands beside.
        "test_without_a_ticket_nothing_opens_while_nobody_can_be_asked",
        "test_a_token_of_another_pod_does_not_renew_a_stream",
        "test_text_and_pieces_are_no_messages",
        "test_a_ticket_opens_a_stream_that_is_reviewed_afterwards",
        "test_the_operator_outlived_all_of_it",
    }
    assert {name for path, name in written - set(NAMED)} == untold


def test_every_row_of_the_table_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| threat"))]
    assert len(rows) >= 40
    assert [row for row in rows if "::test_" not in row.rsplit("|", 2)[1]] == []
