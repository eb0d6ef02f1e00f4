"""What `helm test` runs in a pod: OPERATOR INJECTOR are the names of the two Services."""

import socket
import ssl
import sys
import urllib.request

operator, injector = sys.argv[1:]
for service in (operator, injector):
    with urllib.request.urlopen(f"http://{service}:8080/readyz", timeout=10) as answer:
        print(f"{service} is ready: {answer.status}")
# The authority is the operator's own; here it only matters that somebody answers, and how.
context = ssl._create_unverified_context()
context.minimum_version = ssl.TLSVersion.TLSv1_3
raw = socket.create_connection((operator, 8443), 10)
with context.wrap_socket(raw, server_hostname=operator) as stream:
    stream.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: {operator}\r\nConnection: close\r\n\r\n".encode())
    status = stream.recv(4096).split(b"\r\n", 1)[0].decode()
    print(f"{operator} speaks {stream.version()} and answers a stranger: {status}")
    if not status.startswith("HTTP/1.1 4"):
        sys.exit("a stranger must be refused")
