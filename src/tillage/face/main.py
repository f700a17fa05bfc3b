"""The command line: its commands, and one place where errors become exit codes.

Nothing but typer is imported before a command is chosen, and then that command alone; it imports what it needs when it
runs. So each answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from tillage.face import failure
from tillage.face.screen import Screen, close

# Read when numpy and scipy load: a second thread of BLAS spins for 50 ms of CPU at every start, and what it adds up may
# differ in the last bit. Whoever sets it keeps it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A command imports some hundred thousand objects that stay, and makes few cycles: looking for these would be a tenth of
# a short one. A server sets its own.
gc.set_threshold(300_000, 10, 10)

COMMANDS = {
    "try": "trying:try_file",
    "new": "new:new",
    "check": "checking:check",
    "plan": "checking:plan",
    "run": "running:run",
    "show": "showing:show",
    "compare": "comparing:compare",
    "explain": "explaining:explain",
    "card": "carding:card",
    "label": "labelling:label",
    "export": "exporting:export",
    "replay": "running:replay",
    "score": "scoring:score",
    "serve": "serving:serve",
    "rollback": "administering:rollback",
    "trace": "tracing:trace",
    "forget": "forgetting:forget",
    "verify": "keeping:verify",
    "gc": "keeping:gc",
    "steps": "steps:steps",
    "token": "administering:token",
}
"""Command to its function, or its group of commands, in a module of this room."""


FEW_ROWS = ("forget", "trace")
"""Commands that ask much of few rows: what a second thread of Polars takes on is less than what waking it costs."""


def _version(wanted: bool) -> None:
    if wanted:
        from tillage import __version__

        Screen().line(f"tillage {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The command that these words name; all commands where they name none. Each costs 2 ms of CPU at every start.

    >>> [command.name for command in application(["run", "--json"]).registered_commands]
    ['run']
    """
    app = typer.Typer(
        name="tillage",
        help="One plan from raw data to tested models, with the thread held. Every command takes --help and --json.",
        rich_markup_mode=None,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    first = next((word for word in words if not word.startswith("-")), "")
    if first in FEW_ROWS:
        os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when Polars loads, which nothing has done so far
    for name in [first] if first in COMMANDS else COMMANDS:
        module, _, function = COMMANDS[name].partition(":")
        found = getattr(import_module(f"tillage.face.{module}"), function)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code: 0, or that of the error (see `tillage.core.errors`).

    >>> main(["--version"])
    Traceback (most recent call last):
    SystemExit: 0
    """
    code = ended(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None and code == 0:  # an error may hold what a library of its own counts as it ends
        gc.freeze()  # or Python, as it ends, would look through all that is there: a sixth of a short command
    sys.exit(code)


def ended(words: list[str]) -> int:
    """Run a command, tell of whatever goes wrong, and return the exit code."""
    options = words[: words.index("--")] if "--" in words else words
    try:
        code = typer.main.get_command(application(words)).main(args=words, prog_name="tillage", standalone_mode=False)
        if code == failure.INTERRUPTED:  # typer's way of saying that Ctrl-C was pressed
            raise KeyboardInterrupt
        return int(code or 0)
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # the last door: all is told, none escapes; a panic of Polars is no Exception
        return failure.show(error, Screen("--json" in options))
    finally:
        close()


if __name__ == "__main__":
    main()
