"""The one console command. Each subcommand's module is imported only when it is called."""

import importlib
import sys
from collections.abc import Sequence
from importlib import metadata

COMMANDS = {
    "sidecar": ("forefill_sidecar.command", "run the sidecar: meter, forecast, shape, proxy"),
    "operator": ("forefill_operator.command", "run the operator: add forecasts up, divide the fill rate"),
    "injector": ("forefill_operator.kube.injector", "run the webhook that adds the sidecar to annotated pods"),
    "inject": ("forefill_operator.kube.inject_command", "add the sidecar to manifests in files, as the injector would"),
    "explain": ("forefill_operator.explanation.command", "say why a policy or a client has its rate"),
    "bundle": ("forefill_operator.kube.bundle_command", "collect what a helper needs to see, without secrets"),
    "forecast": ("forefill_sidecar.forecast.command", "forecast a column of a CSV file, strictly online"),
    "simulate": ("forefill_lab.simulator.command", "run a demand on a virtual clock, under Forefill or others"),
    "bench": ("forefill_lab.bench_command", "measure how many sidecars an operator serves"),
    "demo": ("forefill_lab.demo.command", "show the main job on this machine, static buckets beside Forefill"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand named by the first argument; its exit status is ours."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(metadata.version("forefill"))
        return 0
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] not in COMMANDS:
        print(f"forefill: no command {words[0]!r}; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    return run(words[0], words[1:])


def run(name: str, arguments: Sequence[str]) -> int:
    try:
        module = importlib.import_module(COMMANDS[name][0])
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0].startswith("forefill"):
            raise
        print(f"forefill {name}: the package {missing.name} is not installed; install forefill[all]", file=sys.stderr)
        return 2
    status: int = module.main(arguments)
    return status


def usage() -> str:
    lines = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: forefill COMMAND [ARGUMENTS]   (COMMAND --help tells more)", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
