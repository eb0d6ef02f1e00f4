"""Where requests are written down: the access log, a collector of traces, or both."""

from collections.abc import Sequence

from forefill_sidecar.entry import Entry
from forefill_sidecar.outlet import Outlet


class Journal:
    """`spans` gets only what callers trace and sample."""

    def __init__(self, log: Outlet[Entry] | None, spans: Outlet[Entry] | None) -> None:
        self._log = log
        self._spans = spans

    @property
    def outlets(self) -> Sequence[Outlet[Entry]]:
        return [outlet for outlet in (self._log, self._spans) if outlet is not None]

    def note(self, entry: Entry) -> None:
        """Write one request down, later and elsewhere."""
        if self._log is not None:
            self._log.add(entry)
        if self._spans is not None and entry.trace is not None and entry.trace.is_sampled:
            self._spans.add(entry)

    def close(self) -> None:
        for outlet in self.outlets:
            outlet.close()


def opened(log_path: str | None, endpoint: str | None) -> Journal | None:
    """None where neither is wanted. Raises OSError for a file, ValueError for an endpoint, that can't be used."""
    log = spans = None
    if log_path:
        from forefill_sidecar.access_log import FileSink

        sink = FileSink(log_path)
        log = Outlet("access log", sink.deliver, sink.close)
    if endpoint:
        from forefill_sidecar.spans import OtlpSink

        spans = Outlet("spans", OtlpSink(endpoint).deliver)
    return Journal(log, spans) if log or spans else None
