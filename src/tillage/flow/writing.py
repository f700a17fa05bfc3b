"""From a Plan back to `tillage.yaml`: only what differs from the defaults, so that the file stays short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tillage.core.step import Step
from tillage.flow.configuration import MODEL_KEYS, STORE
from tillage.flow.parameters import obvious_field
from tillage.flow.plan import Model, Plan, Service, Table
from tillage.flow.registry import Registry


def to_yaml(plan: Plan, registry: Registry) -> str:
    """The YAML of a plan; `parse` of it gives an equal plan.

    >>> print(to_yaml(Plan(project="p", root=Path("/data"), store=Path("/data/.tillage")), Registry({})), end="")
    project: p
    """
    out: dict[str, Any] = {"project": plan.project}
    if plan.store != plan.root / STORE:
        out["store"] = _relative(plan.store, plan.root)
    if plan.tables:
        out["tables"] = {name: _table(table, registry) for name, table in plan.tables.items()}
    if plan.models:
        out["models"] = {name: _model(model, registry) for name, model in plan.models.items()}
    if plan.services:
        out["services"] = {n: _Line(_service(s)) for n, s in plan.services.items()}
    text: str = yaml.dump(out, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)
    return text


def _service(service: Service) -> dict[str, Any]:
    out: dict[str, Any] = {"model": service.model, "from": service.table}
    if service.keep:
        out["keep"] = _Items(service.keep)
    if service.redact is not None:
        out["redact"] = _flat(_value(service.redact)) or True
    if service.hand_over is not None:
        out["hand_over"] = _Line({"precision": service.hand_over})
    if service.canary is not None:
        out["canary"] = _Line(service.canary.model_dump(exclude_defaults=True))
    if service.shadow:
        out["shadow"] = service.shadow
    return out


class _Line(dict[str, Any]):
    """A mapping that stands on one line."""


class _Items(list[Any]):
    """A list that stands on one line."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper without aliases: what stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists stand two spaces further in than their key."""
        super().increase_indent(flow, False)

    def write_text(self, data: str) -> yaml.ScalarNode:
        """Whatever is not printable is escaped: PyYAML would fold a NEL (U+0085) into a space."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if data.isprintable() else '"')

    def write_line(self, data: _Line) -> yaml.MappingNode:
        return self.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)

    def write_items(self, data: _Items) -> yaml.SequenceNode:
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(str, _Dumper.write_text)
_Dumper.add_representer(_Line, _Dumper.write_line)
_Dumper.add_representer(_Items, _Dumper.write_items)


def _flat(value: Any) -> Any:
    return _Line(value) if isinstance(value, dict) else _Items(value) if isinstance(value, list) else value


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _table(table: Table, registry: Registry) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if table.source is not None:
        out["collect"] = _flat(_step(table.source, registry))
    else:
        out["from"] = _inputs(table)
    if table.key:
        out["key"] = table.key[0] if len(table.key) == 1 else _Items(table.key)
    if table.subject is not None:
        out["subject"] = table.subject
    if table.steps:
        out["steps"] = [_step(step, registry) for step in table.steps]
    if table.score:
        out["score"] = table.score
    if table.expect is not None:
        checks = _value(table.expect)
        out["expect"] = [_flat(check) for check in checks] if isinstance(checks, list) else checks
    if table.profile is not None:
        out["profile"] = _flat(_value(table.profile)) or True
    if table.reports:
        out["reports"] = [_step(report, registry) for report in table.reports]
    if table.fit_on:
        out["fit_on"] = _Line(table.fit_on)
    if table.max_quarantine != 0.01:
        out["max_quarantine"] = table.max_quarantine
    return out


def _inputs(table: Table) -> Any:
    if table.steps and len(type(table.steps[0]).ports) > 1:
        return _Line(table.inputs)
    names = [name for _, name in table.inputs]
    return names[0] if len(names) == 1 else _Items(names)


def _step(step: Step, registry: Registry) -> Any:
    name, value = registry.name_of(type(step)), _value(step)
    return {name: _flat(value)} if value != {} else name


def _value(step: Step) -> Any:
    """The parameters that differ from the defaults; the bare value where only the obvious one does."""
    params = step.model_dump(mode="json", exclude_defaults=True)
    only = obvious_field(type(step))
    if only is not None and list(params) == [only] and isinstance(params[only], str | int | float | list):
        return params[only]
    return params


def _model(model: Model, registry: Registry) -> dict[str, Any]:
    params = model.learner.model_dump(mode="json", exclude_defaults=True)
    nested = {key: value for key, value in params.items() if key in MODEL_KEYS}
    name = registry.name_of(type(model.learner))
    out: dict[str, Any] = {"learn": _Line({name: nested}) if nested else name, "from": model.table}
    out |= {key: _flat(value) for key, value in params.items() if key not in nested}
    split = model.split.model_dump(mode="json", exclude_defaults=True)
    if model.split.like is not None:
        split = {key: value for key, value in split.items() if key in ("like", "leak")}
    if "leak" in split:
        split["leak"] = False if split["leak"] is None else {"similarity": split["leak"]}
    if split:
        out["split"] = _Line(split)
    if model.test_table is not None:
        out["test_from"] = model.test_table
    if model.fit_on is not None:
        out["fit_on"] = model.fit_on
    if model.track is not None:
        out["track"] = model.track
    card = model.card.model_dump(mode="json", exclude_defaults=True)
    if card:
        out["card"] = {key: _flat(value) for key, value in card.items()}
    evaluation = model.evaluation.model_dump(mode="json", exclude_defaults=True)
    if evaluation:
        out["evaluate"] = _Line({key: _flat(value) for key, value in evaluation.items()})
    return out
