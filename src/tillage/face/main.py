"""The command line: its commands, and one place where errors become exit codes.

Nothing but typer is imported before a command is chosen, so `tillage --help` answers at once; each command imports
what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from gc import set_threshold

import typer

from tillage.face import failure
from tillage.face.administering import rollback, token
from tillage.face.carding import card
from tillage.face.checking import check, plan
from tillage.face.comparing import compare
from tillage.face.explaining import explain
from tillage.face.forgetting import forget
from tillage.face.keeping import gc, verify
from tillage.face.labelling import label
from tillage.face.new import new
from tillage.face.running import replay, run
from tillage.face.scoring import score
from tillage.face.screen import Screen, close
from tillage.face.serving import serve
from tillage.face.showing import show
from tillage.face.steps import steps
from tillage.face.tracing import trace
from tillage.face.trying import try_file

# Read when numpy and scipy load: a second thread of BLAS spins for 50 ms of CPU at every start, and what it adds up may
# differ in the last bit. Whoever sets it keeps it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A run makes many short-lived objects and few cycles; looking for these every 700 objects cost 3 % of small files.
set_threshold(10_000, 10, 10)

app = typer.Typer(
    name="tillage",
    help="One plan from raw data to tested models, with the thread held. Every command takes --help and --json.",
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("try")(try_file)
for _command in (
    new,
    check,
    plan,
    run,
    show,
    compare,
    explain,
    card,
    label,
    replay,
    score,
    serve,
    rollback,
    trace,
    forget,
    verify,
    gc,
    steps,
):
    app.command()(_command)
app.add_typer(token, name="token")


def _version(wanted: bool) -> None:
    if wanted:
        from tillage import __version__

        Screen().line(f"tillage {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code: 0, or that of the error (see `tillage.core.errors`).

    >>> main(["--version"])
    Traceback (most recent call last):
    SystemExit: 0
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(ended(words))


def ended(words: list[str]) -> int:
    """Run a command, tell of whatever goes wrong, and return the exit code."""
    options = words[: words.index("--")] if "--" in words else words
    try:
        code = typer.main.get_command(app).main(args=words, prog_name="tillage", standalone_mode=False)
        if code == failure.INTERRUPTED:  # typer's way of saying that Ctrl-C was pressed
            raise KeyboardInterrupt
        return int(code or 0)
    except (Exception, KeyboardInterrupt) as error:  # the last door: whatever comes is told, none escapes
        return failure.show(error, Screen("--json" in options))
    finally:
        close()


if __name__ == "__main__":
    main()
