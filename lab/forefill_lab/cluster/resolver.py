"""Asks the cluster's name server for one address: the proof that pods can resolve."""

from __future__ import annotations

import secrets
import socket
import struct

TIMEOUT_SECONDS = 1.0
TYPE_A, CLASS_IN, RECURSION_DESIRED = 1, 1, 0x0100


def question(name: str, number: int) -> bytes:
    """A DNS query for the IPv4 address of `name` (RFC 1035, section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    header = struct.pack(">HHHHHH", number, RECURSION_DESIRED, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">HH", TYPE_A, CLASS_IN)


def resolves(server: str, port: int, name: str, address: str) -> bool:
    """True when `server` answers the query for `name` with `address`; False on silence or refusal."""
    number = secrets.randbelow(1 << 16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT_SECONDS)
        client.connect((server, port))
        try:
            client.send(question(name, number))
            answer = client.recv(1500)
        except OSError:
            return False
    return answer[:2] == number.to_bytes(2, "big") and socket.inet_aton(address) in answer[12:]
