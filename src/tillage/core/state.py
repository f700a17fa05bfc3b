"""States are values: trees of numbers, texts, lists, dicts and arrays, with one canonical form in bytes.

A JSON header, then the raw arrays, in the manner of safetensors: nothing in it can be executed, and equal states
have equal bytes. Dict keys are texts and are sorted; NaN and the infinities are written by name.
"""

from __future__ import annotations

import json
import math
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np

from tillage.core.errors import VerifyFailed

State: TypeAlias = Any
"""None, bool, int, float, str, list, dict with text keys, or a numeric numpy array, nested as needed."""

_MAGIC = b"TLST1\n"
_KINDS = "biufc"
_PLAIN = {str, int, bool, type(None)}
"""Types that stand for themselves in JSON; a list of nothing else (a vocabulary) is not looked at one by one."""

_DTYPES = {np.dtype(code).newbyteorder("<").str: np.dtype(code).newbyteorder("<") for code in "?bhiqBHIQefdFD"}
"""What an array may be; a type is looked up and never parsed, for numpy's parser evaluates parts of the text."""


def encode(state: State) -> bytes:
    """The canonical bytes of a state.

    >>> decode(encode({"n": 2**70, "x": np.arange(3), "nan": float("nan")}))["n"] == 2**70
    True
    """
    buffers: list[bytes] = []
    header = json.dumps(_pack(state, buffers), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return b"".join([_MAGIC, len(header).to_bytes(8, "little"), header, *buffers])


def decode(data: bytes) -> State:
    """The inverse of `encode`; raises VerifyFailed when the bytes are not a state."""
    try:
        if data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin as one")
        start = len(_MAGIC) + 8
        end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
        header = str(data[start:end], "utf-8")
        value = json.loads(header)
        return _unpack(value, memoryview(data)[end:]) if '"$' in header else value  # plain values stand for themselves
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise VerifyFailed(
            f"These bytes are not a saved state: {error}.", fix="Run `tillage verify` to see what else is damaged."
        ) from error


def digest(state: State) -> str:
    """SHA-256 of the canonical bytes, in hexadecimal."""
    return sha256(encode(state)).hexdigest()


def _pack(value: State, buffers: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {value.dtype} cannot be part of a state")
        raw = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
        at = sum(len(b) for b in buffers)
        buffers.append(raw)
        return {"$array": [value.dtype.newbyteorder("<").str, list(value.shape), at, len(raw)]}
    if isinstance(value, np.generic):
        return _pack(value.item(), buffers)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} of a state is not a text")
        return {("$" + k if k.startswith("$") else k): _pack(value[k], buffers) for k in sorted(value)}
    if isinstance(value, list | tuple):
        if set(map(type, value)) <= _PLAIN:
            return list(value)
        return [_pack(v, buffers) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be part of a state")


def _unpack(value: Any, buffers: memoryview) -> State:
    if isinstance(value, list):
        if set(map(type, value)) <= _PLAIN:
            return value
        return [_unpack(v, buffers) for v in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        dtype, shape, at, size = value["$array"]
        kind = _DTYPES[dtype]
        if min(at, size, *shape) < 0 or at + size > len(buffers) or math.prod(shape) * kind.itemsize != size:
            raise ValueError("an array lies outside it")
        return np.frombuffer(buffers[at : at + size], dtype=kind).reshape(shape).copy()
    if "$float" in value:
        return float(value["$float"])
    return {(k[1:] if k.startswith("$$") else k): _unpack(v, buffers) for k, v in value.items()}
