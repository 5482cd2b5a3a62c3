"""The `distlaw` command. Each subcommand is a function in `distlaw.apps.commands` whose docstring is its help.

What is heavy (tables, figures, pandas) is imported by a command where it needs it, so that the command answers at once.
"""

import sys
from collections.abc import Sequence

import cyclopts

import distlaw
from distlaw.apps.commands.check import check
from distlaw.apps.commands.checksum import checksum
from distlaw.apps.commands.compare import compare
from distlaw.apps.commands.crossover import crossover
from distlaw.apps.commands.evaluate import evaluate
from distlaw.apps.commands.fit import fit
from distlaw.apps.commands.flops import flops
from distlaw.apps.commands.isoflop import isoflop
from distlaw.apps.commands.lab import lab
from distlaw.apps.commands.laws import laws
from distlaw.apps.commands.mup_check import mup_check
from distlaw.apps.commands.plan import plan
from distlaw.apps.commands.predict import predict
from distlaw.apps.commands.report import report
from distlaw.apps.commands.runs import runs
from distlaw.apps.commands.serve import serve
from distlaw.apps.commands.study import study
from distlaw.apps.commands.suggest import suggest
from distlaw.apps.commands.targets import targets
from distlaw.apps.commands.teachers import teachers
from distlaw.apps.commands.train import distill, train
from distlaw.runs import one_line

app = cyclopts.App(
    name="distlaw",
    help="Distill a small language model or train it from scratch? Predict, plan and check with scaling laws.",
    version=lambda: distlaw.__version__,
    default_parameter=cyclopts.Parameter(negative=()),
)
# The help lists tasks and commands in the order in which they stand here.
_TASKS = {
    "Plan and predict": (plan, predict, teachers, crossover, flops),
    "Laws, published and from runs": (laws, check, fit, compare, isoflop, suggest),
    "Train and distill": (train, distill, evaluate, targets, runs, checksum, mup_check),
    "Studies and labs": (study, lab),
    "Page and reports": (serve, report),
}
for _place, (_task, _commands) in enumerate(_TASKS.items()):
    _group = cyclopts.Group(_task, sort_key=_place)
    for _number, _command in enumerate(_commands):
        if isinstance(_command, cyclopts.App):  # a command with commands of its own
            _command.group, _command.sort_key = _group, _number
            for _order, _name in enumerate(_command):
                _command[_name].sort_key = _order
            app.command(_command)
        else:
            app.command(_command, group=_group, sort_key=_number)
app["--help"].group = app["--version"].group = cyclopts.Group("About", sort_key=len(_TASKS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0, or 1 for a fit that did not converge, or 2 after one line on standard error for a mistake in the input.

    Args:
        arguments: Words after `distlaw`; None takes those of the process.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except (cyclopts.CycloptsError, ValueError) as error:
        # Every ValueError of this package is meant for its user and says what would be right.
        print(f"distlaw: error: {one_line(error, 1000)}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has left, as `| head` does; nothing to say and nobody to say it to
        return 0
    except OSError as error:  # a disk that is full, a store that does not answer
        print(f"distlaw: error: {one_line(error, 1000)}", file=sys.stderr)
        return 2
    return status if isinstance(status, int) else 0


def run() -> None:
    """Entry point of the installed command."""
    sys.exit(main())
