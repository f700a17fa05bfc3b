"""The OpenAPI document (3.1) of what is served: one path for each service, its columns with their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from tillage.flow.scored import added
from tillage.serve.bodies import MOST_ROWS
from tillage.serve.routing import Routed
from tillage.serve.service import Loaded

_ERROR = {"$ref": "#/components/schemas/Error"}
_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def document(services: Mapping[str, Routed], version: str) -> dict[str, Any]:
    """The description of every route.

    >>> sorted(document({}, "1")["paths"])[:3]
    ['/feedback', '/metrics', '/openapi.json']
    """
    paths: dict[str, Any] = {
        "/feedback": {"post": _operation("The true labels of predictions", _FEEDBACK, _ACCEPTED)},
        "/metrics": {"get": _operation("Numbers for Prometheus", None, None)},
        "/openapi.json": {"get": _operation("This document", None, {"type": "object"})},
        "/v1/services": {"get": _operation("What can be asked", None, {"type": "object"})},
        "/v2": {"get": _operation("The server, in the Open Inference Protocol", None, {"type": "object"})},
        "/v2/health/live": {"get": {**_operation("Whether it lives", None, {"type": "object"}), "security": []}},
        "/v2/health/ready": {"get": {**_operation("Whether it is ready", None, {"type": "object"}), "security": []}},
    }
    for name, routed in services.items():
        served = routed.own
        kind = "services" if name in served.project.plan.services else "models"
        summary = f"Predictions of {served.now.model_name} for rows like those of {served.now.way.start}"
        paths[f"/v1/{kind}/{name}"] = {
            "post": _operation(summary, _rows(served.now, routed.needed), _predictions(served.now))
        }
        paths[f"/v1/{kind}/{name}/rollback"] = {"post": _operation("Hold it at a version", _ROLLBACK, _HELD)}
        only = {"parameters": [_version(served.now.version)]}
        for at, more in ((f"/v2/models/{name}", {}), (f"/v2/models/{name}/versions/{{version}}", only)):
            paths[at] = {"get": _operation("Its tensors", None, {"type": "object"}), **more}
            paths[f"{at}/ready"] = {"get": _operation("Whether it answers", None, {"type": "object"}), **more}
            paths[f"{at}/infer"] = {"post": _tensors(summary), **more}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tillage", "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {"type": "string"},
                        "field": {"type": "string"},
                        "incident": {"type": "string"},
                    },
                }
            },
        },
    }


def _operation(summary: str, body: dict[str, Any] | None, answer: dict[str, Any] | None) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "The answer"}
    if answer is not None:
        good["content"] = {"application/json": {"schema": answer}}
    failed = {"description": "Why not", "content": {"application/json": {"schema": _ERROR}}}
    made: dict[str, Any] = {"summary": summary, "responses": {"200": good, "4XX": failed, "5XX": failed}}
    if body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return made


def _tensors(summary: str) -> dict[str, Any]:
    """A question in tensors, and its answer; both may be binary."""
    made = _operation(summary, _TENSORS, {"type": "object"})
    made["responses"]["200"]["content"]["application/octet-stream"] = {}
    return made


def _version(number: int) -> dict[str, Any]:
    """The version in a path: there is one that answers."""
    return {"name": "version", "in": "path", "required": True, "schema": {"type": "string", "enum": [str(number)]}}


def _rows(now: Loaded, needed: Mapping[str, str]) -> dict[str, Any]:
    row = {
        "type": "object",
        "required": list(needed),
        "properties": {c: _column(t) for c, t in now.schema.items()},
    }
    rows = {"type": "array", "minItems": 1, "maxItems": MOST_ROWS, "items": row}
    return {"type": "object", "required": ["rows"], "additionalProperties": False, "properties": {"rows": rows}}


def _column(dtype: pl.DataType) -> dict[str, Any]:
    """What a request may write in a column: its own type, the text of it, or null."""
    if dtype == pl.Boolean:
        return {"type": ["boolean", "null"]}
    if dtype.is_integer():
        return {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1}
    if dtype.is_numeric():
        return {"type": ["number", "null"]}
    if dtype == pl.String:
        return {"type": ["string", "null"]}
    if dtype == pl.Binary:
        return {"type": ["string", "null"], "contentEncoding": "base64"}
    return {"type": ["string", "null"], "description": f"{dtype}, as ISO 8601 writes it"}


_SPANS: dict[str, Any] = {
    "type": "array",
    "description": "The parts of the text that are marked; places are in characters from 0, the end not included",
    "items": {
        "type": "object",
        "required": ["start", "end", "label", "confidence"],
        "properties": {
            "start": {"type": "integer", "minimum": 0},
            "end": {"type": "integer", "minimum": 1},
            "label": {"type": "string"},
            "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        },
    },
}


def _predictions(now: Loaded) -> dict[str, Any]:
    prediction = _SPANS if now.task == "token_classification" else {"type": ["string", "number"]}
    made: dict[str, Any] = {"id": _ID, "prediction": prediction}
    if now.task != "regression":
        made["confidence"] = {"type": "number", "minimum": 0, "maximum": 1}
    for column in added(now.model):
        made[column] = {"type": ["number", "null"]}
    if now.hand_over is not None:
        made["hand_over"] = {"type": "boolean", "description": "Whether a person should answer"}
    good = {"type": "object", "required": list(made), "properties": made}
    turned = {"type": "object", "required": ["id", "error"], "properties": {"id": _ID, "error": {"type": "string"}}}
    return {
        "type": "object",
        "required": ["model", "version", "predictions"],
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "integer"},
            "predictions": {"type": "array", "items": {"oneOf": [good, turned]}},
        },
    }


_FEEDBACK: dict[str, Any] = {
    "type": "object",
    "required": ["id", "label"],
    "properties": {"id": _ID, "label": {"type": ["string", "number", "boolean"]}},
    "additionalProperties": False,
}
_ROLLBACK: dict[str, Any] = {
    "type": "object",
    "required": ["version"],
    "properties": {"version": {"type": ["integer", "null"], "minimum": 1}},
    "additionalProperties": False,
}
_HELD: dict[str, Any] = {
    "type": "object",
    "required": ["service", "model", "version", "held"],
    "properties": {
        "service": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "held": {"type": "boolean"},
    },
}
_ACCEPTED = {"type": "object", "required": ["accepted"], "properties": {"accepted": {"type": "integer"}}}
_TENSORS: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {"id": {"type": "string"}, "inputs": {"type": "array"}, "outputs": {"type": "array"}},
}
