"""The floor under the figure of texts: read the files, hash them, compress and write the same bytes; nothing else.

`--promises` adds what Tillage keeps and a plain script does not need: `parse` (JSON to columns), `ids` (keyed 128-bit
row_ids), `source` (the table as it came is kept too), `digest` (a 128-bit hash of each row), `durable` (fsync).

Usage: python benchmarks/floor_text.py FOLDER OUT [--promises parse,ids,source,digest,durable]
"""

from __future__ import annotations

import argparse
import os
from hashlib import sha256
from pathlib import Path

ALL = ("parse", "ids", "source", "digest", "durable")
"""In the order in which the figure adds them; all but `durable` need `parse`."""


def bare(files: list[Path], out: Path, durable: bool) -> None:
    """Bytes in, hash, zstd, bytes out."""
    import pyarrow as pa

    packer = pa.Codec("zstd", compression_level=1)
    for file in files:
        data = file.read_bytes()
        sha256(data).hexdigest()
        put(out / f"{file.stem}.zst", packer.compress(data), durable)


def put(path: Path, data: object, durable: bool) -> None:
    """One file, durable if that is promised."""
    with path.open("wb") as file:
        file.write(data)  # type: ignore[arg-type]
        if durable:
            file.flush()
            os.fsync(file.fileno())


def tables(files: list[Path], out: Path, promises: set[str]) -> None:
    """The same by way of columns."""
    from io import BytesIO

    import polars as pl
    import polars_hash as plh

    def packed(frame: pl.DataFrame) -> memoryview:
        buffer = BytesIO()
        frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False)
        data = buffer.getbuffer()
        sha256(data).hexdigest()
        return data

    for file in files:
        data = file.read_bytes()
        sha256(data).hexdigest()
        frame = pl.read_ndjson(data)
        if "ids" in promises:
            from floor import ids

            frame = ids(frame, "id")
        if "source" in promises:
            put(out / f"{file.stem}-source.parquet", packed(frame), "durable" in promises)
        if "digest" in promises:
            rows = frame.select(plh.hash_rows(pl.all()).alias("h"))
            rows.select(plh.col("h").nchash.xxh3_128()).sum()
        put(out / f"{file.stem}.parquet", packed(frame), "durable" in promises)


def main() -> None:
    """Do it once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--promises", default="none")
    given = parser.parse_args()
    promises = set(given.promises.split(",")) - {"none"}
    if promises - set(ALL) or (promises - {"durable"} and "parse" not in promises):
        parser.error(f"--promises: none, or some of {','.join(ALL)}; all but durable need parse")
    given.out.mkdir(parents=True, exist_ok=True)
    files = sorted(given.folder.glob("*.jsonl"))
    if "parse" in promises:
        tables(files, given.out, promises)
    else:
        bare(files, given.out, "durable" in promises)


if __name__ == "__main__":
    main()
