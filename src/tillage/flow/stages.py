"""A plan compiled to stages: what is computed from what, in an order that can be run.

A table is a chain of stages; Maps that follow one another are one stage, since a chunk passes them in one go. Only the
last stage bears the table's name; those before are `NAME/1`, `NAME/2`. A table with expectations publishes through a
`gate`, so that a version which fails them is never seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Literal

from tillage.core.errors import ConfigurationError
from tillage.core.step import Beside, Comparing, Fit, Fold, Group, Map, Step, Whole
from tillage.flow.plan import Model, Plan, Table
from tillage.flow.registry import Registry
from tillage.store.catalog import dump

Kind = Literal["source", "map", "group", "whole", "result", "learn", "gate"]

BESIDE = "beside "
"""Begins the ports by which expectations see the results that they are judged by."""


@dataclass(frozen=True)
class Pinned:
    """A place in a chain of Maps that the result of another stage fills."""

    stage: str
    makes_children: bool = False
    synthetic: bool = False


ENTRIES = 3
"""How the index of a Group hashes its keys and names its columns: another number, and it is made anew.

Steps of the user's own have no version that follows ours, and entries made in another way would not be found again.
"""


@dataclass(frozen=True)
class Stage:
    """One unit of the run: it has versions, counts and a lock of its target."""

    name: str
    target: str
    kind: Kind
    inputs: dict[str, str] = field(default_factory=dict)
    """Port to the stage that feeds it."""
    step: Step | None = None
    maps: dict[str, tuple[Map | Pinned, ...]] = field(default_factory=dict)
    """Port to the Maps that its rows pass (kind `map`)."""
    first: bool = False
    """It is the first of its table: rows come in from outside."""
    created_before: bool = False
    """Every row was made inside this table, by a Group before this stage."""
    stacks: tuple[str, ...] = ()
    """Stages above this one, or itself, that stack tables of one source: a row may stand twice in them."""
    children: bool = False
    """Rows may have been made inside this table by a Map, and then carry `_parent`."""
    follows: bool = False
    """A result that follows its input at every run (expectations, a profile, a report) instead of staying pinned."""
    pin: int | None = None
    """The version of the table `pinned_to` that a fitted step sees, when the plan says so."""
    pinned_to: str = ""
    """The table whose versions `pin` counts: the one that the plan names, not a hidden stage (`flow.pins`)."""
    place: tuple[str | int, ...] = ()
    """Where the plan asks for it, when it stands beside expectations."""
    model: Model | None = None
    table: Table | None = None

    def fingerprint(self) -> str:
        """What the stage does, apart from its data."""
        return self._whole_fingerprint

    @cached_property
    def _whole_fingerprint(self) -> str:
        asked: list[object] = [self.model.evaluation.model_dump(mode="json")] if self.model else []
        return self._fingerprint(asked)

    def learns(self) -> str:
        """What a model is learnt by, apart from its data: how it is evaluated changes nothing in it."""
        return self._fingerprint([])

    def _fingerprint(self, more: list[object]) -> str:
        parts: list[object] = [self.kind, sorted(self.inputs.items()), self.step.fingerprint() if self.step else ""]
        for port in sorted(self.maps):
            steps = [m.stage if isinstance(m, Pinned) else m.fingerprint() for m in self.maps[port]]
            parts.append([port, steps])
        if self.kind == "source" and self.table:
            parts.append([self.name, list(self.table.key)])
        if self.model:
            parts.append([self.model.name, self.model.split.model_dump(), self.model.test_table])
            parts += more
        if self.pin is not None:
            parts.append(["pin", self.pin])
        if self.kind == "group":
            parts.append(["entries", ENTRIES])
        return sha256(dump(parts).encode()).hexdigest()[:32]

    def pinned(self) -> set[str]:
        """The stages whose results this one uses as Maps."""
        return {m.stage for chain in self.maps.values() for m in chain if isinstance(m, Pinned)}

    def needs(self) -> set[str]:
        """Every stage that must be up to date before this one."""
        return set(self.inputs.values()) | self.pinned()


def compile_plan(plan: Plan, registry: Registry) -> dict[str, Stage]:
    """All stages by name, in an order in which each comes after what it needs."""
    stages: dict[str, Stage] = {}
    for name in _order(plan):
        table = plan.tables[name]
        if table.score and table.score not in stages:
            stages |= {stage.name: stage for stage in _model(plan.models[table.score], plan, registry)}
        stages |= {stage.name: stage for stage in _table(table)}
    for model in plan.models.values():
        if model.name not in stages:
            stages |= {stage.name: stage for stage in _model(model, plan, registry)}
    _refuse_synthetic(stages)
    return _with_stacks(stages)


def _refuse_synthetic(stages: Mapping[str, Stage]) -> None:
    """Raise ConfigurationError where rows made up for training would be lost sight of, or be made twice.

    A Group makes rows of its own out of them, which nobody could tell from real ones when a split asks.
    """
    above: dict[str, dict[str, str]] = {}
    for name, stage in stages.items():
        found = {key: step for source in stage.inputs.values() for key, step in above[source].items()}
        if stage.kind == "group" and found:
            raise ConfigurationError(
                f"Table '{stage.target}' would mix real rows with those of {', '.join(sorted(set(found.values())))}.",
                fix=f"Put it after {stage.step.name() if stage.step else stage.kind}: rows are made up last.",
            )
        for step in (m for chain in stage.maps.values() for m in chain if m.synthetic):
            key, said = (step.stage, step.stage) if isinstance(step, Pinned) else (step.fingerprint(), step.name())
            if key in found and not isinstance(step, Pinned):
                raise ConfigurationError(
                    f"Table '{stage.target}' takes the step {said} twice, and would make every row twice.",
                    fix="Give the second one another `seed`, or ask the first for more `copies`.",
                )
            found[key] = said
        above[name] = found


def _is_synthetic(plan: Plan, table: str) -> bool:
    """Whether rows of the table may be made up."""
    held = plan.tables[table]
    return any(step.synthetic for step in held.steps) or any(_is_synthetic(plan, above) for _, above in held.inputs)


def _with_stacks(stages: dict[str, Stage]) -> dict[str, Stage]:
    """Each stage with the stacks above it in which one row may stand twice; a Group makes rows of its own."""
    origins: dict[str, set[str]] = {}
    out: dict[str, Stage] = {}
    for name, stage in stages.items():
        above = [origins[source] for source in stage.inputs.values()]
        rows = set().union(*above) if above and stage.kind != "group" else {name}
        kin = stage.kind == "map" and len(set().union(*above)) < sum(len(a) for a in above)
        stacks = {s for source in stage.inputs.values() for s in out[source].stacks if out[source].kind != "group"}
        origins[name] = rows
        out[name] = replace(stage, stacks=tuple(sorted(stacks | ({name} if kin else set()))))
    return out


def beside_of(table: Table) -> tuple[Beside, ...]:
    """What the expectations of a table are judged by, beside its own rows."""
    return table.expect.beside() if isinstance(table.expect, Comparing) else ()


def needed_tables(table: Table, models: Mapping[str, Model | None]) -> list[str]:
    """The tables that must stand before this one: those that it is made from, those that its checks refer to, and those
    that the model learns from which scores it."""
    referred = [b.table for b in beside_of(table) if b.table not in {None, table.name}]
    scores = models.get(table.score) if table.score else None
    learnt = [scores.table, scores.test_table] if scores is not None else []
    made = [name for _, name in table.inputs]
    return list(dict.fromkeys([*made, *(name for name in (*referred, *learnt) if name)]))


def _order(plan: Plan) -> list[str]:
    done: list[str] = []
    waiting = dict(plan.tables)
    for table in waiting.values():
        if table.score and table.score not in plan.models:
            raise ConfigurationError(f"Table '{table.name}' is scored by '{table.score}', which is no model.")
        for beside in beside_of(table):
            if beside.table is not None and beside.table not in waiting:
                raise ConfigurationError(
                    f"The expectations of '{table.name}' name '{beside.table}', which is no table."
                )
    while waiting:
        ready = [n for n, t in waiting.items() if all(i in done for i in needed_tables(t, plan.models))]
        if not ready:
            raise ConfigurationError(f"The tables {', '.join(sorted(waiting))} feed one another in a circle.")
        for name in ready:
            done.append(name)
            del waiting[name]
    return done


class _Chain:
    """The stages of one target in the making."""

    def __init__(self, target: str, table: Table | None = None) -> None:
        self.target, self.table = target, table
        given = table.inputs if table else ()
        self.named_in = given[0][1] if len(given) == 1 else target
        """The table whose versions `fit_on` counts: the one that it is made from, itself where that is not one."""
        self.stages: list[Stage] = []
        self.maps: dict[str, list[Map | Pinned]] = {}
        self.inputs: dict[str, str] = {}
        self.first = True
        self.created = self.children = False

    def name(self) -> str:
        return f"{self.target}/{len(self.stages) + 1}"

    def flush(self, *, always: bool = False) -> str:
        """Close the Maps seen so far into a stage; the name of the stage that holds the rows now."""
        if always or len(self.inputs) > 1 or any(self.maps.values()):
            self._add("map", maps={port: tuple(self.maps.get(port, ())) for port in self.inputs})
        return next(iter(self.inputs.values()))

    def step(self, step: Step) -> None:
        if isinstance(step, Map):
            for port in self.inputs:
                self.maps.setdefault(port, []).append(step)
            self.children = self.children or step.makes_children
        elif isinstance(step, Fold | Fit):
            at = self.flush()
            name = f"{self.target}/{len(self.stages) + 1}-{step.name()}"
            pin = (self.table.fit_on if self.table else {}).get(step.name())
            self.stages.append(Stage(name, self.target, "result", {"rows": at}, step, pin=pin, pinned_to=self.named_in))
            self.maps.setdefault("rows", []).append(Pinned(name, step.makes_children, step.synthetic))
            self.children = self.children or step.makes_children
        elif isinstance(step, Group):
            if not (len(self.inputs) > 1 and set(step.ports) == set(self.inputs)):
                self.flush()
            self._add("group", step=step)
            self.created = True
        elif isinstance(step, Whole):
            self.flush()
            self._add("whole", step=step)
        else:
            raise ConfigurationError(f"'{step.name()}' cannot stand among the steps of a table.")

    def _add(
        self, kind: Kind, step: Step | None = None, maps: Mapping[str, tuple[Map | Pinned, ...]] | None = None
    ) -> None:
        stage = Stage(
            self.name(),
            self.target,
            kind,
            dict(self.inputs),
            step,
            dict(maps or {}),
            first=self.first,
            created_before=self.created,
            children=self.children,
            table=self.table,
        )
        self.stages.append(stage)
        self.inputs, self.maps, self.first = {"rows": stage.name}, {}, False

    def named(self, name: str) -> None:
        """Give the last stage that holds rows the name of the table."""
        held = next(iter(self.inputs.values()))
        self.stages = [_renamed(s, held, name) for s in self.stages]
        self.inputs = {"rows": name}


def _renamed(stage: Stage, old: str, new: str) -> Stage:
    values = {**stage.__dict__}
    values["name"] = new if stage.name == old else stage.name
    values["inputs"] = {p: new if s == old else s for p, s in stage.inputs.items()}
    return Stage(**values)


def _table(table: Table) -> list[Stage]:
    chain = _Chain(table.name, table)
    if table.source is not None:
        source = Stage(f"{table.name}/source", table.name, "source", {}, table.source, first=True, table=table)
        chain.stages.append(source)
        chain.inputs, chain.first = {"rows": source.name}, False
    else:
        chain.inputs = dict(table.inputs)
    for step in table.steps:
        chain.step(step)
    if table.score:
        for port in chain.inputs:
            chain.maps.setdefault(port, []).append(Pinned(table.score))
    if chain.first:
        chain.flush(always=True)
    else:
        chain.flush()
    if table.expect is not None:
        held = next(iter(chain.inputs.values()))
        inputs = {"rows": held}
        for n, beside in enumerate(beside_of(table), 1):
            stage = _beside(table, held, beside, n)
            chain.stages.append(stage)
            inputs[f"{BESIDE}{n}"] = stage.name
        check = Stage(f"{table.name}/expect", table.name, "result", inputs, table.expect, follows=True, table=table)
        chain.stages.append(check)
        gate = Stage(table.name, table.name, "gate", {"rows": held, "verdicts": check.name}, table=table)
        chain.stages.append(gate)
    else:
        chain.named(table.name)
    if table.profile is not None:
        chain.stages.append(
            Stage(
                f"{table.name}/profile",
                table.name,
                "result",
                {"rows": table.name},
                table.profile,
                follows=True,
                table=table,
            )
        )
    for report in table.reports:
        reported = f"{table.name}/{report.name()}"
        chain.stages.append(
            Stage(reported, table.name, "result", {"rows": table.name}, report, follows=True, table=table)
        )
    return chain.stages


def _beside(table: Table, held: str, beside: Beside, number: int) -> Stage:
    """The stage of a result that expectations are judged by; its own rows are those before the gate."""
    source = held if beside.table in {None, table.name} else str(beside.table)
    return Stage(
        f"{table.name}/beside-{number}",
        table.name,
        "result",
        {"rows": source},
        beside.step,
        follows=beside.version is None,
        pin=beside.version,
        pinned_to=table.name,
        place=("tables", table.name, "expect", *beside.place),
        table=table,
    )


def _model(model: Model, plan: Plan, registry: Registry) -> list[Stage]:
    """Rows with their side, rows without leaks, then the learner."""
    split = model.split
    salt = split.like or model.name
    side = registry.split
    chain = _Chain(model.name)
    chain.inputs = {"rows": model.table}
    if model.test_table:
        chain.inputs["test"] = model.test_table
        chain.maps["rows"] = [side.model_validate({"test": 0.0, "salt": salt, "column": SIDE})]
        chain.maps["test"] = [side.model_validate({"test": 1.0, "salt": salt, "column": SIDE})]
    else:
        chain.maps["rows"] = [
            side.model_validate(
                {"test": split.test, "group": split.group, "seed": split.seed, "salt": salt, "column": SIDE}
            )
        ]
    chain.flush(always=True)
    leaks = leak_step(model, plan, registry)
    if leaks is not None:
        chain.step(leaks)
    if split.group is not None and _is_synthetic(plan, model.table):
        chain.step(registry.synthetic_leaks.model_validate({"column": SIDE}))
    held = next(iter(chain.inputs.values()))
    stages = chain.stages
    learn = Stage(model.name, model.name, "learn", {"rows": held}, model.learner, pin=model.fit_on, model=model)
    stages.append(replace(learn, pinned_to=model.table))
    return stages


def leak_step(model: Model, plan: Plan, registry: Registry) -> Whole | None:
    """The Whole that removes training rows too near a row that tests; None where the plan keeps them."""
    if model.split.leak is None:
        return None
    unseen = {*hidden(model, plan), str(getattr(model.learner, "target", ""))} - {SIDE}
    settings = {"similarity": model.split.leak, "ignore": sorted(unseen)}
    return registry.leaks.model_validate({"columns": features(model), "column": SIDE, **settings})


SIDE = "tillage:side"
"""The column that says on which side of its split a row of a model's table is."""


def features(model: Model) -> tuple[str, ...]:
    """The columns that a model's plan names as its input; empty: all but target, key, subject and group."""
    named = getattr(model.learner, "input", None)
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else tuple(named)


def hidden(model: Model, plan: Plan) -> set[str]:
    """Columns that a learner without `input` must not see: keys, subjects, the group and the side.

    The target is none of them: who wrote a text may be the subject of its row, and what is asked for.
    """
    named = set(features(model))
    out = {SIDE}
    if model.split.group:
        out.add(model.split.group)
    seen, waiting = set(), [model.table]
    while waiting:
        table = plan.tables[waiting.pop()]
        if table.name in seen:
            continue
        seen.add(table.name)
        out |= set(table.key) | ({table.subject} if table.subject else set())
        waiting += [i for _, i in table.inputs]
    return out - named - {getattr(model.learner, "target", None)}
