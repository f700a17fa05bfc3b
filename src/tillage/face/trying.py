"""`try`: from any file to a tested model in one command, and a commented plan to go on with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.failure import tell
from tillage.face.opening import FILE, project_of
from tillage.face.options import AsJson
from tillage.face.page import write_report
from tillage.face.running import FAILED, bring_up
from tillage.face.screen import Screen, many, printable
from tillage.face.summary import show_model
from tillage.face.watching import Watching
from tillage.face.whole_file import replacing

if TYPE_CHECKING:
    from tillage.face.first_look import Decision, Look

MODEL = "model"


def try_file(
    file: Annotated[Path, typer.Argument(help="A CSV, JSON lines or Parquet file.")],
    target: Annotated[str, typer.Option("--target", metavar="COLUMN", help="The column to be predicted.")],
    directory: Annotated[
        Path, typer.Option("--directory", metavar="DIR", help="Where the plan and its store go. Default: here.")
    ] = Path(),
    as_json: AsJson = False,
) -> None:
    """Profile a file, train a first model, print its score beside a baseline, and leave the plan behind."""
    from tillage.collect import read_file
    from tillage.face.first_look import decide
    from tillage.face.rooms import registry
    from tillage.flow.configuration import load

    screen = Screen(as_json)
    frame, bad = read_file(file)
    decision = decide(frame, target)
    _show_looks(screen, file, frame.height, len(bad), decision)
    directory.mkdir(parents=True, exist_ok=True)
    place, fresh = _place(directory, file, decision)
    if fresh:
        with replacing(place) as temporary:
            temporary.write_text(_text(place, file, decision), encoding="utf-8")
    if fresh and place.name != FILE:
        screen.say(f"{directory / FILE} is another plan and stays as it is; this one is {place.name}.")
    plan = load(place, registry())
    with Watching() as watching, project_of(plan, listen=watching.listen) as project:
        value, outcome = bring_up(project)
        page = None if "error" in value else write_report(project, value)
    code = value["error"]["exit_code"] if "error" in value else FAILED if outcome and outcome.failed else 0
    screen.line()
    for name, facts in value["models"].items():
        show_model(screen, name, facts)
    screen.line()
    screen.line(f"Plan: {place}")
    if page is not None:
        screen.line(f"Report: {page}")
        option = "" if place.name == FILE and directory == Path() else f" --plan {quote(str(place))}"
        screen.line(f"Next: tillage show {MODEL}{option}; or change the plan and: tillage run{option}")
    if "error" in value:
        tell(value["error"], screen)
    screen.result(
        {
            "schema": "tillage.try/1",
            "file": str(file),
            "rows": frame.height,
            "bad": len(bad),
            "target": target,
            "task": decision.task,
            "learner": decision.learner,
            "why": decision.why,
            "input": list(decision.input),
            "columns": [asdict(one) for one in decision.looks],
            "dropped": {one.name: one.why for one in decision.dropped},
            "plan": str(place),
            "report": str(page) if page is not None else None,
            "run": value,
        }
    )
    if code:
        raise typer.Exit(code)


def _show_looks(screen: Screen, file: Path, rows: int, bad: int, decision: Decision) -> None:
    screen.line(f"{file.name}: {many(rows, 'row')}, {len(decision.looks)} columns", style="bold")
    if bad:
        screen.say(f"{bad:,} records could not be read; `tillage run` keeps them in quarantine.")
    shown = [[one.name, one.type, one.missing, one.distinct, _taken(one)] for one in decision.looks]
    screen.table(["column", "type", "missing", "distinct", "taken for"], shown, right=(2, 3))
    screen.line()
    for one in decision.dropped:
        style = "bold yellow" if one.role == "giveaway" else ""
        screen.line(f"left out: '{one.name}' {one.why}", style=style)
    screen.line(f"{decision.task} of '{decision.target}' by {decision.learner}: {decision.why}")


def _taken(one: Look) -> str:
    return one.role if one.used or one.role == "target" else f"{one.role}, left out"


# ---- the plan


def _place(directory: Path, file: Path, decision: Decision) -> tuple[Path, bool]:
    """Where the plan goes, and whether it is to be written: an equal one is used again, another never replaced."""
    from tillage.core.errors import UsageError

    for place in (directory / FILE, directory / f"{_stem(file)}.{FILE}"):
        if not place.exists():
            return place, True
        if place.is_file() and place.read_bytes() == _text(place, file, decision).encode():
            return place, False
    raise UsageError(
        f"{directory / FILE} and {place.name} are there already, with other contents, and are not replaced.",
        fix="Give another folder with --directory DIR, or move one of them away.",
    )


def _stem(file: Path) -> str:
    stem = file.name.removesuffix(".gz")
    return Path(stem).stem or "data"


def _text(place: Path, file: Path, decision: Decision) -> str:
    """The plan, each decision with its reason beside it."""
    table = _name(_stem(file))
    real, root = file.resolve(), place.parent.resolve()
    path = real.relative_to(root).as_posix() if real.is_relative_to(root) else real.as_posix()
    lines = [
        f"# Made by `tillage try` from {_comment(file.name)}. `tillage run` brings it up to date.",
        f"project: {table}",
    ]
    if place.name != FILE:
        lines.append(f"store: {_quoted('.tillage-' + _stem(file))}")
    lines += ["", "tables:", f"  {table}:", f"    collect: {{files: {_quoted(path)}}}"]
    if decision.key is not None:
        lines.append(f"    key: {_quoted(decision.key)}   # another value in each row: a changed row is an update")
    lines += ["", "  ready:", f"    from: {table}"]
    steps = _steps(decision)
    if steps:
        lines += ["    steps:", *steps]
    lines += [
        "",
        "models:",
        f"  {MODEL}:",
        f"    learn: {decision.learner}   # {_comment(decision.why)}",
        "    from: ready",
    ]
    if decision.input:
        lines.append(f"    input: {_list(decision.input)}")
    lines += [
        f"    target: {_quoted(decision.target)}",
        "    split: {test: 0.2}   # a fifth of the rows tests the model and is never learnt from",
    ]
    if decision.time is not None:
        order = f"evaluate: {{folds: 5, time: {_quoted(decision.time)}}}"
        lines.append(f"    {order}   # and again, each part of the time from those before it")
    return "\n".join(lines) + "\n"


def _steps(decision: Decision) -> list[str]:
    lines: list[str] = []
    key = decision.key
    dropped = [one for one in decision.dropped if one.name != key]
    numbers = [name for name in decision.numbers if name not in {one.name for one in dropped}]
    if numbers:
        columns = ", ".join(f'{_quoted(name)}: ""' for name in numbers)
        lines.append(f'      - parse_numbers: {{columns: {{{columns}}}, failing: "null"}}   # a mark stands for a gap')
    if dropped:
        lines += [f"      # {_comment(one.name)}: {_comment(one.why)}" for one in dropped]
        lines.append(f"      - drop: {{columns: {_list([one.name for one in dropped])}}}")
    if decision.learner == "text_classifier":
        lines.append(f"      - normalize: {{columns: {_list(decision.input)}}}   # one form of Unicode, single spaces")
        both = _list([*decision.input, decision.target])
        lines.append(f"      - drop_duplicates: {{columns: {both}}}   # one of each text and class is kept")
    return lines


def _name(stem: str) -> str:
    """A name for the table that tells the file; tables have plain names."""
    from tillage.flow.reading import as_name

    name = as_name(stem)
    return name if name and name not in ("ready", MODEL) else "raw"


def _list(names: Any) -> str:
    return f"[{', '.join(_quoted(name) for name in names)}]"


def _quoted(text: str) -> str:
    """A text as YAML reads it back; plain where that is safe."""
    import yaml

    if text.isascii() and text.isidentifier() and yaml.safe_load(text) == text:
        return text
    dumped = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1_000_000)
    return str(dumped).removesuffix("\n")


def _comment(text: str) -> str:
    return printable(text)
