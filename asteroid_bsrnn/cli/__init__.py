"""The command line: parse, call, print.

Exit codes: 0 done, 2 a user's mistake (one line on stderr), 1 a bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import UserError
from ..memory import is_out_of_memory, keep_freed_memory
from .compare import add_compare
from .convert import add_convert
from .evaluate import add_evaluate
from .models import add_models
from .report import add_report
from .separate import add_separate
from .terminal import OUT_OF_MEMORY, complain, ended_tidily


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: None means those that the program was called with.

    Raises:
        SystemExit: with the exit code, where the arguments can't be understood or ask for help.
    """
    options = _parser().parse_args(arguments)
    if arguments is None:
        keep_freed_memory()  # the process is ours
    try:
        with ended_tidily():
            return options.run(options)
    except UserError as error:
        return complain(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return complain(OUT_OF_MEMORY)
    except KeyboardInterrupt:
        print("asteroid-bsrnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough; what is left in the buffer would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class OneLineParser(argparse.ArgumentParser):
    """A parser whose mistakes take one line."""

    def error(self, message: str):
        """Print the mistake and where to read more, and exit."""
        complain(f"{message} (try: {self.prog} --help)")
        self.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="asteroid-bsrnn", description="Separate music into its stems.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_separate(commands)
    add_convert(commands)
    add_models(commands)
    add_evaluate(commands)
    add_compare(commands)
    add_report(commands)
    return parser
