"""The line of the figure of texts by Data-Juicer, in one process: unicode, spaces, filters, MinHash, personal data.

Its rules are its own: word count, average word length by special characters, alphanumeric share; its repetition rules
are left out, as in the other sides. Candidates are not checked; of personal data it is asked for e-mail and IP
addresses. Documents are cut by blanks, so Chinese ones, which have none, are compared whole.

Usage: python benchmarks/text_datajuicer.py FOLDER WORK (with the Python in whose environment py-data-juicer is)
"""

from __future__ import annotations

import sys
from pathlib import Path

from data_juicer.core.data import NestedDataset
from data_juicer.ops import load_ops
from datasets import load_dataset

PROCESS = [
    {"fix_unicode_mapper": {"normalization": "NFKC"}},
    {"whitespace_normalization_mapper": {}},
    {"words_num_filter": {"min_num": 50, "max_num": 100_000}},
    {"special_characters_filter": {"max_ratio": 0.25}},
    {"alphanumeric_filter": {"min_ratio": 0.6}},
    {"document_deduplicator": {}},
    {
        "document_minhash_deduplicator": {
            "tokenization": "space",
            "window_size": 5,
            "num_permutations": 36,
            "jaccard_threshold": 0.8,
            "num_bands": 9,
            "num_rows_per_band": 4,
        }
    },
    {"clean_email_mapper": {"repl": "[EMAIL]"}},
    {"clean_ip_mapper": {"repl": "[IP_ADDRESS]"}},
]


def main(folder: Path, work: Path) -> None:
    """Load, run each operator in order, write."""
    files = [str(f) for f in sorted(folder.glob("*.jsonl"))]
    data = NestedDataset(load_dataset("json", data_files=files, split="train", cache_dir=str(work / "cache")))
    data = data.process(load_ops(PROCESS), work_dir=str(work))
    data.to_parquet(str(work / "out.parquet"))
    print(len(data))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
