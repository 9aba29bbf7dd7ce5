"""The command ``zerocost-bench``: one subcommand for each experiment.

Only the module of the experiment that runs is imported, so that ``--help`` answers at once. Such a
module, in ``experiments/``, opens with two paragraphs that its ``--help`` shows, and has
``add_arguments(parser)`` and ``run(arguments)``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from zerocost_bench.arguments import HelpFormatter
from zerocost_bench.failure import BenchmarkError

__all__ = ["EXPERIMENTS", "main"]

FAILED, INTERRUPTED = 1, 130

EXPERIMENTS = {
    "correlation": "how well scores of untrained networks agree with accuracy",
    "search": "searches with and without zero-cost scores",
    "trust": "what learning from the trials is worth, whatever the scores are",
    "scores": "measure the scores of the networks",
    "costs": "measure what each proxy costs on this machine",
    "passes": "what sharing passes saves, and what the package adds to them",
    "candidates": "how long a warmup takes",
    "overhead": "how much time the sampler itself takes",
    "learned-overhead": "how much time the ranking Learned takes",
    "learned-spaces": "what the ranking Learned is worth on other spaces",
    "studies": "the sampler in studies as users have them",
    "surrogates": "other models and rules in place of Learned's",
    "pareto": "two objectives: proposals by a Pareto ranking of scores",
    "limits": "what limits cost, and what they spare",
    "relation-predictor": "how the relation predictor orders networks, and what it finds",
    "demo-survey": "how accuracy spreads over the demo's space, and which scores foretell it",
    "real-models": "every proxy on real architectures",
    "families": "every proxy on a small network of each family",
    "figures": "check the key figures that README and documentation quote",
    "pytorchcv": "scores against the accuracies of trained CIFAR-10 models",
}
"""Name → what it does; its module has the same name, with underscores."""


def main(argv: Sequence[str] | None = None, *, program: str = "zerocost-bench") -> int:
    """Run the command.

    Args:
        argv: Its arguments. Default: those of the process.
        program: What it is called in help and messages.

    Returns:
        The exit code: 0, or 1 if an experiment could not run as asked, or 130 if it was
        interrupted.

    Raises:
        SystemExit: With code 2 for wrong arguments, with code 0 after ``--help``.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog=program,
        description=(
            "Experiments with zero-cost proxies. What is interrupted goes on when the same "
            "command is given again, where it keeps what is done."
        ),
    )
    told = [word for word in words if word != "--record"]
    parser.set_defaults(command_line=" ".join(["zerocost-bench", *told]))
    subparsers = parser.add_subparsers(required=True, metavar="EXPERIMENT")
    for name, summary in EXPERIMENTS.items():
        subparser = subparsers.add_parser(name, help=summary, formatter_class=HelpFormatter)
        if words[:1] == [name]:
            module = f"zerocost_bench.experiments.{name.replace('-', '_')}"
            experiment = importlib.import_module(module)
            subparser.description = " ".join((experiment.__doc__ or "").split("\n\n")[:2])
            experiment.add_arguments(subparser)
            subparser.set_defaults(run=experiment.run)
    arguments = parser.parse_args(words)
    try:
        arguments.run(arguments)
    except BenchmarkError as reason:
        print(f"{program}: error: {reason}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(
            f"{program}: interrupted; the same command goes on with what is left", file=sys.stderr
        )
        return INTERRUPTED
    return 0
