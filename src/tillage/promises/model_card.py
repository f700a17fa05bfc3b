"""A model's card as Hugging Face reads it: a YAML head for machines, then Markdown for people.

Every score stands beside its baselines and its interval, warnings come before them, and what people must say (what the
model is for) is marked as missing where the plan does not say it. Text of the user is data: it is escaped.
Sources: Mitchell et al., Model Cards for Model Reporting, FAT* 2019; the model card metadata of the Hugging Face Hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tillage.promises.card_facts import CardFacts

_TYPES = {"macro_f1": "f1", "r2": "r_squared", "brier": "brier_score"}
"""Names of metrics on the Hub, where they are not ours."""

_NOT_SAID = "*Not said. The plan's `card` can say it.*"


def model_card(facts: CardFacts) -> str:
    """The text of README.md: head and body; it ends with a newline."""
    return f"---\n{_head(facts)}---\n\n{_body(facts)}"


def task_type(facts: CardFacts) -> str:
    """The task as the Hub names it: `text-classification`, `tabular-regression`, ..."""
    if facts.task == "token_classification":
        return "token-classification"
    kind = "text" if facts.learner in ("text_classifier", "naive_bayes") else "tabular"
    return f"{kind}-{facts.task}"


def _head(facts: CardFacts) -> str:
    import yaml

    card, report = facts.declared, facts.report
    head: dict[str, Any] = {}
    if card.language:
        head["language"] = list(card.language)
    if card.licence:
        head["license"] = card.licence.lower()
    head |= {
        "library_name": "tillage",
        "pipeline_tag": task_type(facts),
        "tags": ["tillage", task_type(facts), facts.learner],
        "metrics": [_TYPES.get(name, name) for name in report["metrics"]],
    }
    measured = [
        {"type": _TYPES.get(name, name), "value": float(value), "name": f"{name} on the test rows"}
        for name, value in report["metrics"].items()
    ]
    if measured:
        last = facts.data[-1] if facts.data else None
        dataset = {"type": facts.project, "name": f"{last.name} version {last.version}" if last else facts.project}
        result = {"task": {"type": task_type(facts)}, "dataset": dataset, "metrics": measured}
        head["model-index"] = [{"name": facts.model, "results": [result]}]
    text: str = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return text


def _body(facts: CardFacts) -> str:
    card, report = facts.declared, facts.report
    parts = [
        f"# {plain(facts.model)}",
        f"A {facts.task.replace('_', ' ')} of {code(facts.target)} by `{facts.learner}`, of the project "
        f"{plain(facts.project)}: version {facts.version}, made {facts.created}, digest `{facts.digest}`. Made by "
        "Tillage.",
        "## Intended use",
        plain(card.intended_use) or _NOT_SAID,
        "### Out of scope",
        plain(card.out_of_scope) or _NOT_SAID,
        "### Limitations",
        plain(card.limitations) or _NOT_SAID,
    ]
    if report["warnings"]:
        parts += ["## Warnings", "\n".join(f"- {plain(warning)}" for warning in report["warnings"])]
    parts += ["## Scores", *_scores(report)]
    parts += _slices(report)
    parts += _fairness(report)
    columns = (report.get("importance") or {}).get("columns") or []
    if columns:
        metric = report["importance"]["metric"]
        rows = [[plain(c["column"]), _number(c["loss"])] for c in columns]
        parts += ["## What it goes by", _table(["column", f"{metric} added when shuffled"], rows)]
    parts += ["## Training", *_training(facts)]
    parts += ["## Data", *_data(facts)]
    if card.authors:
        parts += ["## Authors", ", ".join(plain(author) for author in card.authors)]
    return "\n\n".join(parts) + "\n"


def _scores(report: Mapping[str, Any]) -> Iterable[str]:
    if not report["metrics"]:
        yield "The model is not evaluated."
        return
    linear = report.get("linear") or {"metrics": {}, "note": "not measured"}
    rows = []
    for name, value in report["metrics"].items():
        interval = " to ".join(map(_number, report["interval"].get(name) or ()))
        beside = [_number(report["baseline"][name]), _number(linear["metrics"].get(name))]
        rows.append([name, _number(value), *beside, interval])
    yield _table(["metric", "score", "naive baseline", "linear model", "95 % interval"], rows)
    yield (
        f"On {report['test']:,} rows that training did not see ({report['train']:,} rows). Looks at them so far: "
        f"{report['looks']:,}. Linear model: {plain(linear['note'])}."
    )
    folds = report.get("cross_validation") or {}
    if folds.get("mean"):
        spread = folds["spread"]
        lines = [[n, _number(v), _number(spread[n]), _number(folds["baseline"][n])] for n, v in folds["mean"].items()]
        yield f"Cross-validation on the training rows, {len(folds['folds'])} folds:"
        yield _table(["metric", "mean", "standard deviation", "naive baseline"], lines)


def _slices(report: Mapping[str, Any]) -> Iterable[str]:
    found = report.get("slices") or {}
    asked = found.get("asked", ())
    shown = {(s["column"], s["value"]) for s in asked}
    some = [*asked, *(s for s in found.get("worst", ()) if (s["column"], s["value"]) not in shown)]
    if some:
        rows = [
            [plain(s["column"]), plain(s["value"]), f"{s['rows']:,}", _number(s["score"]),
             " to ".join(map(_number, s["interval"])), _number(s["rest"])]
            for s in some
        ]  # fmt: skip
        yield "### By slice"
        yield _table(["column", "value", "test rows", found["metric"], "95 % interval", "of the rest"], rows)


def _fairness(report: Mapping[str, Any]) -> Iterable[str]:
    found = report.get("fairness") or {}
    rates = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "accuracy")
    for one in found.get("columns") or ():
        rows = [[plain(g["value"]), f"{g['rows']:,}", *(_number(g[r]) for r in rates)] for g in one["groups"]]
        rows.append(["greatest difference", "", *(_number(one["differences"][r]) for r in rates)])
        rows.append(["least ratio", "", *(_number(one["ratios"][r]) for r in rates)])
        yield f"### Groups by {plain(one['column'])}: who is predicted to be {plain(found['favourable'])}"
        yield _table(["group", "test rows", *(r.replace("_", " ") for r in rates)], rows)


def _training(facts: CardFacts) -> Iterable[str]:
    rows = [[code(name, cell=True), code(str(value), cell=True)] for name, value in sorted(facts.parameters.items())]
    yield _table(["parameter", "value"], rows)
    yield f"Columns that it reads: {', '.join(map(code, facts.inputs)) or 'none'}."
    yield f"Libraries: {', '.join(f'{name} {version}' for name, version in facts.libraries)}."


def _data(facts: CardFacts) -> Iterable[str]:
    rows = [
        [plain(d.name), str(d.version), f"{d.rows:,}", f"`{d.digest}`", plain(d.licence) or "not said",
         plain(", ".join(d.steps)) or "read"]
        for d in facts.data
    ]  # fmt: skip
    yield _table(["table", "version", "rows", "digest", "licence", "steps"], rows)
    files = [[plain(path), f"`{digest}`"] for d in facts.data for path, digest in d.files]
    if files:
        yield _table(["read from", "SHA-256"], files)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def plain(text: str) -> str:
    """Text of the user as Markdown shows it: no markup, no table cell, no line of its own comes out of it.

    >>> plain("a|b <script> *c*\\n# d")
    'a\\\\|b &lt;script\\\\> \\\\*c\\\\* # d'
    """
    one_line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    escaped = re.sub(r"([\\`*_\[\]|>~])", r"\\\1", one_line)
    return f"\\{escaped}" if re.match(r"[#+-]|\d+[.)]", escaped) else escaped


def code(text: str, *, cell: bool = False) -> str:
    """Text as a code span, the text itself unchanged but for line breaks; `cell`: within a table, where a bar would end
    the cell.

    >>> code("a|b"), code("a|b", cell=True), code("a`b")
    ('`a|b`', '`a\\\\|b`', '``a`b``')
    """
    one_line = re.sub(r"[\r\n\v\f\x85\u2028\u2029]+", " ", text)
    if cell:
        one_line = one_line.replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", one_line)), default=0) + 1)
    room = " " if one_line.startswith("`") or one_line.endswith("`") else ""
    return f"{fence}{room}{one_line}{room}{fence}"
