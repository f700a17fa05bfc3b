"""The source as the runner uses it: scan, stamp, types over all files, batches, records parsed again."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from tillage.collect import Files, content, read_file
from tillage.collect.cache import Cache, Parsed
from tillage.core import BadData, BadRecord, ConfigurationError, Denied, InputMissing
from tillage.core.state import decode, encode
from tillage.face.rooms import project


def write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        (root / name.replace("_", ".")).write_text(text)


def gather(source: Files, root: Path) -> tuple[dict[str, str], pl.DataFrame, list[BadRecord]]:
    found = source.scan(root)
    schema = source.column_types([source.observe(root, f.path) for f in found])
    batches = [b for f in found for b in source.read(root, f.path, schema)]
    assert all(b.rows.columns == list(schema) and len(b.records) == b.rows.height for b in batches)
    assert all(b.records.dtype == pl.UInt64 for b in batches)
    return schema, pl.concat([b.rows for b in batches]), [r for b in batches for r in b.bad]


def test_scan_lists_in_order_and_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.csv", "a.csv", "b/c.csv", "b/.hidden.csv", "d.txt"):
        (tmp_path / name).write_text("a\n1\n")
        (tmp_path / name).chmod(0)
    assert [f.path for f in Files(path="**/*.csv").scan(tmp_path)] == ["a.csv", "b/c.csv", "z.csv"]
    assert [f.path for f in Files(path=("z.csv", "*.csv", "d.txt")).scan(tmp_path)] == ["a.csv", "d.txt", "z.csv"]
    stamp = Files(path="a.csv").scan(tmp_path)[0].stamp
    info = (tmp_path / "a.csv").stat()
    assert stamp == {"size": 4, "mtime_ns": info.st_mtime_ns, "ctime_ns": info.st_ctime_ns, "inode": info.st_ino}


def test_an_edit_that_keeps_size_and_time_shows(tmp_path: Path) -> None:
    write(tmp_path, a_csv="a\n1\n")
    source = Files(path="a.csv")
    before, sum_before = source.scan(tmp_path)[0], source.checksum(tmp_path, "a.csv")
    info = (tmp_path / "a.csv").stat()
    write(tmp_path, a_csv="a\n2\n")
    os.utime(tmp_path / "a.csv", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert source.scan(tmp_path)[0].stamp != before.stamp
    assert source.checksum(tmp_path, "a.csv") != sum_before
    assert sum_before == hashlib.sha256(b"a\n1\n").hexdigest()


def test_an_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path, a_csv="a\n1\n")
    write(tmp_path / "in", b_csv="a\n2\n")
    assert [f.path for f in Files(path=f"{tmp_path}/in/*.csv").scan(tmp_path)] == ["in/b.csv"]
    outside = Files(path=f"{tmp_path}/*.csv")
    assert [f.path for f in outside.scan(tmp_path / "in")] == [f"{tmp_path}/a.csv"]
    assert gather(outside, tmp_path / "in")[1].rows() == [(1,)]


def test_nothing_leads_out_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path, secret_csv="a\n1\n")
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "secret.csv")
    source = Files(path="*.csv")
    with pytest.raises(Denied, match="leads out of"):
        source.scan(tmp_path / "in")
    with pytest.raises(Denied, match="leads out of"):
        source.observe(tmp_path / "in", "../secret.csv")
    with pytest.raises(Denied, match="leads out of"):
        Files(path="../*.csv").scan(tmp_path / "in")


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("data", r"is a folder: write 'data/\*'"), ("data/*.tsv", "holds x.csv"), ("dta/*.csv", "There is no folder")],
)
def test_nothing_there_says_what_is(tmp_path: Path, pattern: str, hint: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("a\n")
    with pytest.raises(InputMissing, match=hint):
        Files(path=pattern).scan(tmp_path)


@pytest.mark.parametrize("name", ["b.csv", "b.zip", "loop.csv"])
def test_a_link_to_what_is_not_there_is_a_file_that_cannot_be_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted and told, and read once there is something behind it."""
    monkeypatch.setenv("TILLAGE_KEY", "5" * 64)
    write(tmp_path, a_csv="id,n\n1,5\n")
    (tmp_path / "kept").mkdir()
    target = name if name.startswith("loop") else f"kept/{name}"
    (tmp_path / name).symlink_to(target)
    pattern = f"['*.csv', '*{Path(name).suffix}']"
    (tmp_path / "tillage.yaml").write_text(f"project: p\ntables: {{t: {{collect: {{files: {pattern}}}, key: id}}}}\n")
    with project(tmp_path) as p:
        told = p.summary(p.run())["tables"]["t"]
        assert (told["rows"], told["in"], told["quarantined"]) == (1, 2, {"dangling_link": 1})
        at = p.store.latest("t")
        assert at is not None
        found = p.set_aside(at, 9)
        assert found is not None
        assert found[1][0]["message"] == f"It is a link to '{target}', which is not there."
        assert p.run().changed == []
        if target.endswith("b.csv"):
            (tmp_path / target).write_text("id,n\n2,6\n")
            p.run()
            assert p.read("t").sort("id")["id"].to_list() == [1, 2]
            assert p.summary()["tables"]["t"]["quarantined"] == {}


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="is not there"):
        Files(path="a.csv").observe(tmp_path, "a.csv")


def test_types_over_all_files(tmp_path: Path) -> None:
    write(tmp_path, a_csv="id,n,only\n1,1,x\n", b_csv="id,n,late\n2,1.5,y\n", c_jsonl='{"id": "x3", "n": 2}\n')
    schema, frame, bad = gather(Files(path=("*.csv", "*.jsonl")), tmp_path)
    assert schema == {"id": "text", "n": "float64", "only": "text", "late": "text"}
    assert frame.rows() == [("1", 1.0, "x", None), ("2", 1.5, None, "y"), ("x3", 2.0, None, None)]
    assert bad == []


def test_text_of_a_number_is_what_was_written(tmp_path: Path) -> None:
    """A column that another file makes text keeps 1.10, also when it was parsed as a number when observed."""
    write(tmp_path, a_csv='n,m\n1.10,"1"\n1e5,""\n', b_csv="n,m\nx,y\n")
    assert gather(Files(path="*.csv"), tmp_path)[1].rows() == [("1.10", "1"), ("1e5", ""), ("x", "y")]


def test_integers_too_wide_for_a_double_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, a_csv="n\n9007199254740993\n", b_csv="n\n1.5\n")
    assert gather(Files(path="*.csv"), tmp_path)[1]["n"].to_list() == ["9007199254740993", "1.5"]


def test_empty_texts(tmp_path: Path) -> None:
    write(tmp_path, a_csv='n,t\n"",""\n', b_csv="n,t\n1,\n")
    assert gather(Files(path="*.csv"), tmp_path)[1].rows() == [(None, ""), (1, None)]
    assert gather(Files(path="a.csv"), tmp_path)[1].rows() == [("", "")]


def test_an_empty_text_among_integers_comes_back_when_the_column_is_text(tmp_path: Path) -> None:
    write(tmp_path, a_csv='n,m\n1,"1"\n2,""\n', b_csv="n,m\n3,y\n")
    assert gather(Files(path="a.csv"), tmp_path)[1].rows() == [(1, 1), (2, None)]
    assert gather(Files(path="*.csv"), tmp_path)[1].rows() == [(1, "1"), (2, ""), (3, "y")]


def test_parquet_and_csv_meet_in_text(tmp_path: Path) -> None:
    pl.DataFrame({"n": [1, 2**60], "f": [0.1, 1e20]}).write_parquet(tmp_path / "a.parquet")
    write(tmp_path, b_csv="n,f\nx,y\n")
    _, frame, _ = gather(Files(path=("*.parquet", "*.csv")), tmp_path)
    assert frame["n"].to_list() == ["1", str(2**60), "x"]
    assert [float(v) for v in frame["f"][:2]] == [0.1, 1e20]


def test_clashes_name_both_files(tmp_path: Path) -> None:
    pl.DataFrame({"n": [b"1"]}).write_parquet(tmp_path / "a.parquet")
    write(tmp_path, b_csv="n\nx\n")
    with pytest.raises(ConfigurationError, match=r"column 'n' of a\.parquet and b\.csv"):
        gather(Files(path="*"), tmp_path)


def test_declared_types(tmp_path: Path) -> None:
    write(tmp_path, a_csv="id,zip,when\n1,007,2024-01-02\n2,008,never\n,9,2024-01-03\n")
    source = Files(path="a.csv", types={"zip": "int64", "id": "text", "when": "date"})
    schema, frame, bad = gather(source, tmp_path)
    assert schema == {"id": "text", "zip": "int64", "when": "date"}
    assert [row[:2] for row in frame.rows()] == [("1", 7), (None, 9)]
    (record,) = bad
    assert (record.record, record.reason, record.column, record.raw) == (1, "bad_value", "when", b"2,008,never")
    assert (record.byte_start, record.byte_end) == (29, 40)


def test_a_declared_column_that_is_nowhere(tmp_path: Path) -> None:
    write(tmp_path, a_csv="name,zip\na,1\n")
    with pytest.raises(ConfigurationError, match=r"No column is called 'zpi'. Did you mean 'zip'"):
        gather(Files(path="a.csv", types={"zpi": "text"}), tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("delimiter", "ab"), ("delimiter", '"'), ("delimiter", "é"), ("encoding", "klingon"), ("encoding", "rot13"),
     ("encoding", "idna"),
     ("types", {"a": "integer"}), ("path", ""), ("path", ()), ("max_field", 0), ("format", "xml")],
)  # fmt: skip
def test_wrong_settings_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Files(**{"path": "a.csv", field: value})


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("名\t值\n甲\t1\n".encode("gbk"))
    assert gather(Files(path="a.csv", encoding="GBK", delimiter="tab", format="csv"), tmp_path)[1].rows() == [("甲", 1)]
    assert Files.name() == "files"
    assert Files(path="a.csv").fingerprint() != Files(path="a.csv", delimiter=";").fingerprint()


def test_states_are_plain_and_can_be_kept(tmp_path: Path) -> None:
    write(tmp_path, a_csv="id,n\n1,2\n3\n")
    state = Files(path="a.csv").observe(tmp_path, "a.csv")
    assert json.loads(json.dumps(state)) == state == decode(encode(state))
    assert state["columns"] == {"id": "int64", "n": "int64"}
    assert (state["order"], state["records"], state["delimiter"], state["header"]) == (["id", "n"], 2, ",", ["id", "n"])


def test_batches_are_bounded_and_numbered(tmp_path: Path) -> None:
    lines = [f"{i},{'x' * 20}" for i in range(200_000)]
    lines[150_000] = "150000"
    write(tmp_path, a_csv="id,t\n" + "\n".join(lines))
    source = Files(path="a.csv")
    schema = source.column_types([source.observe(tmp_path, "a.csv")])
    batches = list(source.read(tmp_path, "a.csv", schema))
    assert max(b.rows.height for b in batches) <= 65_536
    ids, numbers = pl.concat([b.rows["id"] for b in batches]), pl.concat([b.records for b in batches])
    assert ids.to_list() == numbers.to_list() == [i for i in range(200_000) if i != 150_000]
    assert [(r.record, r.raw) for b in batches for r in b.bad] == [(150_000, b"150000")]


def test_wide_rows_make_smaller_batches(tmp_path: Path) -> None:
    write(tmp_path, a_csv="t\n" + "\n".join("x" * 3000 for _ in range(30_000)))
    source = Files(path="a.csv")
    sizes = [b.rows.estimated_size() for b in source.read(tmp_path, "a.csv", {"t": "text"})]
    assert len(sizes) > 2
    assert max(sizes) < 40 << 20


def test_bad_places_in_gzip_are_those_of_what_it_holds(tmp_path: Path) -> None:
    content = b"a,b\n1,2\n3\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(content))
    _, bad = read_file(tmp_path / "a.csv.gz")
    assert content[bad[0].byte_start : bad[0].byte_end] == bad[0].raw == b"3"


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "gb18030"])
def test_bad_places_are_those_of_the_original_bytes(tmp_path: Path, encoding: str) -> None:
    content = ("名,值\n甲𠀀,1\n乙\n丙,2\n丁,3,4\n" if encoding != "gbk" else "名,值\n甲,1\n乙\n丙,2\n丁,3,4\n").encode(
        encoding
    )
    (tmp_path / "a.csv").write_bytes(content)
    _, frame, bad = gather(Files(path="a.csv", encoding="auto" if encoding == "utf-16" else encoding), tmp_path)
    assert frame.height == 2
    codec = "utf-16-le" if encoding == "utf-16" else encoding
    assert [r.raw for r in bad] == ["乙".encode(codec), "丁,3,4".encode(codec)]
    assert [content[r.byte_start : r.byte_end] for r in bad] == [r.raw for r in bad]


def test_reparse(tmp_path: Path) -> None:
    write(tmp_path, a_csv="id;zip\n1;007\n2;x\n3;1;2\n")
    schema, _, bad = gather(Files(path="a.csv", types={"zip": "int64"}), tmp_path)
    assert [r.reason for r in bad] == ["bad_value", "long_row"]
    state = Files(path="a.csv").observe(tmp_path, "a.csv")
    header, mended = tuple(state["header"]), Files(path="a.csv", types={"zip": "text"})
    again = mended.reparse(bad[0].raw, header, {"id": "int64", "zip": "text"}, delimiter=state["delimiter"])
    assert isinstance(again, pl.DataFrame)
    assert again.rows() == [(2, "x")]
    still = mended.reparse(bad[1].raw, header, schema, delimiter=";")
    assert isinstance(still, BadRecord)
    assert (still.reason, still.raw) == ("long_row", b"3;1;2")
    assert isinstance(mended.reparse(b"\n", header, schema, delimiter=";"), BadRecord)


def test_reparse_with_another_encoding_and_of_json() -> None:
    source = Files(path="a.csv", encoding="gbk")
    rows = source.reparse("甲,1".encode("gbk"), ("名", "n"), {"名": "text", "n": "int64"})
    assert isinstance(rows, pl.DataFrame)
    assert rows.rows() == [("甲", 1)]
    json_rows = Files(path="a.jsonl").reparse(b'{"n": 1}', (), {"n": "int64", "m": "text"}, format="jsonl")
    assert isinstance(json_rows, pl.DataFrame)
    assert json_rows.rows() == [(1, None)]
    bad = Files(path="a.jsonl").reparse(b'{"n": NaN}', (), {"n": "int64"}, format="jsonl")
    assert isinstance(bad, BadRecord)
    assert bad.reason == "not_a_number"


def test_an_unreadable_file_stops_read_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadData, match=r"a\.parquet: The Parquet file cannot be read"):
        read_file(tmp_path / "a.parquet")
    with pytest.raises(InputMissing):
        read_file(tmp_path / "b.csv")


def test_a_small_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a_csv="a,b\n1,x\n")
    source = Files(path="a.csv")
    schema = source.column_types([source.observe(tmp_path, "a.csv")])
    with monkeypatch.context() as closed:
        closed.setattr(import_module("tillage.collect.files"), "opened", None)
        assert next(iter(source.read(tmp_path, "a.csv", schema))).rows.rows() == [(1, "x")]
    write(tmp_path, a_csv="a,b\n2,y\n")
    source.observe(tmp_path, "a.csv")
    write(tmp_path, a_csv="a,b\n3,z\n")  # the same size: only the stamp tells
    assert next(iter(source.read(tmp_path, "a.csv", schema))).rows.rows() == [(3, "z")]
    source.observe(tmp_path, "a.csv")
    other = next(iter(Files(path="a.csv", types={"a": "text"}).read(tmp_path, "a.csv", {"a": "text"})))
    assert other.rows.rows() == [("3",)], "other settings are another reading"


def test_the_cache_keeps_what_came_first_and_gives_it_once() -> None:
    parsed = [Parsed(pl.DataFrame({"x": list(range(100))}), {}, pl.Series(range(100)).to_numpy(), [])]
    cache = Cache(room=parsed[0].size() * 2)
    for place in "abc":
        cache.put(place, 1, parsed)
    assert [cache.take(p, 1) is parsed for p in "abc"] == [True, True, False]
    assert cache.take("a", 1) is None
    cache.put("a", 1, parsed)
    assert cache.take("a", 2) is None, "another stamp"
    for stamp in range(5):
        cache.put("a", stamp, parsed)
    cache.put("b", 1, parsed)
    assert cache.take("b", 1) is parsed, "a file seen again takes no more room"


@pytest.mark.parametrize(
    ("last", "encoding"),
    [
        ("发烧".encode(), "utf-8"),
        ("发烧".encode("gb18030"), "gb18030"),
        (b"caf\xe9 ole", "utf-8"),
        (b"cut \xe5\x8f", "gb18030"),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_file_that_shows_late_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, last: bytes, encoding: str
) -> None:
    texts = [*(f"line {n}".encode() for n in range(40)), last]
    lines = [b'{"t":"' + text + b'"}' for text in texts] if suffix == "jsonl" else [b"t", *texts]
    (tmp_path / f"a.{suffix}").write_bytes(b"\n".join(lines) + b"\n")
    source = Files(path=f"a.{suffix}")

    def told(*, again: bool) -> tuple[Any, ...]:
        state = source.observe(tmp_path, f"a.{suffix}")
        if again:
            import_module("tillage.collect.files")._parsed.take(str(tmp_path / f"a.{suffix}"), None)
        read = list(source.read(tmp_path, f"a.{suffix}", {"t": "text"}))
        bad = [b.model_dump() for batch in read for b in batch.bad]
        return state, [row for batch in read for row in batch.rows.rows()], bad

    whole = told(again=False)
    assert whole[0]["encoding"] == encoding
    monkeypatch.setattr(content, "BLOCK", 64)
    assert told(again=False) == whole
    assert told(again=True) == whole, "what was kept is what would be read"


def test_a_file_of_several_pieces_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [*(f'{{"n":{n},"x":{n}}}' for n in range(30)), '{"n":1.50,"y":[1]}', "bad", '{"n":2,"x":"a"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = Files(path="a.jsonl")
    monkeypatch.setattr(content, "BLOCK", 64)
    for there in (lines[:30], lines):
        (tmp_path / "a.jsonl").write_text("\n".join(there))
        schema = source.column_types([source.observe(tmp_path, "a.jsonl")])
        first = list(source.read(tmp_path, "a.jsonl", schema))
        again = list(source.read(tmp_path, "a.jsonl", schema))
        assert len(first) > 3
        assert [b.rows.rows() for b in first] == [b.rows.rows() for b in again]
        assert [b.records.to_list() for b in first] == [b.records.to_list() for b in again]
        assert [b.bad for b in first] == [b.bad for b in again]
    source.observe(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl").write_text("\n".join(lines[:30]))
    other = Files(path="b.jsonl")
    schema = other.column_types([other.observe(tmp_path, "b.jsonl")])
    monkeypatch.setattr(import_module("tillage.collect.files"), "opened", None)
    assert [row for b in other.read(tmp_path, "b.jsonl", schema) for row in b.rows.rows()] == [
        (n, n) for n in range(30)
    ]


def test_numbers_that_are_read_as_text_are_told_once_a_file(tmp_path: Path) -> None:
    many = "".join(f"{i},{i},{i},{i},a{i}\n" for i in range(70_000))
    (tmp_path / "a.csv").write_text(f"id,n,x,y,t\n{many}70000,{2**70},inf,,b\n70001,{2**71},-inf,0.5,c\n", "utf-8")
    (tmp_path / "b.jsonl").write_text(f'{{"id": 80000, "n": 1, "x": {2**80}, "y": 2, "t": "inf"}}\n', "utf-8")
    plan = "project: p\ntables: {t: {collect: {files: {path: ['*.csv', '*.jsonl'], types: {y: float64}}}, key: id}}\n"
    (tmp_path / "tillage.yaml").write_text(plan, "utf-8")
    with project(tmp_path) as opened:
        notes = opened.run().notes
        assert [note.partition(";")[0] for note in notes] == [
            "a.csv: Column 'n' is read as text: it holds whole numbers beyond 64 bits",
            "a.csv: Column 'x' is read as text: 'inf' stands among its numbers",
            "b.jsonl: Column 'x' is read as text: it holds whole numbers beyond 64 bits",
        ]
        assert opened.run().notes == []
