"""`score`: predictions for the rows of a file, one line for each of its records, none lost.

The file is read as data of the model's table would be (columns of text stay the text that was written), and its bad
records stand in the output with their reason. A CSV is written for spreadsheets too: text that one would run as a
formula gets a leading quote (OWASP, CSV Injection). Bytes, such as pictures, are written in base64 there and in JSON
lines, and are read so. Answers are kept in the store: a file that was begun, or has grown, is not answered twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen, many
from tillage.face.whole_file import replacing

if TYPE_CHECKING:
    import polars as pl

    from tillage.core.step import BadRecord
    from tillage.flow.score import Way

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
FORMULA = r"^[=+\-@\t\r]"
"""How a text begins that a spreadsheet takes for a formula."""


def score(
    *,
    model: Annotated[str, typer.Argument(help="A model of the plan.")],
    source: Annotated[Path, typer.Option("--input", metavar="FILE", help="CSV, JSON lines or Parquet to be scored.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="Where predictions go: .csv, .jsonl, .parquet.")
    ],
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="csv, jsonl or parquet. Default: by the name of the output."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TABLE", help="The table whose rows the file is like. Default: the raw one."),
    ] = None,
    no_guard: Annotated[
        bool, typer.Option("--no-guard", help="Write text that looks like a formula as it is.")
    ] = False,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Predict for each row of a file: its columns, then prediction, confidence and error. Answers are kept: again, or
    after a kill, only new rows are answered."""
    from tillage.core.errors import InputMissing
    from tillage.flow import score as scorer
    from tillage.flow.kept_answers import KeptAnswers
    from tillage.text.spans import structured

    screen = Screen(as_json)
    kind = _format(output, form)
    _distinct(source, output)
    with open_project(plan, ran=True) as project:
        known("model", model, project.plan.models)
        if start is not None:
            known("table", start, project.plan.tables)
        at = project.store.latest(model)
        if at is None:
            raise InputMissing(f"Model '{model}' has not been trained yet.", fix="Run `tillage run`.")
        taken = scorer.way(project, project.plan.models[model].table, start)
        fitted = project.model(model)
        learner = project.plan.models[model].learner
        rows, numbers, bad = _read(source, taken)
        kept = KeptAnswers(project.store, taken, fitted, at.facts["digest"])
        answered = _with_bad(scorer.score(taken, fitted, rows, kept), numbers, bad)
    if kind != "csv" and getattr(learner, "task", "") == "token_classification":
        answered = answered.with_columns(structured(answered["prediction"]))
    with replacing(output) as temporary:
        _write(answered, temporary, kind, guard=not no_guard, came=source)
    turned_away = Counter(e for e in answered["error"].to_list() if e is not None)
    value = {
        "schema": "tillage.score/1",
        "model": model,
        "version": at.version,
        "from": taken.start,
        "input": str(source),
        "output": str(output),
        "rows": answered.height,
        "predicted": answered.height - turned_away.total(),
        "anew": kept.anew,
        "bad": dict(Counter(b.reason for b in bad)),
        "errors": dict(turned_away.most_common(20)),
        "passed_over": list(taken.passed_over),
    }
    screen.line(f"{many(answered.height, 'row')}, {value['predicted']:,} predicted by {model} v{at.version}: {output}")
    if kept.anew < rows.height:
        screen.line(f"Answered {kept.anew:,} of {many(rows.height, 'row')} anew; the others were kept from before.")
    if kept.unkept:
        screen.say(f"These answers are not kept: {kept.unkept}.")
    for reason, n in turned_away.most_common(20):
        screen.say(f"{many(n, 'row')} without a prediction: {reason}")
    if taken.passed_over:
        screen.say(f"Passed over, since they look across rows: {', '.join(taken.passed_over)}.")
    screen.result(value)


def _format(output: Path, given: str | None) -> str:
    from tillage.core.errors import InputMissing, UsageError

    if not output.parent.is_dir():
        raise InputMissing(f"There is no folder {output.parent}.", fix="Make it, or write elsewhere.")
    kind = given if given is not None else FORMATS.get(output.suffix.lower())
    if kind not in FORMATS.values():
        raise UsageError(
            f"'{given or output.name}' is not a format that is written.",
            fix="End the output's name in .csv, .jsonl or .parquet, or say --format csv.",
        )
    return str(kind)


def _distinct(source: Path, output: Path) -> None:
    from tillage.core.errors import UsageError

    if output.exists() and source.exists() and output.samefile(source):
        raise UsageError(f"The output would replace the input {source}.", fix="Give --output another name.")


# ---- reading


def _read(path: Path, taken: Way) -> tuple[pl.DataFrame, list[int], list[BadRecord]]:
    """The rows of a file, the record number of each, and the records that are no rows.

    `collect.read_file`, except that what the model's table holds as text is not turned into numbers on the way.
    """
    import polars as pl

    from tillage.collect import Files
    from tillage.core.errors import BadData, InputMissing

    place = path.resolve()
    if not place.is_file():
        raise InputMissing(f"{path} is not there, or is no file.", fix="Check the path after --input.")
    files = Files(path=place.name)
    state = files.observe(place.parent, place.name)
    types = files.column_types([state])
    written = {c for c, dtype in taken.schema.items() if dtype in (pl.String, pl.Binary)}  # bytes in base64
    texts = {c: "text" for c in written & types.keys() if types[c] != "Binary"}
    batches = list(files.read(place.parent, place.name, {**types, **texts}))
    bad = [record for batch in batches for record in batch.bad]
    if "failed" in state:
        raise BadData(f"{path}: {bad[0].message if bad else state['failed']}", fix="Mend the file, or leave it out.")
    rows = pl.concat([batch.rows for batch in batches])
    return rows, [n for batch in batches for n in batch.records.to_list()], bad


def _with_bad(answered: pl.DataFrame, numbers: list[int], bad: list[BadRecord]) -> pl.DataFrame:
    """The answers and the bad records in the order of the file."""
    import polars as pl

    if not bad:
        return answered
    place = pl.Series("_record", numbers, dtype=pl.Int64)
    said = pl.DataFrame(
        {"_record": [b.record for b in bad], "error": [f"{b.reason}: {b.message}" for b in bad]},
        schema={"_record": pl.Int64, "error": pl.String},
    )
    both = pl.concat([answered.with_columns(place), said], how="diagonal")
    return both.sort("_record", maintain_order=True).drop("_record")


# ---- writing


def _write(frame: pl.DataFrame, path: Path, kind: str, *, guard: bool, came: Path) -> None:
    import polars as pl

    if kind != "parquet":
        frame = frame.with_columns(pl.selectors.binary().bin.encode("base64"))
    if kind == "csv":
        (guarded(frame) if guard else frame).write_csv(path)
    elif kind == "jsonl":
        path.write_text("".join(f"{line}\n" for line in as_they_came(frame, came)), encoding="utf-8")
    else:
        frame.write_parquet(path)


def as_they_came(frame: pl.DataFrame, source: Path) -> Iterator[str]:
    """The frame as JSON lines, a line each; where the rows came as JSON lines, numbers are no text again.

    A column that holds numbers and texts is a column of text, but what was a number, a truth value or nested is given
    back as that.

    >>> import tempfile
    >>> import polars as pl
    >>> file = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = file.write_text('{"x": 1}\\n{"x": "1"}\\n')
    >>> list(as_they_came(pl.DataFrame({"x": ["1", "1"], "prediction": ["a", "b"]}), file))
    ['{"x":1,"prediction":"a"}', '{"x":"1","prediction":"b"}']
    """
    import polars as pl

    texts = [c for c, dtype in frame.schema.items() if dtype == pl.String and c not in ("prediction", "error")]
    lines = frame.write_ndjson().split("\n")[:-1]  # a text may hold what else ends a line elsewhere
    records = _records(source) if texts else []
    if len(records) != len(lines):  # of another format
        yield from lines
        return
    for line, record in zip(lines, records, strict=True):
        other = [c for c in texts if record.get(c) is not None and not isinstance(record[c], str)]
        if not other:
            yield line
            continue
        made = {**json.loads(line), **{c: record[c] for c in other}}
        yield json.dumps(made, ensure_ascii=False, separators=(",", ":"))


def _records(source: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines in UTF-8, a bad one as an empty one; nothing of another file."""
    found: list[dict[str, Any]] = []
    for line in source.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line.strip(b" \t\r"):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            found.append(value if isinstance(value, dict) else {})
    return found if any(found) else []


def guarded(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with a quote before each text, in cells and in names, that a spreadsheet would run.

    >>> import polars as pl
    >>> guarded(pl.DataFrame({"t": ["=1+1", "a-b", None], "n": [-1, 0, 1]})).rows()
    [("'=1+1", -1), ('a-b', 0), (None, 1)]
    """
    import re

    import polars as pl

    made = frame.with_columns(
        pl.when(text.str.contains(FORMULA)).then(pl.concat_str(pl.lit("'"), text)).otherwise(text).name.keep()
        for text in [pl.col(c) for c, dtype in frame.schema.items() if dtype == pl.String]
    )
    return made.rename({c: f"'{c}" for c in frame.columns if re.match(FORMULA, c)})
