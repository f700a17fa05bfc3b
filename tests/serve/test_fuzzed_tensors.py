"""Binary tensors that lie about anything: a whole request bent at random is answered or refused, never an incident."""

from __future__ import annotations

import json
import struct
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serve.running import Server

ROW = {"size": 2.5, "text": "a"}
KINDS = ("FP64", "FP32", "INT64", "INT8", "UINT64", "BOOL", "BYTES", "FP16", "BF16", "", 7, None)
NUMBERS: st.SearchStrategy[Any] = st.one_of(
    st.integers(-2, 40), st.sampled_from([1 << 31, 1 << 32, 1 << 63, 1 << 64, -1, True, 1.5, "8", None, [], {}])
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body of binary tensors, most of it right, and the header that says where they begin."""
    rows = draw(st.integers(1, 3))
    texts = [draw(st.one_of(st.text(max_size=3).map(str.encode), st.binary(max_size=6))) for _ in range(rows)]
    parts: dict[str, tuple[Any, bytes]] = {
        "size": ("FP64", struct.pack(f"<{rows}d", *(draw(st.floats()) for _ in range(rows)))),
        "text": ("BYTES", b"".join(struct.pack("<I", len(t)) + t for t in texts)),
        "id": ("INT64", struct.pack(f"<{rows}q", *range(rows))),
    }
    inputs: list[Any] = []
    tail = b""
    for name, (right, whole) in parts.items():
        kind, raw = right, whole
        if draw(st.integers(0, 3)) == 0:  # bent: other bytes, another type, another size
            raw = draw(st.one_of(st.binary(max_size=40), st.just(whole[:-1]), st.just(whole + whole)))
            kind = draw(st.sampled_from(KINDS))
        size = draw(NUMBERS) if draw(st.integers(0, 7)) == 0 else len(raw)
        shape: Any = draw(st.lists(NUMBERS, max_size=3)) if draw(st.integers(0, 7)) == 0 else [rows]
        inputs.append({"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": size}})
        tail += raw
    head = json.dumps({"inputs": inputs}).encode()
    cut = draw(st.integers(0, 5))
    length = str(len(head)) if cut else str(draw(st.integers(-1, len(head) + len(tail) + 2)))
    return head + tail + (draw(st.binary(max_size=4)) if cut == 1 else b""), length


def test_no_request_is_an_incident(server: Server) -> None:
    seen: Counter[int] = Counter()

    @settings(max_examples=300 if settings().max_examples <= 100 else 2000)
    @given(requests())
    def ask(made: tuple[bytes, str]) -> None:
        body, length = made
        status, value, _ = server.ask(
            "POST", "/v2/models/desk/infer", body, {"Inference-Header-Content-Length": length}
        )
        seen[status] += 1
        assert status in (200, 400, 413, 422), value
        assert status == 200 or "incident" not in value

    ask()
    assert seen[400] > 20
    assert seen[200] + seen[422] > 10, seen
    assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0
    assert server.process.poll() is None
