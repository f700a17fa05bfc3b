"""Random lines of JSON on which the compiled functions must say what their twins say."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from tests.text.random_texts import SIGNS, twin

ODD_LINES = (
    "", " ", "{}", "[1]", "not json", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{"a":1}{}', "\ufeff{}",
    '{"a":1,"a":1}', '{"a":01}', '{"a":-}', '{"a":1.}', '{"a":.5}', '{"a":1e}', '{"a":1e5}', '{"a":-0}', '{"a":-0.0}',
    '{"a":1e400}', '{"a":1e-400}', '{"a":NaN}', '{"a":-Infinity}', '{"a":tru}', '{"a":True}', '{"a":nul}', "{'a':1}",
    '{"a":"\\ud800"}', '{"a":"\\udc00"}', '{"a":"\\udc00\\udc00"}', '{"a":"\\ud83d\\ude00"}',
    '{"a":"\\ud83d\\u0041"}', '{"a":"\\ud83d"}',
    '{"a":"\\u0000"}', '{"a":"\\u00e9\\u53d1\\/\\b\\f"}', '{"a":"\\x"}', '{"a":"\\u12"}',
    '{"a":"\\', '{"a":"\\u00', '{"a":"\t"}',
    '{"\\u0061":1}', '{"a b":null}', '{"a":[1,{"b":2}],"b":{}}',
    '{"a":999999999999999999}', '{"a":-999999999999999999}',
    '{"a":9223372036854775807}', '{"a":9999999999999999999}', '{"a":' + "1" * 350 + ".5}",
    '{"a":9223372036854775808}', '{"a":18446744073709551616}', '{"a":' + "9" * 5000 + "}",
    '{"a":' + "1" * 250 + ".5}", '{"a":' + "[" * 150 + "]" * 150 + "}", '{"a":"' + "[" * 150 + '"}',
    '{"a":"' + "x" * 70 + '"}',
)  # fmt: skip
"""Lines on which readers of JSON differ."""


def json_lines(chance: np.random.Generator) -> bytes:
    """Lines of objects with some of a few keys, odd lines among them, a byte spoiled here and there."""
    kinds = ["text", "whole", "fraction", "truth", "nothing"]
    columns = {name: str(chance.choice(kinds)) for name in chance.permutation(["a", "b", "id", "text", "\u53d1"])}
    steady, escaped = chance.random() < 0.6, bool(chance.random() < 0.3)
    between = ((",", ":"), (", ", ": "), (" ,\t", " : "))[int(chance.integers(3))]
    lines: list[str] = []
    for _ in range(int(chance.integers(1, 30))):
        record: dict[str, object] = {}
        for name, usual in columns.items():
            if not steady and chance.random() < 0.2:
                continue
            kind = usual if steady or chance.random() < 0.9 else str(chance.choice(kinds))
            size = int(chance.choice([0, 2, 12, 13, 40, 200], p=[0.1, 0.3, 0.2, 0.1, 0.2, 0.1]))
            record[name] = {
                "text": "".join(chance.choice(list("".join(SIGNS)), size)),
                "whole": int(chance.integers(-(10 ** int(chance.integers(1, 19))), 10 ** int(chance.integers(1, 19)))),
                "fraction": float(chance.normal() * 10.0 ** int(chance.integers(-30, 30))),
                "truth": bool(chance.random() < 0.5),
                "nothing": None,
            }[kind if chance.random() < 0.95 else "nothing"]
        lines.append(json.dumps(record, ensure_ascii=escaped, separators=between))
        if chance.random() < 0.1:
            lines.append(str(chance.choice(ODD_LINES)))
    data = bytearray(str(chance.choice(["\n", "\r\n", "\n\n"])).join(lines).encode())
    for _ in range(int(chance.choice([0, 1, 5], p=[0.6, 0.3, 0.1]))):
        at = int(chance.integers(len(data))) if data else 0
        data[at : at + int(chance.integers(2))] = bytes(
            chance.choice(list(b'"\\{}[]:,0e.-u\x00\x1f\xff\xe5\n '), 1).tolist()
        )
    return bytes(data)


def json_records(chance: np.random.Generator) -> None:
    """`collect.jsonl.JsonReader` with the scan, without it, and with the careful parser alone."""
    from tillage.collect import encoding, json_columns, jsonl, records
    from tillage.collect.content import Content
    from tillage.collect.piece import Limits
    from tillage.core.errors import ConfigurationError

    data, most = json_lines(chance), int(chance.choice([3, 300]))
    limits = Limits(max_field=60 if chance.random() < 0.3 else 1_000_000, max_columns=most)
    array = bool(chance.random() < 0.2)
    data = b"[" + data.replace(b"\n", b",\n") + b"]" if array else data

    def read() -> object:
        content = Content.of(data)
        if not data.strip():
            return None
        try:
            return [
                (p.frame.schema, p.frame.rows(), p.raw, p.numbers.tolist(), [b.model_dump() for b in p.bad])
                for p in jsonl.JsonReader(content, "x", encoding.detect(content), limits, array).pieces()
            ]
        except ConfigurationError as error:
            return str(error)

    def carefully() -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jsonl, "plain_rows", lambda *_: None)
            return twin(json_columns, read)

    here = read()
    assert here == carefully(), data
    assert here == twin(json_columns, lambda: twin(records, read)), data


def json_cells(
    chance: np.random.Generator, kinds: list[int], spoilt: float
) -> tuple[npt.NDArray[np.uint8], list[str], list[int], list[int]]:
    """Values of these kinds one after another: the bytes, each as it is written, and where each stands, or does not."""
    signs = list("".join(SIGNS))
    told: list[str] = []
    for kind in kinds:
        text = "".join(chance.choice(signs, int(chance.choice([0, 1, 12, 13, 90]))))
        number = str(int(chance.integers(-(10**18) + 1, 10**18)))
        written = json.dumps(text, ensure_ascii=bool(chance.random() < 0.5))[1:-1]
        bare = "".join(sign for sign in text if sign not in '"\\' and sign >= " ")
        told.append({2: bare, 3: written, 4: number, 5: number + ".5", 6: "true", 7: "false"}.get(kind, ""))
    sizes = [len(one.encode()) for one in told]
    places = [sum(sizes[:i]) for i in range(len(sizes))]
    if sizes and chance.random() < spoilt:
        sizes[int(chance.integers(len(sizes)))] += int(chance.choice([-1, -2, 1, 13, 1000, 2**32 - 2000]))
        sizes = [max(0, size) for size in sizes]
    return np.array(list("".join(told).encode()), dtype=np.uint8), told, places, sizes


def json_texts(chance: np.random.Generator) -> None:
    """Cells as texts, against the json module; places beyond the data and broken escapes are refused."""
    from tillage.text.native import compiled, handed

    assert compiled is not None
    kinds = chance.integers(0, 8, int(chance.integers(0, 20)))
    data, told, places, sizes = json_cells(chance, kinds.tolist(), 0.3)
    right = [
        None if kind < 2 else json.loads(f'"{one}"') if kind == 3 else one
        for kind, one in zip(kinds, told, strict=True)
    ]
    given = kinds.astype(np.uint8), np.array(places, dtype=np.uint32), np.array(sizes, dtype=np.uint32)
    if sizes == [len(one.encode()) for one in told]:
        column = handed("x", compiled.json_texts(data, *given))
        assert column.name == "x"
        assert column.to_list() == right
        assert pl.concat([column, column]).sort().to_list() == pl.Series(right * 2, dtype=pl.String).sort().to_list()
    else:
        with contextlib.suppress(ValueError):
            compiled.json_texts(data, *given)
    cut = "x" * int(chance.integers(9)) + "\\ud83d\\ude00"[: int(chance.integers(1, 12))]
    alone = np.array(list(cut.encode()), dtype=np.uint8)
    with pytest.raises(ValueError, match="an escape is none"):
        compiled.json_texts(alone, np.array([3], "u1"), np.array([0], "u4"), np.array([len(cut)], "u4"))


def json_integers(chance: np.random.Generator) -> None:
    """Cells as whole numbers, against int()."""
    from tillage.text.native import compiled

    assert compiled is not None
    kinds = chance.choice([0, 1, 2, 4, 4, 4], int(chance.integers(0, 20)))
    data, told, places, sizes = json_cells(chance, kinds.tolist(), 0.3)
    given = kinds.astype(np.uint8), np.array(places, dtype=np.uint32), np.array(sizes, dtype=np.uint32)
    out = np.ones(len(kinds), dtype=np.int64)
    if sizes == [len(one.encode()) for one in told]:
        compiled.json_integers(data, *given, out)
        assert out.tolist() == [int(one) if kind == 4 else 0 for kind, one in zip(kinds, told, strict=True)]
    else:
        with contextlib.suppress(ValueError):
            compiled.json_integers(data, *given, out)


def line_cuts(chance: np.random.Generator) -> None:
    """`collect.records.line_cuts`."""
    from tillage.collect import records

    pool = [b"\n\r", b"a\n", b"ab \n\r", b"abcdefghijk\n"][int(chance.integers(4))]
    data = bytes(chance.choice(list(pool), int(chance.choice([0, 1, 2, 5, 50, 900]))).tolist())
    final = bool(chance.random() < 0.5)
    starts, ends, consumed = records.line_cuts(data, final)
    wanted: Any = twin(records, lambda: records.line_cuts(data, final))
    assert (starts.tolist(), ends.tolist(), consumed) == (wanted[0].tolist(), wanted[1].tolist(), wanted[2]), data


def utf8_until(chance: np.random.Generator) -> None:
    """What Python's decoder says, whole and in blocks."""
    from tillage.collect import encoding
    from tillage.text.native import compiled

    assert compiled is not None
    pool = "".join(SIGNS[: int(chance.integers(1, len(SIGNS) + 1))])
    data = bytearray("".join(chance.choice(list(pool), int(chance.choice([0, 1, 9, 60])))).encode())
    for _ in range(int(chance.choice([0, 1, 3]))):
        at = int(chance.integers(len(data))) if data else 0
        spoilt = list(b"\x00\x7f\x80\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff")
        data[at : at + int(chance.integers(2))] = bytes(chance.choice(spoilt, int(chance.integers(1, 4))).tolist())
    if chance.random() < 0.3:
        del data[-int(chance.integers(1, 4)) :]
    whole, until = bytes(data), len(data)
    try:
        whole.decode()
    except UnicodeDecodeError as error:
        until = error.start
    assert compiled.utf8_until(np.array(list(whole), dtype=np.uint8)) == until, whole
    cuts = sorted(chance.integers(0, len(whole) + 1, 2).tolist())
    blocks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def looked() -> bool:
        look = encoding._Utf8()
        return all(look.fits(block) for block in blocks) and look.whole()

    assert looked() == (until == len(whole)), blocks
    assert twin(encoding, looked) == (until == len(whole)), blocks
