"""What people type, and what they are told when it can't be used."""

Address = tuple[str, int]


class Misused(Exception):
    """The command can't run as asked; the sentence says why."""


def parse_address(text: str) -> Address:
    """Raises ValueError with a sentence. An IPv6 host stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or not host:
        raise ValueError(f"{text!r} is not HOST:PORT with a port of 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)
