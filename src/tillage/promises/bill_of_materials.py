"""A model's bill of materials as CycloneDX 1.6 JSON: the model with its card, the data and files behind it, libraries.

The same model gives the same bytes: the serial number follows from its digest, the time is that of its version.
Source: ECMA-424, CycloneDX 1.6 (machine-learning-model, modelCard, data).
"""

from __future__ import annotations

import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tillage.promises.card_facts import CardFacts, Data


def bill_of_materials(facts: CardFacts) -> str:
    """The text of bom.json; it ends with a newline."""
    model = f"model:{facts.model}@{facts.version}"
    files = {(path, digest) for data in facts.data for path, digest in data.files}
    made_by = dict(facts.libraries)["tillage"]
    libraries = [_library(name, version) for name, version in facts.libraries]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'tillage:{facts.project}:{facts.model}:{facts.digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": facts.created,
            "tools": {"components": [{"type": "application", "name": "tillage", "version": made_by}]},
            "component": _model(facts, model),
        },
        "components": [
            *(_data(data) for data in facts.data),
            *(
                {"type": "file", "bom-ref": _file(path), "name": path, "hashes": [_sha256(digest)]}
                for path, digest in sorted(files)
            ),
            *libraries,
        ],
        "dependencies": [
            {"ref": model, "dependsOn": [*(_table(d) for d in facts.data), *(lib["bom-ref"] for lib in libraries)]},
            *({"ref": _table(d), "dependsOn": [_file(path) for path, _ in d.files]} for d in facts.data if d.files),
        ],
    }
    return json.dumps(bom, ensure_ascii=False, indent=2) + "\n"


def _model(facts: CardFacts, ref: str) -> dict[str, Any]:
    card = facts.declared
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": facts.model,
        "version": str(facts.version),
        "group": facts.project,
        "hashes": [_sha256(facts.digest)],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": facts.task,
                "architectureFamily": str(facts.report.get("model", facts.learner)),
                "modelArchitecture": facts.learner,
                "datasets": [{"ref": _table(data)} for data in facts.data],
                "inputs": [{"format": name} for name in facts.inputs],
                "outputs": [{"format": facts.target}],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(facts)},
            "considerations": _considerations(facts),
        },
        "properties": [
            {"name": f"tillage:parameter:{name}", "value": json.dumps(value, ensure_ascii=False)}
            for name, value in sorted(facts.parameters.items())
        ],
    }
    if card.authors:
        found["authors"] = [{"name": name} for name in card.authors]
    return found | _licences(card.licence)


def _metrics(facts: CardFacts) -> list[dict[str, Any]]:
    """Each score with its interval, and beside it the same of the naive baseline and of the linear model."""
    report, found = facts.report, list[dict[str, Any]]()
    linear = (report.get("linear") or {}).get("metrics") or {}
    for name, value in report["metrics"].items():
        one: dict[str, Any] = {"type": name, "value": str(value), "slice": "test rows"}
        if report["interval"].get(name):
            low, high = report["interval"][name]
            one["confidenceInterval"] = {"lowerBound": str(low), "upperBound": str(high)}
        found.append(one)
        found.append({"type": name, "value": str(report["baseline"][name]), "slice": "test rows, naive baseline"})
        if name in linear:
            found.append({"type": name, "value": str(linear[name]), "slice": "test rows, linear model"})
    sliced = report.get("slices") or {}
    for part in sliced.get("asked", ()):
        bounds = dict(zip(("lowerBound", "upperBound"), map(str, part["interval"]), strict=True))
        where = f"test rows where {part['column']} is {part['value']}"
        found.append(
            {"type": sliced["metric"], "value": str(part["score"]), "slice": where, "confidenceInterval": bounds}
        )
    return found


def _considerations(facts: CardFacts) -> dict[str, Any]:
    card, found = facts.declared, dict[str, Any]()
    if card.intended_use:
        found["useCases"] = [card.intended_use]
    limits = [text for text in (card.limitations, card.out_of_scope and f"Out of scope: {card.out_of_scope}") if text]
    limits += [str(warning) for warning in facts.report["warnings"]]
    if limits:
        found["technicalLimitations"] = limits
    groups = [
        {
            "groupAtRisk": f"{one['column']} = {group['value']}",
            "harms": f"{facts.report['fairness']['favourable']} is predicted for {group['selection_rate']:.4g} of "
            f"{group['rows']} test rows; false negative rate "
            f"{'unknown' if group['false_negative_rate'] is None else format(group['false_negative_rate'], '.4g')}",
        }
        for one in (facts.report.get("fairness") or {}).get("columns", ())
        for group in one["groups"]
    ]
    if groups:
        found["fairnessAssessments"] = groups
    return found


def _data(data: Data) -> dict[str, Any]:
    contents = [{"name": name, "value": value} for name, value in (("rows", str(data.rows)), ("digest", data.digest))]
    made = {"name": "steps", "value": ", ".join(data.steps) or "read"}
    found = {
        "type": "data",
        "bom-ref": _table(data),
        "name": data.name,
        "version": str(data.version),
        "data": [{"type": "dataset", "name": data.name, "contents": {"properties": [*contents, made]}}],
    }
    return found | _licences(data.licence)


def _library(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _licences(licence: str) -> dict[str, Any]:
    """By name: an identifier that the standard's list does not hold would make the whole bill invalid."""
    return {"licenses": [{"license": {"name": licence}}]} if licence else {}


def _table(data: Data) -> str:
    return f"table:{data.name}@{data.version}"


def _file(path: str) -> str:
    return f"file:{path}"


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
