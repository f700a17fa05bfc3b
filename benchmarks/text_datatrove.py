"""The line of the figure of texts by datatrove, in one process: Gopher's rules, MinHash, personal data, Parquet.

Its repetition rules are left out, as in the other sides. Equal documents are found by MinHash with the others;
candidates are not checked; of personal data it knows e-mail and IP addresses. Words are cut as it cuts English, by
spaCy; with `plain` by white space and Han characters instead, which costs less and suits Chinese.

Usage: python benchmarks/text_datatrove.py FOLDER WORK [plain] (with the Python in whose environment datatrove is)
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
    minhash,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import GopherQualityFilter
from datatrove.pipeline.filters import gopher_quality_filter as gopher
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
from datatrove.utils.hashing import HashConfig

TOKEN = re.compile(r"[\u4e00-\u9fff]|[^\s\u4e00-\u9fff]+")
SPACE = re.compile(r"\s+")
STOP = ["the", "be", "to", "of", "and", "that", "have", "with", "一", "丆", "丌", "丒"]


class Cut:
    """Words by white space, Han characters apart."""

    def word_tokenize(self, text: str) -> list[str]:
        """All of them."""
        return TOKEN.findall(text)


class Normalize(BaseFormatter):
    """NFKC and single spaces."""

    name = "normalise"

    def format(self, text: str) -> str:
        """One text."""
        return SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip()


def run(*steps: PipelineStep, tasks: int = 1) -> None:
    """One pipeline to its end, in this process."""
    LocalPipelineExecutor(pipeline=list(steps), tasks=tasks, workers=1, skip_completed=False).run()


def document(_reader: object, data: dict[str, object], path: str, at: int | str) -> dict[str, object]:
    """A record as datatrove wants it: its id a text."""
    return {"text": data["text"], "id": str(data.get("id", f"{path}/{at}")), "metadata": {}}


def main(folder: Path, work: Path, plain: bool) -> None:
    """The five pipelines that MinHash takes."""
    if plain:
        minhash.load_word_tokenizer = lambda *_: Cut()
        gopher.split_into_words = lambda text, *_: TOKEN.findall(text)
    config = MinhashConfig(n_grams=5, num_buckets=9, hashes_per_bucket=4, hash_config=HashConfig(precision=64))
    good, signed, found, gone = (str(work / part) for part in ("good", "signed", "found", "gone"))
    # no rule of mean word length: it would turn Chinese away, whose words are single characters here
    rules = GopherQualityFilter(min_avg_word_length=None, max_avg_word_length=None, stop_words=STOP)
    source = JsonlReader(str(folder), glob_pattern="*.jsonl", adapter=document)
    run(source, Normalize(), rules, JsonlWriter(good, compression=None))
    run(JsonlReader(good), MinhashDedupSignature(output_folder=signed, config=config))
    run(MinhashDedupBuckets(input_folder=signed, output_folder=found, config=config), tasks=config.num_buckets)
    run(MinhashDedupCluster(input_folder=found, output_folder=gone, config=config))
    out = ParquetWriter(str(work / "out"), compression="zstd")
    run(JsonlReader(good), MinhashDedupFilter(input_folder=gone), PIIFormatter(), out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "plain" in sys.argv[3:])
