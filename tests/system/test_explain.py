"""`forefill explain` beside a real operator and its sidecars."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

Plant = Any

pytestmark = pytest.mark.timeout(120)


async def explain(plant: Plant, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "forefill", "explain", *arguments, f"--operator=http://127.0.0.1:{plant.health_port}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30.0)
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_policy_and_a_client_are_explained_with_the_figures_in_force(plant: Plant) -> None:
    plant.put_policy(fillRate={"base": 50, "min": 20, "max": 100})
    await plant.start_operator()
    sidecars = [await plant.start_sidecar(name) for name in "ab"]

    async def settled() -> bool:
        _, out, _ = await explain(plant, "llm", "--json")
        return json.loads(out)["clients"] == 2 if out else False

    await plant.until(settled)
    assert await plant.get(sidecars[0]) == 200
    status, out, err = await explain(plant, "default/llm", "--json")
    told = json.loads(out)
    assert (status, err, told["about"], told["policy"], told["max"]) == (0, "", "policy", "default/llm", 100.0)
    assert [each["name"] for each in told["classes"]] == ["namespace/default"]
    assert sum(each["rate"] for each in told["top"]) <= 100.0
    status, out, err = await explain(plant, "llm")
    assert (status, err) == (0, "")
    assert out.startswith("TokenPolicy default/llm\n  mode     Enforce, generation ")
    status, out, err = await explain(plant, "llm", "--client", "a", "--json")
    assert (status, json.loads(out)["client"], json.loads(out)["pod_uid"]) == (0, "default/a", "uid-a")
    status, out, err = await explain(plant, "llm", "--client", "uid-b")
    assert (status, out.partition("\n")[0]) == (0, "Client default/b of TokenPolicy default/llm")


async def test_what_is_not_there_is_found_wanting_and_what_can_t_be_asked_is_bad_input(
    plant: Plant, tmp_path: Path
) -> None:
    assert (await explain(plant, "llm"))[:2] == (2, "")
    await plant.start_operator()
    assert await explain(plant, "other") == (1, "", "forefill explain: there is no TokenPolicy other here\n")
    sentence = "forefill explain: TokenPolicy default/llm has no client nobody\n"
    assert await explain(plant, "llm", "--client", "nobody", "--json") == (1, "", sentence)
    assert await explain(plant, "llm", "--watch") == (2, "", "forefill explain: --watch needs a terminal\n")
