import json
import logging
import sys
from typing import Any

import pytest

from forefill_operator.logs import JsonFormatter


def line(message: str, *words: object, **more: Any) -> Any:
    logger = logging.getLogger("forefill.test")
    record = logger.makeRecord(
        logger.name, logging.WARNING, "file", 1, message, words, more.pop("exc_info", None), extra=more
    )
    record.created = 1_764_000_000.25
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_record_is_one_object_with_what_it_is_about() -> None:
    assert line("pod %s is late by %d s", "web", 3, policy="shop/llm", client="shop/web") == {
        "time": "2025-11-24T16:00:00.250+00:00",
        "level": "warning",
        "logger": "forefill.test",
        "message": "pod web is late by 3 s",
        "policy": "shop/llm",
        "client": "shop/web",
    }


@pytest.mark.parametrize("value", [None, 3, ["x"]])
def test_only_names_are_fields(value: object) -> None:
    assert "policy" not in line("hello", policy=value)


def test_lines_that_a_message_brings_along_stay_one_line() -> None:
    assert line("a\nb")["message"] == "a\nb"


def test_an_error_is_there_with_its_traceback() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        told = line("it failed", exc_info=sys.exc_info())
    assert told["error"].endswith("ValueError: broken")
