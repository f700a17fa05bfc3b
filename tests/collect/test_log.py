"""Logs by template: against Python's own regular expressions, against loghub's tables, and through damage."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import time
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tillage.collect import Files, content
from tillage.collect.log import template
from tillage.core import BadRecord

PLAIN = "<Date> <Time> <Pid> <Level> <Component>: <Content>"
LINES = """\
081109 203518 0143 INFO dfs.DataNode$PacketResponder: Received block blk_1 of size 67108864 from /10.0.0.1
081109 203519 35 WARN dfs.FSNamesystem: BLOCK* ask: again
081110 000001 7 INFO a:  two  blanks
"""


def read(
    data: bytes, root: Path, block: int = 4 << 20, **options: Any
) -> tuple[pl.DataFrame, list[int], list[BadRecord]]:
    (root / "a.log").write_bytes(data)
    files = Files(path="a.log", **options)
    with mock.patch.object(content, "BLOCK", block):
        state = files.observe(root, "a.log")
        batches = list(files.read(root, "a.log", files.column_types([state])))
    frame, bad = pl.concat([b.rows for b in batches]), [r for b in batches for r in b.bad]
    numbers = [n for b in batches for n in b.records.to_list()]
    assert sorted(numbers + [r.record for r in bad]) == list(range(state["records"]))
    for record in bad:
        assert data[record.byte_start : record.byte_end] == record.raw
    return frame, numbers, bad


def test_columns_by_name(tmp_path: Path) -> None:
    frame, _, bad = read(LINES.encode(), tmp_path, template=PLAIN)
    assert bad == []
    assert frame.drop("Content").rows() == [
        ("081109", "203518", "0143", "INFO", "dfs.DataNode$PacketResponder"),
        ("081109", "203519", "35", "WARN", "dfs.FSNamesystem"),
        ("081110", "000001", "7", "INFO", "a"),
    ]
    assert frame["Content"].to_list()[1:] == ["BLOCK* ask: again", "two  blanks"]
    assert frame["Pid"].to_list() == ["0143", "35", "7"]


@pytest.mark.parametrize(
    ("text", "line", "values"),
    [
        (r"\[<Time>\] \[<Level>\] <Text>", "[Sun Dec 04] [error] x [y]", ("Sun Dec 04", "error", "x [y]")),
        ("[<Time>] (<Level>) <Text>", "[1:2] (error) x", ("1:2", "error", "x")),
        (r"<A>(\[<Pid>\])?: <Text>", "sshd[12]: x: y", ("sshd", "12", "x: y")),
        (r"<A>(\[<Pid>\])?: <Text>", "kernel: x", ("kernel", None, "x")),
        ("<A>|<B>*", "a.b|c*", ("a.b", "c")),
        ("(<A> x(y)? <B>", "(a xy b", ("a", "b")),
        ("(<A> x(y)? <B>", "(a x b", ("a", "b")),
        ("<A> <B>", "中 文", ("中", "文")),
        ("<A> <B>", "a \t b", ("a", "b")),
    ],
)
def test_templates(tmp_path: Path, text: str, line: str, values: tuple[object, ...]) -> None:
    frame, _, bad = read(line.encode(), tmp_path, template=text, types=dict.fromkeys(template(text).names, "text"))
    assert (frame.rows(), bad) == ([values], [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"template": "no column"}, "names no column"),
        ({"template": "<A> <A>"}, "two columns are called <A>"),
        ({"template": "<A><B>"}, "nothing stands between <A> and <B>"),
        ({"template": "<_id> x"}, "cannot name a column"),
        ({"template": "<A>)? x"}, "was not begun"),
        ({"format": "log"}, "needs a 'template'"),
        ({"format": "csv", "template": "<A> x"}, "format is csv"),
        ({"continued": True}, "needs a 'template'"),
    ],
)
def test_wrong_templates_are_refused_before_anything_is_read(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Files(path="a.log", **options)


TRACE = b"""\
stray line
1 INFO: begun
2 ERROR: failed
  at a.b

  at c.d
3 INFO: done
"""


@pytest.mark.parametrize("block", [24, 64, 4 << 20])
def test_lines_that_do_not_fit(tmp_path: Path, block: int) -> None:
    frame, numbers, bad = read(TRACE, tmp_path, block, template="<N> <Level>: <Text>")
    assert frame["Text"].to_list() == ["begun", "failed", "done"]
    assert [(r.record, r.reason, r.raw) for r in bad] == [
        (0, "no_match", b"stray line"),
        (3, "no_match", b"  at a.b"),
        (4, "no_match", b"  at c.d"),
    ]
    assert numbers == [1, 2, 5]


@pytest.mark.parametrize("block", [24, 64, 4 << 20])
@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_lines_that_continue(tmp_path: Path, block: int, eol: bytes) -> None:
    data = TRACE.replace(b"\n", eol)
    frame, numbers, bad = read(data, tmp_path, block, template="<N> <Level>: <Text>", continued=True)
    end = eol.decode()
    assert frame["Text"].to_list() == ["begun", f"failed\n  at a.b{end}{end}  at c.d", "done"]
    assert ([r.raw for r in bad], numbers) == ([b"stray line"], [1, 2, 3])


def test_a_record_without_end_is_set_aside(tmp_path: Path) -> None:
    data = b"1 I: a\n" + b"x" * 99 + b"\n2 I: b\n"
    frame, _, bad = read(data, tmp_path, template="<N> <L>: <T>", continued=True, max_field=50)
    assert frame["T"].to_list() == ["b"]
    assert [r.reason for r in bad] == ["field_too_long"]


def test_a_template_is_linear_in_the_line(tmp_path: Path) -> None:
    """Ten columns over a line of 20,000 blanks would hold a backtracking engine for years."""
    begun = time.process_time()
    _, _, bad = read(b" " * 20_000 + b"!\n", tmp_path, template=" ".join(f"<C{i}>" for i in range(10)) + " end")
    assert [r.reason for r in bad] == ["no_match"]
    assert time.process_time() - begun < 5


WORD = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x4E10, exclude_characters="\x7f\x85\u2028\u2029"), max_size=9
)


@settings(max_examples=100)
@given(
    st.lists(st.one_of(st.tuples(WORD, WORD, WORD).map(lambda t: f"{t[0]} [{t[1]}]: {t[2]}"), WORD), max_size=12),
    st.booleans(),
    st.sampled_from([16, 4 << 20]),
)
def test_python_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, given_: list[str], end: bool, block: int
) -> None:
    lines = [one for one in given_ if one]
    data = ("\n".join(lines) + "\n" * end).encode()
    if not data.strip(b"\n"):
        return
    types = {"A": "text", "B": "text", "C": "text"}
    frame, _, bad = read(
        data, tmp_path_factory.mktemp("log"), block, template="<A> [<B>]: <C>", types=types, encoding="utf-8"
    )
    matched = [re.fullmatch(r"(.*?)[ \t]+\[(.*?)\]:[ \t]+(.*)", one) for one in lines]
    assert frame.rows() == [m.groups() for m in matched if m]
    assert [r.raw.decode() for r in bad] == [one for one, m in zip(lines, matched, strict=True) if not m]


LOGHUB = {
    "HDFS": PLAIN,
    "Apache": r"\[<Time>\] \[<Level>\] <Content>",
    "Linux": r"<Month> <Date> <Time> <Level> <Component>(\[<PID>\])?: <Content>",
    "OpenSSH": r"<Date> <Day> <Time> <Component> sshd\[<Pid>\]: <Content>",
    "OpenStack": r"<Logrecord> <Date> <Time> <Pid> <Level> <Component> \[<ADDR>\] <Content>",
}


@pytest.mark.parametrize("name", LOGHUB)
def test_loghub(name: str, tmp_path: Path) -> None:
    """The tables that loghub gives beside its logs; they are for research, so they are not stored here."""
    folder = Path(os.environ.get("TILLAGE_LOGHUB", "loghub"))
    if not folder.is_dir():
        pytest.skip("TILLAGE_LOGHUB does not name the folder of loghub's 2k samples (github.com/logpai/loghub)")
    raw = gzip.decompress((folder / f"{name}_2k.log.gz").read_bytes())
    table = gzip.decompress((folder / f"{name}_2k.log_structured.csv.gz").read_bytes()).decode("utf-8-sig")
    expected = list(csv.DictReader(io.StringIO(table)))
    names = template(LOGHUB[name]).names
    frame, _, bad = read(raw, tmp_path, template=LOGHUB[name], types=dict.fromkeys(names, "text"))
    assert len(expected) == 2000
    assert len(frame) + len(bad) == 2000
    got = [{k: (v or "").strip() for k, v in row.items()} for row in frame.to_dicts()]
    wanted = [{k: (row[k] or "").strip() for k in names} for row in expected]
    differ = [(g, w) for g, w in zip(got, wanted, strict=True) if g != w]
    assert differ == []
