"""The slow, obvious twins of counts and repetition, one text and one character at a time, and texts to try them on."""

from __future__ import annotations

import unicodedata
from collections import Counter

from hypothesis import strategies as st

from tillage.text.measures import BULLETS, ENDINGS

# Letters that this Python's Unicode knows, tags apart.
known = st.characters(exclude_categories=("Cs", "Cn"))
tricky = st.sampled_from(list("aB1 \t\n\n\r.#-*!，。…发烧頭\U00020000\u3000\u00a0\u2028\x85é😀\u200d\u200bあ한•'"))
phrases = st.lists(
    st.sampled_from(["a", "bb", "the cat", "发烧", "头痛", "…", "...", "\n", "\n\n", " \n", "#", "• x", "3.14", " "]),
    max_size=40,
).map("".join)
texts = st.none() | st.text(tricky | known, max_size=30) | phrases


def is_han(sign: str) -> bool:
    name = unicodedata.name(sign, "")
    return name.startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH")) or (
        ord(sign) in range(0x3400, 0x4DC0) or ord(sign) in range(0x4E00, 0xA000) or 0x20000 <= ord(sign) < 0x323B0
        or 0xF900 <= ord(sign) < 0xFB00
    )  # fmt: skip


def is_wordy(sign: str) -> bool:
    outside = sign.isspace() or unicodedata.category(sign)[0] in "PZ" or unicodedata.category(sign) in ("Cc", "Cf")
    return not outside


def runs(text: str) -> list[str]:
    """Words and lone punctuation."""
    spaced = "".join(f" {sign} " if is_han(sign) else sign for sign in text)
    return spaced.split()


def words(text: str) -> list[str]:
    return [run for run in runs(text) if any(map(is_wordy, run))]


def plain_counts(value: str | None) -> tuple[int, ...]:
    text = value or ""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    found = words(text)
    return (
        len(text),
        sum(not sign.isspace() for sign in text),
        len(found),
        sum(map(is_han, text)),
        sum(any(map(str.isalpha, word)) for word in found),
        sum(sum(map(is_wordy, word)) for word in found if not is_han(word[0])),
        text.count("#"),
        text.count("...") + text.count("…"),
        len(lines),
        sum(line[0] in BULLETS for line in lines),
        sum(line.endswith(("...", "…")) for line in lines),
        sum(line[-1] in ENDINGS for line in lines),
        sum(len(line) <= 30 for line in lines),
    )


def plain_lines(value: str | None) -> tuple[float, ...]:
    lines = [line.strip() for line in (value or "").split("\n")]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line:
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    out: list[float] = []
    for pieces in ([line for line in lines if line], ["\n".join(p) for p in paragraphs if p]):
        again = [p for at, p in enumerate(pieces) if p in pieces[:at]]
        out += [len(again) / len(pieces), len("".join(again)) / len("".join(pieces))] if "".join(pieces) else [0, 0]
    return tuple(out)


def solid(words: list[str]) -> int:
    return len("".join(words))


def plain_top(text: str, n: int) -> float:
    found = words(text)
    grams = Counter(tuple(found[at : at + n]) for at in range(len(found) - n + 1))
    most = max((solid(list(g)) * times for g, times in grams.items() if times > 1), default=0)
    return most / max(solid(found), 1)


def plain_repeated(text: str, n: int) -> float:
    found = words(text)
    seen: set[tuple[str, ...]] = set()
    covered: set[int] = set()
    for at in range(len(found) - n + 1):
        gram = tuple(found[at : at + n])
        if gram in seen:
            covered |= set(range(at, at + n))
        seen.add(gram)
    return solid([found[at] for at in covered]) / max(solid(found), 1)
