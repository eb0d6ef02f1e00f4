"""`forefill explain POLICY`: every term, weight and clamp behind a rate, and the sentence that a person would say."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from forefill_operator.explanation import asking, page, pages
from forefill_operator.explanation.asking import NoAnswer, Unknown
from forefill_operator.explanation.page import Page
from forefill_protocol.codec import UNREADABLE

DESCRIPTION = """\
Shows how a policy's fill rate came about and how it is divided, or with --client why one client has its rate.

The operator is asked at its --health address. It answers on loopback only: on a cluster --kube asks inside its pod,
through kubectl and its configuration, so that who may exec into that pod may see every client's figures.
"""
DEFAULT_OPERATOR = "http://127.0.0.1:8080"
Ask = Callable[[], bytes]


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Exit status 0, 1 for a policy or client that is not there, 2 for what can't be asked."""
    options = parser(environ).parse_args(arguments)
    try:
        if options.watch is not None:
            return _watch(_asker(options), options.watch)
        document = _asker(options)()
        shown = _page(document)
        if options.json:
            print(msgspec.json.format(document, indent=2).decode())
        else:
            show(shown)
    except Unknown as unknown:
        print(f"forefill explain: {unknown}", file=sys.stderr)
        return 1
    except NoAnswer as nothing:
        print(f"forefill explain: {nothing}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        "forefill explain", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("policy", metavar="POLICY", help="[NAMESPACE/]NAME")
    options.add_argument("--client", default="", metavar="POD", help="[NAMESPACE/]NAME or uid of a pod")
    options.add_argument("--json", action="store_true", help="print the whole explanation as one JSON document")
    options.add_argument(
        "--watch", nargs="?", type=_seconds, const=1.0, metavar="SECONDS", help="show it anew every second, or so often"
    )
    options.add_argument(
        "--operator",
        default=environ.get("FOREFILL_OPERATOR") or DEFAULT_OPERATOR,
        metavar="URL",
        help=f"where the operator's --health is (default: FOREFILL_OPERATOR, else {DEFAULT_OPERATOR})",
    )
    cluster = options.add_argument_group("on a cluster")
    cluster.add_argument("--kube", action="store_true", help="ask inside the operator's pod, through kubectl exec")
    cluster.add_argument("--namespace", default="forefill-system", help="the operator's (default: forefill-system)")
    cluster.add_argument("--context", default="", help="kubectl's")
    return options


def show(shown: Page) -> None:
    """With colours and bars on a terminal where rich is installed, else as plain text."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console

            from forefill_operator.explanation import terminal
        except ModuleNotFoundError:
            pass
        else:
            console = Console(highlight=False)
            console.print(terminal.render(shown, console.width))
            return
    print(page.plain(shown), end="")


def _watch(ask: Ask, seconds: float) -> int:
    """Until interrupted."""
    if not sys.stdout.isatty():
        raise NoAnswer("--watch needs a terminal")
    try:
        from rich.console import Console
        from rich.live import Live

        from forefill_operator.explanation import terminal
    except ModuleNotFoundError:
        raise NoAnswer("--watch needs the package rich; install forefill[all]") from None
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            live.update(terminal.render(_page(ask()), console.width), refresh=True)
            time.sleep(seconds)


def _asker(options: argparse.Namespace) -> Ask:
    if options.kube:
        return lambda: asking.in_cluster(options.namespace, options.context, options.policy, options.client)
    return lambda: asking.over_http(options.operator, options.policy, options.client)


def _page(document: bytes) -> Page:
    try:
        return pages.page_of(document)
    except UNREADABLE as error:
        raise NoAnswer(f"the operator is of another version: {error}") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600.0:
        raise argparse.ArgumentTypeError(f"{text!r} must be seconds from 0.2 to 3600")
    return seconds
