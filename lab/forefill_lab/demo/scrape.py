"""Reads health and metrics of the demo's parts over plain HTTP on loopback."""

import asyncio

REPLY_SECONDS = 2.0


async def get(port: int, path: str) -> tuple[int, str]:
    """Status and body. Raises OSError when there is no answer in time."""
    try:
        return await asyncio.wait_for(_get(port, path), REPLY_SECONDS)
    except (ValueError, IndexError, asyncio.IncompleteReadError) as error:
        raise OSError(f"127.0.0.1:{port}{path} gave no HTTP answer: {error}") from None
    except TimeoutError:
        raise OSError(f"127.0.0.1:{port}{path} did not answer within {REPLY_SECONDS:g} s") from None


async def _get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # Answers to HTTP/1.0 end with the connection and are not chunked.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode()
    finally:
        writer.close()


async def metrics(port: int) -> dict[str, float]:
    """Values by name, summed over labels. Raises OSError."""
    status, text = await get(port, "/metrics")
    if status != 200:
        raise OSError(f"127.0.0.1:{port}/metrics answered {status}")
    return parse(text)


def parse(text: str) -> dict[str, float]:
    """Prometheus' text format; one policy a process, so labels need not be told apart."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name = series.partition("{")[0]
            values[name] = values.get(name, 0.0) + float(value)
    return values
