"""The Open Inference Protocol, version 2, over HTTP: a tensor a column, in JSON or in the binary extension.

A column is a tensor of shape [rows] or [rows, 1]. Text, dates and whatever else has no type of its own are BYTES. A
column of bytes, such as pictures, is BYTES as they are in the binary extension, and in base64 in JSON. A row that is
turned away has no place in a tensor, so it is the answer to the whole request.
Source: github.com/kserve/open-inference-protocol, REST specification and the binary tensor data extension.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tillage.flow.score import Answers
from tillage.flow.scored import added
from tillage.serve.bodies import MOST_ROWS, dumped, loaded, require_text
from tillage.serve.refusal import Refused
from tillage.serve.service import Loaded

HEADER = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are its JSON; the tensors follow."""

_NUMPY = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_LENGTH = struct.Struct("<I")
_LENGTH_TEXT = re.compile(r"[0-9]{1,16}")


def datatype(dtype: pl.DataType) -> str:
    """The protocol's name of a column's type.

    >>> datatype(pl.Int64()), datatype(pl.Date())
    ('INT64', 'BYTES')
    """
    if dtype == pl.Boolean:
        return "BOOL"
    if dtype.is_integer():
        return "INT64"
    return "FP64" if dtype.is_numeric() else "BYTES"


def metadata(name: str, now: Loaded) -> dict[str, Any]:
    """What a model takes and gives."""
    confident = [{"name": "confidence", "datatype": "FP64", "shape": [-1]}] if now.task != "regression" else []
    return {
        "name": name,
        "versions": [str(now.version)],
        "platform": "tillage",
        "inputs": [{"name": c, "datatype": datatype(t), "shape": [-1]} for c, t in now.schema.items()],
        "outputs": [
            {"name": "prediction", "datatype": "BYTES" if confident else "FP64", "shape": [-1]},
            *confident,
            *({"name": column, "datatype": "FP64", "shape": [-1]} for column in added(now.model)),
            *([{"name": "hand_over", "datatype": "BOOL", "shape": [-1]}] if now.hand_over is not None else []),
            {"name": "inference_id", "datatype": "BYTES", "shape": [-1]},
        ],
    }


@dataclass(frozen=True)
class Asked:
    """A request as it was understood."""

    rows: list[dict[str, Any]]
    id: str | None
    outputs: list[tuple[str, bool]] | None
    """Names of the outputs asked for, and whether in binary; None: all, as `binary` says."""
    binary: bool = False


def asked(body: bytes, header_length: str | None, raw: Collection[str] = (), more: Collection[str] = ()) -> Asked:
    """The request of a body; Refused (400) with the path of what is wrong. `raw`: columns of bytes that are no text.

    `more`: outputs that the model has beside those that all have.

    >>> asked(b'{"inputs": [{"name": "n", "shape": [2], "datatype": "INT64", "data": [1, 2]}]}', None).rows
    [{'n': 1}, {'n': 2}]
    """
    if header_length is None:
        value, tail = loaded(body), memoryview(b"")
    else:
        if not _LENGTH_TEXT.fullmatch(header_length) or int(header_length) > len(body):
            raise Refused(400, "It is not a number of bytes within the body.", field=HEADER)
        end = int(header_length)
        value, tail = loaded(body[:end]), memoryview(body)[end:]
    inputs = value.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Refused(400, "It must be a list of tensors.", field="inputs")
    columns: dict[str, list[Any]] = {}
    for at, tensor in enumerate(inputs):
        where = f"inputs[{at}]"
        if not isinstance(tensor, dict):
            raise Refused(400, "It must be an object with name, shape, datatype and data.", field=where)
        name = tensor.get("name")
        if not isinstance(name, str) or not name or name in columns:
            raise Refused(400, "It must be the name of a column, once.", field=f"{where}.name")
        columns[name], tail = _values(tensor, tail, where, text=name not in raw)
    if len(tail):
        raise Refused(400, f"{len(tail)} bytes follow the last tensor.", field="inputs")
    heights = {len(values) for values in columns.values()}
    if len(heights) > 1:
        raise Refused(400, "The tensors have different numbers of rows.", field="inputs")
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return Asked(rows, _id(value), *_outputs(value, more))


def _id(value: Mapping[str, Any]) -> str | None:
    given = value.get("id")
    if given is not None and not (isinstance(given, str) and len(given) <= 128):
        raise Refused(400, "It must be a text of at most 128 characters.", field="id")
    require_text({"id": [given]}, lambda _, column: column)
    return given or None


def _outputs(value: Mapping[str, Any], more: Collection[str]) -> tuple[list[tuple[str, bool]] | None, bool]:
    parameters = value.get("parameters", {})
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    given = value.get("outputs")
    if given is None:
        return None, binary
    out: list[tuple[str, bool]] = []
    for at, one in enumerate(given if isinstance(given, list) else [None]):
        name = one.get("name") if isinstance(one, dict) else None
        known = ("prediction", "confidence", *more, "hand_over", "inference_id")
        if name not in known:
            told = f"{', '.join(known[:-1])} or {known[-1]}"
            raise Refused(400, f"There is no such output: it is {told}.", field=f"outputs[{at}].name")
        if any(name == before for before, _ in out):  # a few bytes would ask for all rows again and again
            raise Refused(400, f"The output {name} is asked for twice.", field=f"outputs[{at}].name")
        own = one.get("parameters", {})
        out.append((name, bool(own.get("binary_data", binary)) if isinstance(own, dict) else binary))
    return out or None, binary


def _values(tensor: Mapping[str, Any], tail: memoryview, where: str, *, text: bool) -> tuple[list[Any], memoryview]:
    """The values of a tensor, one a row, and what is left of the binary part."""
    kind, shape = tensor.get("datatype"), tensor.get("shape")
    if kind != "BYTES" and kind not in _NUMPY:
        raise Refused(400, f"It is not one of BYTES, {', '.join(_NUMPY)}.", field=f"{where}.datatype")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise Refused(400, "It must be a list of whole numbers.", field=f"{where}.shape")
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        raise Refused(400, f"It must be [rows] or [rows, 1], and is {shape}.", field=f"{where}.shape")
    rows = shape[0]
    if not 1 <= rows <= MOST_ROWS:
        raise Refused(400, f"The number of rows must be 1 to {MOST_ROWS:,}.", field=f"{where}.shape")
    parameters = tensor.get("parameters", {})
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        place = f"{where}.parameters.binary_data_size"
        if type(size) is not int or not 0 <= size <= len(tail):
            raise Refused(400, f"There are {len(tail)} bytes.", field=place)
        return _decoded(str(kind), tail[:size], rows, place, text=text), tail[size:]
    data = tensor.get("data")
    if not isinstance(data, list):
        raise Refused(400, "It must be a list of values.", field=f"{where}.data")
    if data and isinstance(data[0], list):
        if not all(isinstance(v, list) and len(v) == 1 for v in data):
            raise Refused(400, "Each row must be a list of one value.", field=f"{where}.data")
        data = [v[0] for v in data]
    if len(data) != rows:
        raise Refused(400, f"There are {len(data)} values where the shape says {rows}.", field=f"{where}.data")
    fits = _fitting(str(kind))
    if (at := next((n for n, one in enumerate(data) if one is not None and not fits(one)), None)) is not None:
        raise Refused(400, f"It is no value of {kind}.", field=f"{where}.data[{at}]")
    return data, tail


def _fitting(kind: str) -> Callable[[Any], bool]:
    """Whether a value of JSON is one of a tensor of this datatype."""
    if kind == "BYTES":
        return lambda one: isinstance(one, str)
    if kind == "BOOL":
        return lambda one: type(one) in (bool, int) and one in (0, 1)
    if kind.startswith("FP"):
        return lambda one: type(one) in (int, float)
    limits = np.iinfo(_NUMPY[kind])
    return lambda one: type(one) is int and limits.min <= one <= limits.max


def _decoded(kind: str, data: memoryview, rows: int, where: str, *, text: bool) -> list[Any]:
    if kind != "BYTES":
        dtype = np.dtype(_NUMPY[kind])
        if len(data) != rows * dtype.itemsize:
            raise Refused(400, f"{rows} values of {kind} are {rows * dtype.itemsize} bytes.", field=where)
        values: list[Any] = np.frombuffer(data, dtype=dtype).tolist()
        return values
    out: list[Any] = []
    at = 0
    while at + _LENGTH.size <= len(data) and len(out) < rows:  # a body of zeros is two million empty elements
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        try:
            out.append(str(data[at : at + size], "utf-8") if text else bytes(data[at : at + size]))
        except UnicodeDecodeError:
            raise Refused(400, f"Element {len(out)} is not UTF-8.", field=where) from None
        at += size
    if len(out) != rows or at != len(data):
        raise Refused(400, f"It does not hold {rows} elements, each behind its length.", field=where)
    return out


def field_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """The path of a field, for complaints: of which row, of which input.

    >>> field_of([{"a": 1, "b": 2}])(0, "b")
    'inputs[1].data[0]'
    """
    names = list(rows[0]) if rows else []

    def where(at: int, column: str) -> str:
        return f"inputs[{names.index(column)}].data[{at}]" if column in names else f"inputs.{column}"

    return where


def replied(name: str, now: Loaded, wanted: Asked, given: Answers, ids: Sequence[str]) -> tuple[bytes, int | None]:
    """The body of the reply, and the length of its JSON where tensors follow it."""
    values: dict[str, tuple[str, list[Any]]] = {
        "prediction": ("FP64" if now.task == "regression" else "BYTES", given.predictions)
    }
    if given.confidences is not None:
        values["confidence"] = ("FP64", given.confidences)
    values |= {column: ("FP64", numbers) for column, numbers in given.more.items()}
    if now.hand_over is not None:
        sure = given.confidences or [None] * len(given.predictions)
        values["hand_over"] = ("BOOL", [now.hand_over.of(c) for c in sure])
    values["inference_id"] = ("BYTES", list(ids))
    outputs, tail = [], b""
    for output, binary in wanted.outputs or [(n, wanted.binary) for n in values]:
        if output not in values:
            raise Refused(400, f"The model gives no {output}.", field="outputs")
        kind, data = values[output]
        made: dict[str, Any] = {"name": output, "datatype": kind, "shape": [len(data)]}
        if binary:
            raw = _encoded(kind, data)
            made["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            made["data"] = data
        outputs.append(made)
    value = {"model_name": name, "model_version": str(now.version), "id": wanted.id or ids[0], "outputs": outputs}
    body = dumped(value).encode()
    return body + tail, len(body) if tail else None


def _encoded(kind: str, data: Sequence[Any]) -> bytes:
    if kind != "BYTES":
        return np.array(data, dtype=_NUMPY[kind]).tobytes()
    texts = [str(value).encode() for value in data]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
