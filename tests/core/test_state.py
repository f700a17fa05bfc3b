"""States round the codec: what goes in comes out, equal states have equal bytes, and no bytes break it."""

from __future__ import annotations

import json
import math
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tillage.core.errors import VerifyFailed
from tillage.core.state import decode, digest, encode

DTYPES = st.sampled_from(["?", "i1", "<i2", ">i4", "<i8", "u1", "<u8", ">u2", "<f4", "<f8", ">f8", "<c16"])
ARRAYS = hnp.arrays(dtype=DTYPES, shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["$array", "$float", "$", "$$x"])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**200), 2**200), st.floats(), TEXT, ARRAYS)
STATES = st.recursive(LEAVES, lambda s: st.lists(s, max_size=4) | st.dictionaries(TEXT, s, max_size=4), max_leaves=10)


def alike(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        same_kind = isinstance(b, np.ndarray) and a.dtype.newbyteorder("<") == b.dtype and a.shape == b.shape
        return same_kind and a.astype(a.dtype.newbyteorder("<")).tobytes() == b.tobytes()
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return type(a) is type(b) and a == b and str(a) == str(b)  # str tells -0.0 from 0.0


@given(STATES)
def test_what_goes_in_comes_out(state: Any) -> None:
    data = encode(state)
    assert alike(state, decode(data))
    assert encode(decode(data)) == data
    assert digest(state) == sha256(data).hexdigest()


def test_equal_states_have_equal_bytes() -> None:
    turned = np.arange(6).reshape(2, 3).T
    one = {"b": 1, "a": [turned, 2.5], "c": (1, 2)}
    two = {"c": [1, 2], "a": [np.ascontiguousarray(turned).astype(">i8"), np.float64(2.5)], "b": np.int64(1)}
    assert encode(one) == encode(two)
    assert encode({"a": 1}) != encode({"a": 1.0}) != encode({"a": True})


def test_arrays_that_come_out_can_be_written_to() -> None:
    out = decode(encode({"a": np.arange(3)}))
    out["a"][0] = 9
    assert out["a"].tolist() == [9, 1, 2]


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, {1, 2}, b"bytes", np.array(["a"]), np.array([None]), np.array("NaT", "M8[s]")]
)
def test_what_is_no_state_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="state"):
        encode({"a": [value]})


def made(header: Any, buffers: bytes = b"x" * 8) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b"TLST1\n" + len(raw).to_bytes(8, "little") + raw + buffers


def array(*parts: Any) -> bytes:
    return made({"$array": parts})


HOSTILE = {
    "nothing": b"",
    "another file": b"PAR1" * 10,
    "the beginning only": b"TLST1\n",
    "no header": b"TLST1\n" + b"\xff" * 8,
    "cut": encode({"a": np.arange(9)})[:-1],
    "not JSON": made(b"{"),
    "not UTF-8": made(b'"\xff"'),
    "deep lists": made(b"[" * 100_000 + b"]" * 100_000),
    "deep dicts": made(b'{"a":' * 100_000),
    "a number of 5,000 digits": made(b"1" * 5000),
    "objects": array("|O", [1], 0, 8),
    "records": array([["a", "<i8"]], [1], 0, 8),
    "record by comma": array("i4,i4", [1], 0, 8),
    "a type that is code": array("{'a':", [1], 0, 8),
    "a type with brackets": array("(2,3", [1], 0, 8),
    "a type with commas": array("i4,,", [1], 0, 8),
    "a type of the past": array("a", [1], 0, 8),
    "a type of texts": array("<U2", [1], 0, 8),
    "a type of times": array("<M8[s]", [1], 0, 8),
    "a type of 100 bytes": array("<f100", [1], 0, 8),
    "outside": array("<i8", [1], 1, 8),
    "before": array("<i8", [1], -8, 8),
    "counted from the end": array("|i1", [1], -2, 1),
    "far outside": array("<i8", [1], 10**400, 8),
    "shape too large": array("<i8", [2], 0, 8),
    "shape huge": array("<i8", [10**30], 0, 8),
    "no shape": array("<i8", 1, 0, 8),
    "100 dimensions": array("<i8", [1] * 100, 0, 8),
    "two parts": array("<i8", [1]),
    "parts by name": made({"$array": {"a": 1}}),
    "a float that is none": made({"$float": "one"}),
    "a float that is a list": made({"$float": [1]}),
    "a float too large": made({"$float": 10**400}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(VerifyFailed, match="not a saved state"):
        decode(data)


SAMPLE = encode({"a": np.arange(4), "b": [1, None, 2.5, "x", float("inf")], "$c": {"d": np.ones((2, 2), "f4")}})


def state_or_refusal(data: bytes) -> None:
    """Nothing but a refusal is raised, and what is no refusal is a state: it can be kept, and comes back the same."""
    try:
        state = decode(data)
    except VerifyFailed:
        return
    kept = encode(state)
    assert encode(decode(kept)) == kept


@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255))
def test_one_changed_byte_gives_a_state_or_a_refusal(at: int, byte: int) -> None:
    state_or_refusal(SAMPLE[:at] + bytes([byte]) + SAMPLE[at + 1 :])


HEADERS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["<i8", "inf", "b1"]),
    lambda s: st.lists(s, max_size=5) | st.dictionaries(st.sampled_from(["$array", "$float", "$", "a"]), s, max_size=2),
)


@given(st.one_of(st.binary(max_size=60), HEADERS.map(made), st.binary(max_size=60).map(made)))
def test_any_bytes_give_a_state_or_a_refusal(data: bytes) -> None:
    state_or_refusal(data)
