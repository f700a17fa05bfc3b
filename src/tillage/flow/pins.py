"""Pins: `fit_on: N` counts the versions of the table that the plan names, and becomes one of the stage that is read.

Between the two may lie hidden stages (Maps before the fitted step, the split of a model). What each version was made
from is on record, so the stage's version that stands for N is found by walking those records; no row is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from tillage.core.errors import ConfigurationError, InputMissing, Problem
from tillage.flow.places import problem_at
from tillage.flow.plan import Plan
from tillage.flow.stages import Stage
from tillage.store.catalog import dump
from tillage.store.tables import Store, Version

COMPACTION = "compaction"
"""Why of a version that holds the rows of the one before it, in other chunks."""

LISTED = 12
"""Versions that a message names before it shortens them."""


def fingerprint_with_pins(store: Store, stage: Stage) -> str:
    """What a stage does, with the fitted Maps that it uses as they are pinned now."""
    pins = []
    for name in sorted(stage.pinned()):
        version = store.latest(name)
        pins.append([name, version.facts.get("digest") if version else None])
    own = stage.fingerprint()
    return sha256(dump([own, pins]).encode()).hexdigest()[:32] if pins else own


def pinned_version(store: Store, stage: Stage) -> int | None:
    """The version of the stage's input that stands for its pin; None where the run under way makes version 1.

    Raises InputMissing when there is none, naming those that there are.
    """
    if stage.pin is None:
        return None
    found = _standing_for(store, stage, stage.pin)
    if found is None and (stage.pin != 1 or store.latest(stage.pinned_to) is not None):
        raise InputMissing(fault(store, stage), fix=f"Mend '{_word(stage)}' in the plan.")
    return found


def refuse_missing(store: Store, stages: Mapping[str, Stage], plan: Plan, wanted: Iterable[str]) -> None:
    """Raise ConfigurationError with each pin among the wanted stages whose version there is not."""
    problems: list[Problem] = []
    words: dict[str, None] = {}
    for stage in (stages[name] for name in wanted):
        if stage.pin is None or _stands(store, stage):
            continue
        try:
            pinned_version(store, stage)
        except InputMissing as error:
            problems.append(problem_at(plan, error.message, _path(stage)))
            words[f"'{_word(stage)}'"] = None
    if problems:
        raise ConfigurationError(problems, fix=f"Mend {' and '.join(words)}, or leave it out.")


def fault(store: Store, stage: Stage) -> str:
    """What is wrong with a pin whose version there is not."""
    step = "" if stage.kind == "learn" or stage.step is None else f".{stage.step.name()}"
    what = "model" if stage.kind == "learn" else "table"
    kept = [v for v in store.versions(stage.pinned_to) if "erased" not in v.facts]
    fit = [v.version for v in kept if _standing_for(store, stage, v.version) is not None]
    table = f"'{stage.pinned_to}'"
    why = f"was never seen by {what} '{stage.target}'" if stage.pin in [v.version for v in kept] else "is not there"
    there = f"there {'is version' if len(fit) == 1 else 'are versions'} {_named(fit)}" if fit else "there is none yet"
    word = "from_version" if stage.place else f"fit_on{step}"
    return f"'{word}' of {what} '{stage.target}': version {stage.pin} of {table} {why}; {there}."


def _word(stage: Stage) -> str:
    return "from_version" if stage.place else "fit_on"


def _path(stage: Stage) -> tuple[str | int, ...]:
    if stage.place:
        return stage.place
    if stage.kind == "learn":
        return ("models", stage.target, "fit_on")
    return ("tables", stage.target, "fit_on", stage.step.name() if stage.step else "")


def _stands(store: Store, stage: Stage) -> bool:
    """It was fitted on this pin, and the version that it saw is still there to be read."""
    last = store.latest(stage.name)
    if last is None or last.facts.get("fit_on") != [stage.pinned_to, stage.pin]:
        return False
    seen = last.inputs.get(stage.inputs["rows"])
    return any(v.version == seen and "erased" not in v.facts for v in store.versions(stage.inputs["rows"]))


def _standing_for(store: Store, stage: Stage, pin: int) -> int | None:
    """The version of the stage's input that shows what version `pin` of the named table shows."""
    source = stage.inputs["rows"]
    named = store.versions(stage.pinned_to)
    if pin not in [v.version for v in named]:
        return None
    if stage.pinned_to == source:
        found = [pin]
    elif stage.pinned_to == stage.target:
        found = sorted(_below(store, stage, pin))
    else:
        found = sorted(_above(store, stage, _alike(named, pin)))
    own = {v.version: v for v in store.versions(source) if "erased" not in v.facts}
    found = [n for n in found if n in own]
    if not found:
        return None
    at = found[-1]
    while own[at].why == COMPACTION and at - 1 in found:  # the same rows: what was fitted on them need not move
        at -= 1
    return at


def _alike(versions: Sequence[Version], pin: int) -> set[int]:
    """The versions that hold the rows of version `pin`: compaction makes a new one of them."""
    why = {v.version: v.why for v in versions}
    first = last = pin
    while why.get(first) == COMPACTION:
        first -= 1
    while why.get(last + 1) == COMPACTION:
        last += 1
    return set(range(first, last + 1))


def _below(store: Store, stage: Stage, pin: int) -> set[int]:
    """The versions of the stage's input that version `pin` of its own table was made from."""
    found: set[int] = set()
    waiting = [(stage.pinned_to, pin)]
    while waiting:
        name, number = waiting.pop()
        if name == stage.inputs["rows"]:
            found.add(number)
            continue
        version = next((v for v in store.versions(name) if v.version == number), None)
        waiting += [(n, at) for n, at in version.inputs.items() if _inner(stage, n)] if version else []
    return found


def _above(store: Store, stage: Stage, named: set[int]) -> set[int]:
    """The versions of the stage's input that were made from one of these versions of the named table."""
    seen: dict[str, set[int]] = {stage.pinned_to: named}

    def look(name: str) -> set[int]:
        if name not in seen:
            seen[name] = set()
            if _inner(stage, name):
                seen[name] = {
                    v.version for v in store.versions(name) if any(at in look(n) for n, at in v.inputs.items())
                }
        return seen[name]

    return look(stage.inputs["rows"])


def _inner(stage: Stage, name: str) -> bool:
    return name.startswith(f"{stage.target}/")


def _named(versions: Sequence[int]) -> str:
    """
    >>> _named([3]), _named([1, 2, 5])
    ('3', '1, 2 and 5')
    """
    shown = [str(v) for v in versions]
    if len(shown) > LISTED:
        shown = [*shown[:2], "...", *shown[2 - LISTED :]]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
