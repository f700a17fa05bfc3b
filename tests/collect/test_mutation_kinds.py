"""A valid file of each kind, damaged anywhere: never an error, and every record counts once.

Rows, bad records, and files that cannot be read account for everything; nothing of a file that is refused is kept.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc
from tests.collect.pictures import picture, sound
from tests.collect.test_archives import zstd
from tests.collect.test_mutation import DAMAGE, Damage, conserved, spoil
from tests.collect.test_pages import PAGE, answer, record

from tillage.collect import Files
from tillage.core import ConfigurationError

ROWS = 40
FRAME = pl.DataFrame(
    {"id": range(ROWS), "name": [f"n{i}" if i % 5 else None for i in range(ROWS)], "x": [i / 4 for i in range(ROWS)]}
)
CSV = FRAME.write_csv().encode()
LOG = b"".join(b"2024-01-%02d INFO [%d]: text %d\n  more of it\n" % (i % 28 + 1, i, i) for i in range(ROWS))


def parquet() -> bytes:
    out = io.BytesIO()
    FRAME.write_parquet(out, row_group_size=16)
    return out.getvalue()


def arrow(new: Callable[..., ipc.RecordBatchFileWriter]) -> bytes:
    out, table = io.BytesIO(), FRAME.to_arrow(compat_level=pl.CompatLevel.oldest())
    with new(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=16)
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("in/b.csv", CSV)
    return out.getvalue()


KINDS: dict[str, tuple[bytes, dict[str, object]]] = {
    "a.parquet": (parquet(), {}),
    "a.arrow": (arrow(ipc.new_file), {}),
    "a.arrows": (arrow(ipc.new_stream), {}),
    "a.csv.gz": (gzip.compress(CSV, mtime=0), {}),
    "a.csv.zst": (zstd(CSV), {}),
    "a.zip": (zipped(), {}),
    "a.warc": (b"".join(record(answer(b"text %d" % i)) for i in range(5)), {"format": "warc"}),
    "a.warc.gz": (b"".join(gzip.compress(record(answer(b"text %d" % i)), mtime=0) for i in range(5)), {}),
    "a.log": (LOG, {"template": "<Day> <Level> [<N>]: <Text>", "encoding": "utf-8"}),
    "b.log": (LOG, {"template": "<Day> <Level> [<N>]: <Text>", "continued": True, "encoding": "utf-8"}),
    "a.html": (PAGE.encode(), {"format": "html"}),
    "a.png": (picture(), {}),
    "a.jpg": (picture("JPEG"), {}),
    "a.gif": (picture("GIF"), {}),
    "a.tif": (picture("TIFF"), {}),
    "a.webp": (picture("WEBP"), {}),
    "a.wav": (sound(), {}),
    "a.flac": (sound(form="FLAC"), {}),
}
HEADER = re.compile("has no name|Two columns are called|begins with '_'|too_many_columns")
"""What can be wrong with the names of columns."""

COLUMNAR = (b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff")
UNPACKED = {"a.csv.gz", "a.csv.zst", "a.warc.gz", "a.zip"}


@pytest.mark.parametrize("name", KINDS)
def test_the_valid_file_is_read_whole(name: str, tmp_path: Path) -> None:
    data, options = KINDS[name]
    assert account(data, name, tmp_path, options)[1:] == (ROWS if name == "a.log" else 0, 0)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=40)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=4), cut=st.one_of(st.none(), st.floats(0, 1)))
def test_damage_is_accounted_for(
    name: str, damages: list[Damage], cut: float | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, options = KINDS[name]
    data, _ = spoil(whole, 0, damages)
    if cut is not None:
        data = data[: int(cut * len(data))]
    account(data, name, tmp_path_factory.mktemp("damaged"), options)


def account(data: bytes, name: str, root: Path, options: dict[str, object]) -> tuple[int, int, int]:
    """Rows, bad records and refused files, once it is sure that they are all there is.

    A file is refused by a record of its own, whatever its bytes; an error is one of the names of its columns alone, and
    says where each stands.
    """
    (root / name).write_bytes(data)
    files = Files(path=name, **options)
    rows = bad = failed = 0
    objects = [found.path for found in files.scan(root)]
    assert objects
    try:
        states = {path: files.observe(root, path) for path in objects}
        schema = files.column_types(list(states.values()))
    except ConfigurationError as error:
        strange = [str(p) for p in error.problems if p.file != name or not HEADER.search(p.message)]
        if strange or not error.problems:
            raise
        return 0, 0, 0
    for path, state in states.items():
        batches = list(files.read(root, path, schema))
        numbers = [n for b in batches for n in b.records.to_list()]
        records = [r for b in batches for r in b.bad]
        assert sum(b.rows.height for b in batches) == len(numbers)
        if "failed" in state:
            assert [r.record for r in records] == [-1]
        plain = data if name not in UNPACKED else b"".join(r.raw for r in records)
        if name in UNPACKED:
            every = sorted(numbers + [r.record for r in records])
            assert [r.record for r in records] == [-1] or every == list(range(state["records"]))
            assert [r.record for r in records] != [-1] or not numbers
        elif path.endswith((".parquet", ".arrow", ".arrows")) and data.startswith(COLUMNAR):  # else it is text
            assert [r.record for r in records] in ([], [-1])
            assert bool(records) != bool(numbers) or state["records"] == 0
        else:
            conserved(numbers, records, state["records"], plain)
        rows, bad, failed = rows + len(numbers), bad + len(records), failed + ("failed" in state)
    return rows, bad, failed


@settings(max_examples=60)
@given(data=st.binary(max_size=300), name=st.sampled_from(sorted(KINDS)))
def test_bytes_of_any_kind_under_any_name(tmp_path_factory: pytest.TempPathFactory, data: bytes, name: str) -> None:
    account(data, name, tmp_path_factory.mktemp("any"), {k: v for k, v in KINDS[name][1].items() if k != "format"})
