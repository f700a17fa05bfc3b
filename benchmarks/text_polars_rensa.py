"""The line of the figure of texts by hand: plain Polars, gated so that few rows are rewritten, and rensa's MinHash.

It keeps no ids, no ledger and no source table, checks no candidate, has no n-grams of the quality rules and four
patterns of personal data without checksums or context.

Usage: python benchmarks/text_polars_rensa.py FOLDER SIMILARITY OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from near_peer import kept

WIDE = {chr(0xFF01 + k): chr(0x21 + k) for k in range(94)} | {"\u3000": " ", "\u00a0": " ", "\u2026": "..."}
STOP = ("the", "be", "to", "of", "and", "that", "have", "with")
CHINESE_STOP = ("一", "丆", "丌", "丒")
PATTERNS = {
    r"[0-9A-Za-z._%+'-]+@[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)+": "[EMAIL]",
    r"(?:https?://|www\.)[0-9A-Za-z\-._~:/?#@!$&'()*+,;=%]+": "[URL]",
    r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b": "[IP_ADDRESS]",
    r"\+[1-9](?:[ .-]?[0-9]){7,14}|\b1[3-9][0-9](?:[ -]?[0-9]{4}){2}\b": "[PHONE]",
}


def normalized(text: pl.Series) -> pl.Series:
    """NFKC and single spaces, of the rows that need it."""
    gate = text.str.contains(r"[^ -~]|  |^ | $")
    some = text.filter(gate).str.replace_many(list(WIDE), list(WIDE.values()))
    strange = some.str.contains(r"[^ -~\s\u{4e00}-\u{9fff}\u{3001}-\u{3002}]")
    if strange.any():
        some = some.scatter(strange.arg_true(), some.filter(strange).str.normalize("NFKC"))
    return text.scatter(gate.arg_true(), some.str.replace_all(r"\s+", " ").str.strip_chars(" "))


def good(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows that pass the rules; what is counted by regular expression is asked of few."""
    text = pl.col("text")
    sizes = frame.with_columns(
        chars=text.str.len_chars().cast(pl.Int64),
        wide=text.str.len_bytes().cast(pl.Int64),
        words=text.str.count_matches(" ", literal=True).cast(pl.Int64) + 1,
        hashes=text.str.count_matches("#", literal=True),
        dots=text.str.count_matches("...", literal=True),
    )
    chinese = pl.col("wide") > 2 * pl.col("chars")
    mean = (pl.col("chars") - pl.col("words") + 1) / pl.col("words")
    kept = sizes.filter(
        pl.when(chinese)
        .then(pl.col("chars") >= 75)
        .otherwise((pl.col("words") >= 50) & (pl.col("words") <= 100_000) & mean.is_between(3, 10)),
        pl.col("hashes") <= 0.1 * pl.col("words"),
        pl.col("dots") <= 0.1 * pl.col("words"),
        ~text.str.contains(r"^\s*[•*-]"),
        ~text.str.ends_with("..."),
    )
    letters = text.str.count_matches(r"(?:^| )[^ a-zA-Z]*[a-zA-Z]")
    padded = pl.concat_str(pl.lit(" "), text.str.to_lowercase(), pl.lit(" "))
    some = sum(padded.str.contains(f" {word} ", literal=True).cast(pl.UInt8) for word in STOP)
    han = sum(text.str.contains(word, literal=True).cast(pl.UInt8) for word in CHINESE_STOP)
    plain = kept.filter(~chinese).filter(some >= 2).filter(letters >= 0.8 * pl.col("words"))
    return pl.concat([plain, kept.filter(chinese).filter(han >= 2)]).select("id", "text", "cluster")


def redacted(text: pl.Series) -> pl.Series:
    """The patterns, on the rows that hold a digit or an @."""
    gate = text.str.contains("[0-9@]|://|www")
    some = text.filter(gate)
    for pattern, replacement in PATTERNS.items():
        some = some.str.replace_all(pattern, replacement)
    return text.scatter(gate.arg_true(), some)


def main(folder: Path, similarity: float, out: Path) -> None:
    """The whole line."""
    frame = pl.read_ndjson(sorted(folder.glob("*.jsonl")))
    frame = good(frame.with_columns(normalized(frame["text"])))
    frame = frame.unique("text", keep="first", maintain_order=True)
    frame = frame.filter(kept(frame["text"], similarity))
    frame = frame.with_columns(redacted(frame["text"]))
    frame.write_parquet(out, compression="zstd", compression_level=1)
    print(frame.height)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
