"""Records of CSV text: what ends one, what spoils one, where reading goes on."""

from __future__ import annotations

import csv
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.collect.csv import sniff
from tillage.collect.split import Splitter, fields, grammar


def cut(
    data: bytes, width: int, *, final: bool = True, force: bool = False, max_field: int = 1000
) -> tuple[list[bytes], list[str], bytes]:
    """(records, the reason of each or "", what is left)."""
    found = Splitter(",", width, max_field)(data, final, force)
    spans = zip(found.starts.tolist(), found.ends.tolist(), strict=True)
    reasons = [found.broken.get(i, ("", ""))[0] for i in range(len(found.starts))]
    return [data[lo:hi] for lo, hi in spans], reasons, data[found.consumed :]


U, S, L, F = "unclosed_quote", "short_row", "long_row", "field_too_long"
CASES: list[tuple[bytes, list[bytes], list[str]]] = [
    (b"1,2\n3,4\n", [b"1,2", b"3,4"], ["", ""]),
    (b"1,2\r3,4\r\n5,6", [b"1,2", b"3,4", b"5,6"], ["", "", ""]),
    (b"\n\r\n1,2\n\n", [b"1,2"], [""]),
    (b'1,"a\nb"\n3,4\n', [b'1,"a\nb"', b"3,4"], ["", ""]),
    (b'1,"a""b"\n', [b'1,"a""b"'], [""]),
    (b'1,""\n', [b'1,""'], [""]),
    (b'1,""""\n3,4\n', [b'1,""""', b"3,4"], ["", ""]),
    (b"1\n1,2,3\n4,5\n", [b"1", b"1,2,3", b"4,5"], [S, L, ""]),
    (b'1,a"b\n2,c"d\n', [b'1,a"b', b'2,c"d'], ["", ""]),
    (b'1,"x\n3,4\n5,6\n', [b'1,"x', b"3,4", b"5,6"], [U, "", ""]),
    # The lines up to the next whole record are lost with it, no more.
    (b'1,"x\nonly\nmore\n5,6\n', [b'1,"x\nonly\nmore', b"5,6"], [U, ""]),
    (b'1,"x\nonly\n', [b'1,"x\nonly'], [U]),
    (b'1,"x"y\n3,4\n', [b'1,"x"y', b"3,4"], [U, ""]),
    (b'1,"x\n3,"y"\n5,6\n', [b'1,"x', b'3,"y"', b"5,6"], [U, "", ""]),
    (b'1,"a\nb\n', [b'1,"a\nb'], [U]),
    (b'"', [b'"'], [U]),
    (b'1,"a,\nb"\n', [b'1,"a,\nb"'], [""]),
    (b'1,"a\nb",3\n4,5\n', [b'1,"a\nb",3', b"4,5"], [L, ""]),
    (b"1," + b"x" * 1001 + b"\n3,4\n", [b"1," + b"x" * 1001, b"3,4"], [F, ""]),
    (b"1," + b"x" * 999 + b"\n", [b"1," + b"x" * 999], [""]),
]


@pytest.mark.parametrize(("data", "records", "reasons"), CASES)
def test_records(data: bytes, records: list[bytes], reasons: list[str]) -> None:
    assert cut(data, 2) == (records, reasons, b"")


@pytest.mark.parametrize(
    ("data", "records", "left"),
    [
        (b"1,2\n3,", [b"1,2"], b"3,"),
        (b"1,2\r", [], b"1,2\r"),
        (b'1,2\n3,"a\n', [b"1,2"], b'3,"a\n'),
        (b'1,2\n3,"a"', [b"1,2"], b'3,"a"'),
        (b'1,"x"y\n3', [], b'1,"x"y\n3'),
    ],
)
def test_what_is_unfinished_waits(data: bytes, records: list[bytes], left: bytes) -> None:
    assert cut(data, 2, final=False) == (records, [""] * len(records), left)


def test_what_waited_too_long_gives_way() -> None:
    data = b'1,"a\n3,4\n5,6\n'
    assert cut(data, 2, final=False)[2] == data
    assert cut(data, 2, final=False, force=True) == ([b'1,"a', b"3,4"], [U, ""], b"5,6\n")


@settings(max_examples=150)
@given(st.lists(st.lists(st.text('ab",\n', max_size=4), min_size=3, max_size=3), min_size=1, max_size=9), st.booleans())
def test_whatever_the_csv_module_writes(rows: list[list[str]], everything: bool) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL).writerows(rows)
    records, reasons, left = cut(out.getvalue().encode(), 3)
    assert (reasons, left) == ([""] * len(rows), b"")
    assert [next(csv.reader(io.StringIO(r.decode(), newline=""))) for r in records] == rows


def test_many_broken_records_among_good_ones() -> None:
    """The careful part hands back to the fast one, and nothing falls between them."""
    draw = random.Random(1)
    forms = ['%d,"a"b', '%d,"a', "%d,b", '%d,"c,d"', '%d,5" x', "%d"]
    lines = [("%d,b" if i % 2 else draw.choice(forms)) % i for i in range(5000)]
    records, reasons, _ = cut("\n".join([*lines, "9,9"]).encode(), 2)
    expected = {'"a"b': U, '"a': U}
    assert [r.decode() for r in records] == [*lines, "9,9"]
    assert reasons == [S if "," not in x else expected.get(x.split(",", 1)[1], "") for x in lines] + [""]


def test_fields_of_a_record() -> None:
    assert fields(b'"a,b",,c', grammar(",")) == [b'"a,b"', b"", b"c"]
    assert fields(b"", grammar(",")) == [b""]
    assert fields(b"a|b", grammar("|")) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("sample", "delimiter"),
    [
        (b"a,b\n1,2\n", ","),
        (b"a;b\n1,5;2,5\n", ";"),
        (b"a\tb,c\n1\t2,x\n3\t4,5,6\n", "\t"),
        (b'a,"b;c"\n1,"x;y;z"\n', ","),
        (b'"a;b","c;d"\n"1;1","2;1"\n', ","),
        (b"a,b;c\n1;2\n3;4\n5;6\n", ";"),
        (b"text\nhello, world\n", ","),
        (b"a|b|c\n1|2|3", "|"),
        (b'a,b;c\n"1,x";2\n"1,y";2\n', ";"),
    ],
)
def test_delimiters(sample: bytes, delimiter: str) -> None:
    assert sniff(sample, True) == delimiter
