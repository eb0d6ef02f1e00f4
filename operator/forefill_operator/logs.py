"""How a process logs: lines to read, or one JSON object a line for whoever collects them."""

import datetime
import json
import logging
from typing import Literal

Format = Literal["text", "json"]
FORMATS: tuple[Format, ...] = ("text", "json")
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
# Given with a record as `extra`, where a sentence is about one of them: NAMESPACE/NAME each.
FIELDS = ("policy", "client")


def configure(level: str, form: Format) -> None:
    """`level` is debug, info, warning or error."""
    # A line for each state of each object that it sees, which is every policy once a minute.
    logging.getLogger("kopf").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    if form == "text":
        logging.basicConfig(level=level.upper(), format=TEXT)
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class JsonFormatter(logging.Formatter):
    """time (RFC 3339), level, logger, message; policy, client and error where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name in FIELDS if isinstance(value := getattr(record, name, None), str)},
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)
