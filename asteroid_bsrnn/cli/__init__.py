"""The command line: parse, call, print.

Exit codes: 0 success, 2 a mistake of the user (one line on stderr), 1 a bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import UserError
from ..memory import is_out_of_memory, keep_freed_memory
from .terminal import OUT_OF_MEMORY, complain, ended_tidily

# The module and the description of each command. Only the module of the command that is called gets
# imported: some import torch.
COMMANDS = {
    "separate": ("separate", "separate songs into stems"),
    "convert": ("weights", "convert checkpoints of the replication study's code or of a training"),
    "models": ("weights", "list pretrained weights, download or remove them"),
    "evaluate": ("evaluate", "score models on a data set"),
    "compare": ("results", "put models side by side: scores, confidence, size, speed, energy"),
    "export": ("weights", "write a network as ONNX or for torch.export"),
    "report": ("results", "make a page of results: tables, charts, sounds"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with the arguments of the process, or others, and return its exit code.

    Raises:
        SystemExit: the arguments are invalid or ask for help; its code is the exit code.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(given).parse_args(given)
    if arguments is None:
        keep_freed_memory()  # only in a process of our own
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
        # The reader of the output has stopped. Flushing the buffer at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class OneLineParser(argparse.ArgumentParser):
    """A parser whose error messages take one line."""

    def error(self, message: str):
        """Print the mistake and how to get help, and exit."""
        complain(f"{message} (try: {self.prog} --help)")
        self.exit(2)


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of the command in `given` only."""
    parser = OneLineParser(prog="asteroid-bsrnn", description="Separate music into its stems.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = next((argument for argument in given if not argument.startswith("-")), None)
    for name, (module, text) in COMMANDS.items():
        if name == command:
            add = getattr(importlib.import_module(f"{__name__}.{module}"), f"add_{name}")
            add(commands)
        else:
            commands.add_parser(name, help=text)
    return parser
