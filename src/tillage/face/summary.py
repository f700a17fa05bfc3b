"""The `tillage.run/1` object for people: what became of each row, and each score beside its baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tillage.face.screen import Screen, many, printable


def show_summary(screen: Screen, summary: Mapping[str, Any], *, digest: bool = False) -> None:
    """Everything: tables, models, checks, warnings last."""
    widest = max((len(name) for name in summary["tables"]), default=0)
    for name, facts in summary["tables"].items():
        screen.line(f"{name:<{widest}}  {counts(facts)}")
        if digest:
            screen.line(f"{'':<{widest}}  digest {facts['digest']}")
    for name, facts in summary["models"].items():
        screen.line()
        show_model(screen, name, facts, digest=digest)
    show_checks(screen, summary.get("checks", []))


def counts(facts: Mapping[str, Any]) -> str:
    """One line of law 1: where the rows that came in went, and what the rows that are there were.

    >>> counts({"version": 1, "in": 5, "kept": 2, "created": 0, "dropped": {"old": 2}, "merged": 1, "consumed": 0,
    ...         "quarantined": {}, "rows": 2, "touched": 5})
    'v1  in 5 = kept 2 + dropped 2 (old 2) + merged 1; rows 2 = kept 2; touched 5'
    """
    parts = [f"kept {facts['kept']:,}"]
    for way in ("dropped", "merged", "consumed", "quarantined"):
        count = facts[way]
        reasons = ""
        if isinstance(count, Mapping):
            reasons = f" ({', '.join(f'{printable(reason)} {n:,}' for reason, n in count.items())})"
            count = sum(count.values())
        if count:
            parts.append(f"{way} {count:,}{reasons}")
    created = f" + created {facts['created']:,}" if facts["created"] else ""
    made = f"rows {facts['rows']:,} = kept {facts['kept']:,}{created}"
    return f"v{facts['version']}  in {facts['in']:,} = {' + '.join(parts)}; {made}; touched {facts['touched']:,}"


def show_model(screen: Screen, name: str, facts: Mapping[str, Any], *, digest: bool = False) -> None:
    """A model: its rows, each metric beside its baselines and interval, its warnings."""
    left = f", {many(sum(facts['left'].values()), 'row')} left out ({_reasons(facts['left'])})" if facts["left"] else ""
    sides = f"trained on {many(facts['train'], 'row')}, tested on {many(facts['test'], 'row')}"
    screen.line(f"{name}  v{facts['version']}  {sides}{left}", style="bold")
    linear = facts.get("linear") or {"metrics": {}, "note": "not measured"}
    if facts["metrics"]:
        rows = []
        for metric, value in facts["metrics"].items():
            low, high = facts["interval"].get(metric) or (None, None)
            around = "" if low is None else f"{figure(low)} to {figure(high)}"
            plain = [figure(linear["metrics"].get(metric))] if linear["metrics"] else []
            rows.append([f"  {metric}", figure(value), figure(facts["baseline"].get(metric)), *plain, around])
        head = ["", "score", "baseline", *(["linear"] if linear["metrics"] else []), "95 % interval"]
        screen.table(head, rows, right=tuple(range(1, len(head) - 1)))
        screen.line(f"  linear model beside it: {linear['note']}")
        screen.line(f"  looks at this test part so far: {facts['looks']:,}")
    if digest:
        screen.line(f"  digest {facts['digest']}")
    show_warnings(screen, facts["warnings"])


def show_warnings(screen: Screen, warnings: list[str]) -> None:
    """Warnings belong to the result: they stand where the score stands."""
    for warning in warnings:
        screen.line(f"  WARNING: {warning}", style="bold yellow")


def show_checks(screen: Screen, checks: list[dict[str, Any]]) -> None:
    """Expectations: one line each, those that failed marked."""
    if checks:
        screen.line()
    for check in checks:
        word, style = ("ok", "") if check["passed"] else ("FAILED", "bold red")
        screen.line(f"{word:<6}  {check['table']}: {check['name']}. {check['why']}", style=style)


def figure(value: float | None) -> str:
    """A score with four decimals, a larger number with fewer.

    >>> figure(0.91428), figure(1234.5), figure(None)
    ('0.9143', '1,234', '–')
    """
    from tillage.draw import number

    if isinstance(value, float) and abs(value) < 10 and (abs(value) >= 1e-3 or value == 0):
        return f"{value:.4f}"
    return number(value)


def _reasons(left: Mapping[str, int]) -> str:
    return ", ".join(f"{printable(reason)} {n:,}" for reason, n in left.items())


def flattened(report: Mapping[str, Any], above: str = "") -> list[dict[str, Any]]:
    """A report of reports as lines: what, and its value.

    >>> flattened({"rows": 2, "columns": {"note": {"phone": {"found": 1}}}})
    [{'what': 'rows', 'value': 2}, {'what': 'columns, note, phone, found', 'value': 1}]
    """
    lines: list[dict[str, Any]] = []
    for name, value in report.items():
        what = f"{above}, {name}" if above else str(name)
        lines += flattened(value, what) if isinstance(value, Mapping) else [{"what": what, "value": value}]
    return lines
