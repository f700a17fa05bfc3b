"""One labelled set through the recogniser, in a process of its own: what was found by type, and CPU per megabyte.

A labelled span is found when one span of its type covers at least 80 % of it; a span that was given is right when it
overlaps a labelled one of its type. Types that the set does not label are left out of both.

Usage: python benchmarks/pii_score.py en|zh|FILE.jsonl.gz TEXTS
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections import Counter
from pathlib import Path

from pii_texts import Labelled, made

LABELS = {
    "CREDIT_CARD": "credit_card", "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IBAN_CODE": "iban",
    "US_SSN": "us_ssn", "IP_ADDRESS": "ip_address", "DOMAIN_NAME": "url",
}  # fmt: skip
"""The structured types of presidio-synth-pii-en."""


def published(file: Path) -> list[Labelled]:
    """The texts of presidio-synth-pii-en with their structured spans."""
    out = []
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            value = json.loads(line)
            spans = [(s["start"], s["end"], LABELS[s["label"]]) for s in value["spans"] if s["label"] in LABELS]
            out.append(Labelled(value["text"], spans))
    return out


def main() -> None:
    """Score, then time, and print JSON."""
    import polars as pl

    from tillage.privacy.recognise import recogniser

    name, count = sys.argv[1], int(sys.argv[2])
    labelled = made(name, count) if name in ("en", "zh") else published(Path(name))[:count]
    texts = pl.Series([one.text for one in labelled])
    recognise = recogniser()
    found = recognise.find_all(texts)
    wanted: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    given: Counter[str] = Counter()
    right: Counter[str] = Counter()
    types = {kind for one in labelled for *_, kind in one.spans}
    for at, one in enumerate(labelled):
        spans = found.get(at, ())
        for a, b, kind in one.spans:
            wanted[kind] += 1
            reached[kind] += any(s.type == kind and min(b, s.end) - max(a, s.start) >= 0.8 * (b - a) for s in spans)
        for s in spans:
            if s.type in types:
                given[s.type] += 1
                right[s.type] += any(k == s.type and min(b, s.end) > max(a, s.start) for a, b, k in one.spans)
    size = sum(len(one.text.encode()) for one in labelled)
    times = max(1, 2_000_000 // size)
    many = pl.concat([texts] * times)
    begun = time.process_time()
    recognise.find_all(many)
    took = time.process_time() - begun
    by_type = {kind: [wanted[kind], reached[kind], given[kind], right[kind]] for kind in sorted(types)}
    print(json.dumps({"texts": len(labelled), "types": by_type, "mb_s": size * times / 1e6 / took}))


if __name__ == "__main__":
    main()
