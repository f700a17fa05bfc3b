"""The floor under the narrow-rows figure: a bare script that keeps the same promises, and nothing else.

It writes the source table and the clean table as checked, durable chunks and folds the clean one, as Tillage does, with
no plan, no ledger, no catalog, no change tracking. `--promises` leaves promises out, to show what each costs; with
`none` it is a plain Polars script that reads, computes, folds and writes the clean table.

Usage: python benchmarks/floor.py FOLDER OUT [--promises none | ids,unique,source,checksum,durable]
"""

from __future__ import annotations

import argparse
import os
import resource
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import polars_hash as plh
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ALL = ("ids", "unique", "source", "checksum", "durable")
"""In the order in which the figure adds them; `unique` looks at ids, so it needs them."""


def chunk_rows(folder: Path) -> int:
    """Rows a chunk, by Tillage's rule: 128 chunks, of 8,192 rows at least."""
    total = pl.scan_parquet(folder / "*.parquet").select(pl.len()).collect().item()
    return max(8192, -(-int(total) // 128))


def ids(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    """Keyed 128-bit ids, as two columns."""
    mask = pl.lit((1 << 64) - 1, dtype=pl.UInt128)
    shift = pl.lit(1 << 64, dtype=pl.UInt128)
    hashed = frame.select(pl.col(key).cast(pl.String)).select(plh.col(key).nchash.xxh3_128(seed=7).alias("h"))
    halves = hashed.select(lo=(pl.col("h") & mask).cast(pl.UInt64), hi=(pl.col("h") // shift).cast(pl.UInt64))
    block = np.empty((frame.height, 2), dtype="<u8")
    block[:, 0], block[:, 1] = halves["lo"].to_numpy(), halves["hi"].to_numpy()
    out = Cipher(algorithms.AES(b"\0" * 32), modes.ECB()).encryptor().update(block.tobytes())
    pairs = np.frombuffer(out, dtype="<u8").reshape(-1, 2)
    return frame.with_columns(
        pl.Series("_id:lo", np.ascontiguousarray(pairs[:, 0])), pl.Series("_id:hi", np.ascontiguousarray(pairs[:, 1]))
    )


def put(frame: pl.DataFrame, path: Path, promises: set[str]) -> None:
    """A chunk, with its checksum and durable if that is promised."""
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False)
    data = buffer.getbuffer()
    if "checksum" in promises:
        sha256(data).hexdigest()
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        if "durable" in promises:
            file.flush()
            os.fsync(file.fileno())
    temporary.rename(path)


def clean(frame: pl.DataFrame) -> pl.DataFrame:
    """Three Maps: a new column, a filter, another new column."""
    frame = frame.with_columns((pl.col("value") * 1.8 + 32).alias("fahrenheit"))
    frame = frame.filter(pl.col("load") >= 0.02)
    return frame.with_columns((pl.col("count") * pl.col("load")).alias("work"))


def fold(rows: pl.DataFrame) -> pl.DataFrame:
    """What the two expectations ask of a chunk: `count` at least 0, `sensor` not null."""
    count, sensor = pl.col("count"), pl.col("sensor")
    return rows.select(
        rows=pl.len(),
        looked=count.count(),
        good=(count >= 0).sum(),
        least=count.min(),
        most=count.max(),
        sensors=sensor.count(),
    )


def merged(parts: list[pl.DataFrame]) -> dict[str, int]:
    """One fold of all chunks."""
    sums = [pl.col(name).sum() for name in ("rows", "looked", "good", "sensors")]
    return pl.concat(parts).select(*sums, pl.col("least").min(), pl.col("most").max()).row(0, named=True)


def main() -> None:
    """Run it, and print the CPU seconds and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--promises", default=",".join(ALL))
    given = parser.parse_args()
    promises = set(given.promises.split(",")) - {"none"}
    if promises - set(ALL) or ("unique" in promises and "ids" not in promises):
        parser.error(f"--promises: none, or some of {','.join(ALL)}; unique needs ids")
    given.out.mkdir(parents=True, exist_ok=True)
    size = chunk_rows(given.folder)
    folds: list[pl.DataFrame] = []
    prefixes: list[np.ndarray] = []
    for path in sorted(given.folder.glob("*.parquet")):
        whole = pl.read_parquet(path)
        for at in range(0, whole.height, size):
            frame = whole[at : at + size]
            if "ids" in promises:
                frame = ids(frame, "id")
            if "unique" in promises:
                prefixes.append(frame["_id:hi"].to_numpy())
            if "source" in promises:
                put(frame, given.out / f"source-{len(folds)}.parquet", promises)
            rows = clean(frame)
            put(rows, given.out / f"clean-{len(folds)}.parquet", promises)
            folds.append(fold(rows))
    if prefixes:
        every = np.concatenate(prefixes)
        every.sort()
        if (every[1:] == every[:-1]).any():
            raise SystemExit("a key stands twice")
    if "durable" in promises:
        folder = os.open(given.out, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    found = merged(folds)
    if found["good"] < found["looked"] or found["sensors"] < found["rows"]:
        raise SystemExit(f"the expectations do not hold: {found}")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{found['rows']:,} rows in {len(folds)} chunks")
    print(f"CPU {used.ru_utime + used.ru_stime:.2f} s, peak {used.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
