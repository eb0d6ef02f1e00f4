"""`forefill sidecar --operator`: a sidecar that an operator guides, from arguments."""

import argparse

from forefill_protocol.messages import STREAM_PATH
from forefill_sidecar import arguments
from forefill_sidecar.arguments import BadArgument
from forefill_sidecar.joined import JoinedSidecar
from forefill_sidecar.reporter import Operator


def sidecar(options: argparse.Namespace) -> JoinedSidecar:
    """Without --fill-rate nothing is enforced before the operator's first answer: there is no number to enforce."""
    for name in ("policy", "token_file", "ca_file"):
        arguments.required(options, name)
    rate = arguments.number("--fill-rate", options.fill_rate) if options.fill_rate else 0.0
    burst = arguments.number("--burst", options.burst, above=0.0) if options.burst else max(1.0, 3.0 * rate)
    policy = options.policy if "/" in options.policy else f"default/{options.policy}"
    listener = arguments.listener(options, policy, "Enforce" if options.fill_rate else "Observe", rate, burst)
    scheme, _, rest = options.operator.partition("://")
    if scheme not in ("https", "wss") or not rest:
        raise BadArgument(f"--operator is {options.operator!r}; it must be https://HOST:PORT")
    try:
        options.token_file.read_text()
        operator = Operator(f"wss://{rest.rstrip('/')}{STREAM_PATH}", options.ca_file.read_text(), options.token_file)
        operator.context()
        # The listener's own checks speak of what it was given.
        host = arguments.endpoint("--listen", options.listen)[0]
        return JoinedSidecar([listener], operator, arguments.admin(options), options.state, host)
    except OSError as error:
        raise BadArgument(f"{error.filename}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise BadArgument(str(error)) from None
