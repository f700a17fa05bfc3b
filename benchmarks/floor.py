"""The floor under the narrow-rows figure: a bare script that keeps the promises of ids, uniqueness, checksums, durability.

It writes the source table and the clean table as checked, durable chunks and folds the clean one, as Tillage does, with
no plan, no ledger, no catalog, no change tracking. `--promises` leaves promises out, to show what each costs; with
none it is a plain Polars script.

Usage: python benchmarks/floor.py FOLDER OUT [--promises ids,unique,checksum,source]
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

ALL = ("ids", "unique", "checksum", "source")
ROWS = 39_063


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


def put(frame: pl.DataFrame, path: Path, *, checksum: bool) -> None:
    """A durable chunk, with its checksum if that is promised."""
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1, statistics=False)
    data = buffer.getbuffer()
    if checksum:
        sha256(data).hexdigest()
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def clean(frame: pl.DataFrame) -> pl.DataFrame:
    """Three Maps: a new column, a filter, a filled column."""
    frame = frame.with_columns((pl.col("value") * 1.8 + 32).alias("fahrenheit"))
    frame = frame.filter(pl.col("load") >= 0.02)
    return frame.with_columns((pl.col("count") * pl.col("load")).alias("work"))


def main() -> None:
    """Run it, and print the CPU seconds and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--promises", default=",".join(ALL))
    given = parser.parse_args()
    promises = set(given.promises.split(",")) & set(ALL)
    given.out.mkdir(parents=True, exist_ok=True)
    total: pl.DataFrame | None = None
    prefixes = []
    number = 0
    for path in sorted(given.folder.glob("*.parquet")):
        whole = pl.read_parquet(path)
        for at in range(0, whole.height, ROWS):
            frame = whole[at : at + ROWS]
            if "ids" in promises:
                frame = ids(frame, "id")
            if "unique" in promises:
                prefixes.append(frame["_id:hi"].to_numpy())
            if "source" in promises:
                put(frame, given.out / f"source-{number}.parquet", checksum="checksum" in promises)
            rows = clean(frame)
            put(rows, given.out / f"clean-{number}.parquet", checksum="checksum" in promises)
            part = rows.group_by("sensor").agg(pl.len().alias("n"), pl.col("count").sum(), pl.col("count").max().alias("most"))
            total = part if total is None else pl.concat([total, part])
            number += 1
    if prefixes:
        every = np.sort(np.concatenate(prefixes))
        if (every[1:] == every[:-1]).any():
            raise SystemExit("a key stands twice")
    if total is not None:
        total = total.group_by("sensor").agg(pl.col("n").sum(), pl.col("count").sum(), pl.col("most").max())
        print(f"{total['n'].sum():,} rows in {number} chunks")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"CPU {used.ru_utime + used.ru_stime:.2f} s, peak {used.ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
