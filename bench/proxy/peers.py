"""The proxies compared, each on one core, each counting every request against a limit per second."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UNLIMITED = 1_000_000
_TYPES = "type.googleapis.com/envoy.extensions"


@dataclass(frozen=True)
class Setup:
    """Where a proxy listens, where it sends to, and how many requests a second it lets through."""

    port: int
    upstream_port: int
    per_second: int
    folder: Path


@dataclass(frozen=True)
class Peer:
    """`command` writes what configuration it needs into the setup's folder and answers what to run."""

    name: str
    command: Callable[[Setup], list[str]]


def forefill(setup: Setup) -> list[str]:
    return [
        *(sys.executable, "-m", "forefill", "sidecar", "--listen", f"127.0.0.1:{setup.port}"),
        *("--upstream", f"http://127.0.0.1:{setup.upstream_port}", "--queue-seconds", "0"),
        *("--fill-rate", str(setup.per_second), "--burst", str(setup.per_second)),
    ]


def envoy(setup: Setup) -> list[str]:
    path = setup.folder / "envoy.json"
    path.write_text(json.dumps(_envoy_config(setup)))
    return ["envoy", "--concurrency", "1", "-c", str(path), "--log-level", "error", "--use-dynamic-base-id"]


def nginx(setup: Setup) -> list[str]:
    path = setup.folder / "nginx.conf"
    path.write_text(f"""
daemon off; worker_processes 1; pid {setup.folder}/nginx.pid; error_log {setup.folder}/nginx.log crit;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 120;
  client_body_temp_path {setup.folder}/body; proxy_temp_path {setup.folder}/proxy; fastcgi_temp_path {setup.folder}/f;
  uwsgi_temp_path {setup.folder}/u; scgi_temp_path {setup.folder}/s;
  limit_req_zone $server_name zone=all:1m rate={setup.per_second}r/s; limit_req_status 429;
  upstream up {{ server 127.0.0.1:{setup.upstream_port}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{setup.port} backlog=4096; location / {{
    limit_req zone=all burst={setup.per_second} nodelay;
    proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffers 8 64k; }} }}
}}
""")
    return ["nginx", "-c", str(path), "-p", str(setup.folder), "-e", str(setup.folder / "nginx.log")]


def haproxy(setup: Setup) -> list[str]:
    path = setup.folder / "haproxy.cfg"
    path.write_text(f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  http-reuse always
frontend in
  bind 127.0.0.1:{setup.port}
  stick-table type integer size 10 expire 10s store http_req_rate(1s)
  http-request track-sc0 int(1)
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {setup.per_second} }}
  default_backend out
backend out
  server up 127.0.0.1:{setup.upstream_port} pool-max-conn 2048
""")
    return ["haproxy", "-db", "-f", str(path)]


PEERS = (Peer("Forefill", forefill), Peer("Envoy", envoy), Peer("HAProxy", haproxy), Peer("nginx", nginx))
_PROGRAMS = {"Envoy": "envoy", "HAProxy": "haproxy", "nginx": "nginx"}


def installed() -> list[Peer]:
    """Those whose programs are on this machine."""
    return [peer for peer in PEERS if peer.name not in _PROGRAMS or shutil.which(_PROGRAMS[peer.name])]


def _envoy_config(setup: Setup) -> dict[str, object]:
    bucket = {"max_tokens": setup.per_second, "tokens_per_fill": setup.per_second, "fill_interval": "1s"}
    all_requests = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    limit = {
        "@type": f"{_TYPES}.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": bucket,
        "filter_enabled": all_requests,
        "filter_enforced": all_requests,
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "limit", "typed_config": limit},
            {
                "name": "router",
                "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
            },
        ],
    }
    limits = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
    cluster = {
        "name": "up",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "up",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(setup.upstream_port)}}]}],
        },
    }
    listener = {
        "name": "in",
        "address": _socket(setup.port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _socket(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
