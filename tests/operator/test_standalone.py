import asyncio
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from forefill_operator.client import Client
from forefill_operator.controller import Controller
from forefill_operator.identity import StaticTokens
from forefill_operator.metrics import Metrics
from forefill_operator.standalone import Folder
from forefill_operator.state_folder import Served
from forefill_operator.stream_server import StreamServer
from forefill_protocol.messages import Assignment, Hello, Holding

Make = Callable[[dict[str, Any]], dict[str, Any]]


class Followed:
    """A folder of policies that a controller follows."""

    def __init__(self, path: Path, make_manifest: Make) -> None:
        self.path, self._make_manifest = path / "policies", make_manifest
        self.path.mkdir()
        self.controller, self.metrics = Controller(first_start=True), Metrics()
        self.server = StreamServer(self.controller, StaticTokens(path / "tokens"), self.metrics, time.monotonic)
        self.served = Served(path / "served")
        self.folder = Folder(self.path)

    def put(self, name: str, **changes: Any) -> None:
        manifest = self._make_manifest({"metadata.name": name, **changes})
        # As an editor does it, so that no half of a file is ever seen.
        beside = self.path / f"{name}.new"
        beside.write_text(yaml.safe_dump(manifest))
        beside.rename(self.path / f"{name}.yaml")

    def follow(self) -> Any:
        return self.folder.follow(self.controller, self.server, self.served, self.metrics, time.monotonic)

    @property
    def maxima(self) -> dict[str, float]:
        return {key: figures.max for key, figures in self.controller.figures(time.monotonic()).items()}

    @property
    def invalid(self) -> float | None:
        return self.metrics.registry.get_sample_value("forefill_operator_policies_invalid")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10.0):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.fixture
async def followed(tmp_path: Path, make_manifest: Make) -> AsyncIterator[Followed]:
    made = Followed(tmp_path, make_manifest)
    made.put("llm")
    made.folder.read()
    for policy in made.folder.policies.values():
        made.controller.put_policy(policy, time.monotonic(), is_new=True)
    task = asyncio.create_task(made.follow())
    yield made
    assert not task.done(), task
    task.cancel()


async def test_policies_come_change_and_go_with_their_files(followed: Followed) -> None:
    assert followed.maxima == {"ai/llm": 400.0}
    followed.put("api", **{"spec.fillRate.max": 300})
    await followed.until(lambda: followed.maxima == {"ai/llm": 400.0, "ai/api": 300.0})
    followed.put("llm", **{"spec.fillRate.max": 200})
    await followed.until(lambda: followed.maxima == {"ai/llm": 200.0, "ai/api": 300.0})
    (followed.path / "llm.yaml").unlink()
    await followed.until(lambda: followed.maxima == {"ai/api": 300.0})


async def test_a_changed_policy_has_a_higher_generation(followed: Followed) -> None:
    before = followed.folder.policies["ai/llm"].generation
    followed.put("llm", **{"spec.fillRate.max": 200})
    await followed.until(lambda: followed.maxima == {"ai/llm": 200.0})
    assert followed.folder.policies["ai/llm"].generation > before


async def test_an_invalid_file_keeps_what_was_good_and_is_counted(
    followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    followed.put("llm", **{"spec.fillRate.min": 500})
    await followed.until(lambda: followed.invalid == 1.0)
    assert followed.maxima == {"ai/llm": 400.0}
    assert "spec.fillRate.min: is 500, but must not be above max, which is 400" in caplog.text
    followed.put("llm", **{"spec.fillRate.max": 300})
    await followed.until(lambda: followed.maxima == {"ai/llm": 300.0})
    assert followed.invalid == 0.0


NAN = float("nan")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("clients.classes", [{"name": "a", "weight": NAN}], "clients.classes[0].weight: is nan, but must be a finite"),
        (
            "clients.classes",
            [{"name": "a", "floor": 401}],
            "clients.classes: have floors of 401 together, but must not",
        ),
        ("weights.load", NAN, "weights.load: is nan, but must be a finite number"),
        ("weights.prediction", {"min": 2, "max": 1}, "weights.prediction.min: is 2, but must not be above initial"),
        ("fillRate.max", 1e308, "fillRate.max: is 1e+308, but must be at most"),
        ("fillRate.base", "fifty", "fillRate.base: is 'fifty', but must be a finite number"),
        ("report.leaseSeconds", 11, "report.intervalSeconds: is 10, but must not be above 1/2 of leaseSeconds, 5.5"),
        ("forecast.quantile", NAN, "forecast.quantile: is nan, but must be a finite number"),
        ("load.cpu", 7, "load.cpu: is 7, but must be a string"),
    ],
)
async def test_bad_input_is_refused_named_and_counted_while_the_policy_that_was_good_hands_out(
    field: str, value: object, sentence: str, followed: Followed, caplog: pytest.LogCaptureFixture
) -> None:
    followed.put("llm", **{f"spec.{field}": value})
    await followed.until(lambda: followed.invalid == 1.0)
    assert f"spec.{sentence}" in caplog.text
    client = Client("ai", "default", "web-0", "uid-0")
    hello = Hello(1, "boot", "test", [Holding("ai/llm")])
    ((_, answer),) = followed.controller.hello(client, hello, time.monotonic())
    assert isinstance(answer, Assignment)
    assert 0.0 < answer.fill_rate <= 400.0


@pytest.mark.parametrize("fault", ["folder gone", "dangling link"])
async def test_a_folder_that_cannot_be_read_for_a_while_keeps_what_was_good(fault: str, followed: Followed) -> None:
    if fault == "folder gone":
        shutil.rmtree(followed.path)
    else:
        (followed.path / "api.yaml").symlink_to(followed.path / "missing")
    await followed.until(lambda: followed.invalid == 1.0)
    assert followed.maxima == {"ai/llm": 400.0}
    if fault == "folder gone":
        followed.path.mkdir()
    else:
        (followed.path / "api.yaml").unlink()
    followed.put("llm", **{"spec.fillRate.max": 300})
    await followed.until(lambda: followed.maxima == {"ai/llm": 300.0})
    assert followed.invalid == 0.0


async def test_a_fault_is_logged_once_while_it_lasts(followed: Followed, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(followed.path)
    await followed.until(lambda: followed.invalid == 1.0)
    await asyncio.sleep(2.5)
    assert caplog.messages == [f"the policies stay as they were: {followed.path}: is not a folder"]


async def test_a_fault_that_passed_is_no_longer_counted(followed: Followed) -> None:
    (followed.path / "api.yaml").symlink_to(followed.path / "missing")
    await followed.until(lambda: followed.invalid == 1.0)
    (followed.path / "api.yaml").unlink()
    await followed.until(lambda: followed.invalid == 0.0)
    assert followed.maxima == {"ai/llm": 400.0}


async def test_a_policy_that_comes_back_is_served_again(followed: Followed) -> None:
    client = Client("ai", "web", "web-0", "uid-0")
    hello = Hello(1, "boot", "test", [Holding("ai/llm")])
    (followed.path / "llm.yaml").unlink()
    await followed.until(lambda: followed.maxima == {})
    followed.put("llm")
    await followed.until(lambda: followed.maxima == {"ai/llm": 400.0})
    ((_, answer),) = followed.controller.hello(client, hello, time.monotonic())
    assert type(answer).__name__ == "Assignment"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_well(number: signal.Signals, tmp_path: Path, make_manifest: Make) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "llm.yaml").write_text(yaml.safe_dump(make_manifest({})))
    (tmp_path / "tokens.csv").write_text("one,web-0,uid-0\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "forefill", "operator",
        f"--policies={tmp_path / 'policies'}", "--listen=127.0.0.1:0", f"--state={tmp_path}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), 20.0)
    assert b"streams on 127.0.0.1:" in line
    process.send_signal(number)
    _, errors = await asyncio.wait_for(process.communicate(), 10.0)
    assert (process.returncode, b"Traceback" in errors) == (0, False)
