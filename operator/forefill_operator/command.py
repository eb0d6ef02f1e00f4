"""`forefill operator`: for a cluster with --kubernetes, or for one machine with policies from files."""

import argparse
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from forefill_operator import logs, sharing, workers
from forefill_operator.usage import Address, Misused, parse_address

DESCRIPTION = """\
Adds up the forecasts of every sidecar, computes the fill rate of each TokenPolicy and divides it.

Without a cluster, policies come from YAML files, which are read again when they change, and sidecars are known by the
tokens of a CSV file (token,name,uid[,namespace[,workload]]). A certificate for 127.0.0.1 and localhost is made in the
state folder, and the CA that sidecars must trust is written beside it as ca.crt.
"""


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 after a stop, 2 for what the user can mend."""
    options = parser().parse_args(arguments)
    logs.configure(options.log_level, options.log_format)
    try:
        if options.workers and options.worker is None:
            workers.check(options)
            return uvloop.run(workers.run(options, arguments))
        workers.own_options(options)
        uvloop.run(_chosen(options))
    except Misused as misused:
        print(f"forefill operator: {misused}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser("forefill operator", description=DESCRIPTION, formatter_class=_Formatter)
    options.add_argument(
        "--health", type=_address, metavar="HOST:PORT", help="serve /healthz, /readyz and /metrics here"
    )
    options.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    options.add_argument("--log-format", default="text", choices=logs.FORMATS, help="json: one object a line")
    options.add_argument(
        "--load-sources", type=Path, metavar="FILE", help="YAML of the sources that policies take their load from"
    )
    options.add_argument(
        "--record", type=Path, metavar="FILE", help="append what clients report, for forefill simulate --record"
    )
    files = options.add_argument_group("without a cluster")
    files.add_argument("--policies", type=Path, metavar="DIR", help="folder of TokenPolicy manifests")
    files.add_argument("--listen", type=_address, metavar="HOST:PORT", help="where sidecars connect")
    files.add_argument(
        "--tokens", type=Path, metavar="FILE", help="CSV of the sidecars' tokens (default STATE/tokens.csv)"
    )
    files.add_argument(
        "--state", type=Path, metavar="DIR", default=Path("forefill-state"), help="CA, certificate and tokens"
    )
    files.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve this certificate instead of a made one")
    files.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key")
    cluster = options.add_argument_group("on a cluster")
    cluster.add_argument("--kubernetes", action="store_true", help="watch TokenPolicies on the API server")
    cluster.add_argument("--stream", type=_address, metavar="HOST:PORT", help="where sidecars connect")
    cluster.add_argument("--namespace", help="the operator's own namespace")
    cluster.add_argument("--service-name", help="Service that leads to --stream; the certificate names it")
    cluster.add_argument("--injector-service-name", help="Service of the injector; the certificate names it too")
    cluster.add_argument("--webhook-name", help="MutatingWebhookConfiguration whose caBundle is kept up to date")
    cluster.add_argument("--ca-secret", help="Secret that keeps the CA")
    cluster.add_argument("--injector-secret", help="Secret that keeps the injector's serving certificate")
    cluster.add_argument(
        "--certificates",
        type=Path,
        metavar="DIR",
        help="serve tls.crt and tls.key from here, trusted by ca.crt, instead of keeping a CA (cert-manager)",
    )
    cluster.add_argument("--ticket-secret", help="Secret that keeps the keys of tickets (default: the CA's)")
    cluster.add_argument("--lease", help="Lease that the answering operator holds")
    sharing.add_options(options)
    workers.add_options(options)
    return options


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    pass


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _chosen(options: argparse.Namespace) -> Coroutine[Any, Any, None]:
    if options.kubernetes == bool(options.policies):
        raise Misused("give either --policies DIR (without a cluster) or --kubernetes")
    if options.kubernetes:
        from forefill_operator.kube import service

        return service.run(options)
    from forefill_operator import standalone

    return standalone.run(options)
