"""Words of the user's own (names, products, wards) found exactly, the longest first, in Chinese too.

A word that begins or ends with a letter or digit that is not Han must not touch another such, so that "Ann" is not seen
in "Annual"; Chinese has no such borders. Cost: a column is searched for all words at once by Polars (Aho and Corasick
1975); rows that hold one are walked in Python character by character.
"""

from __future__ import annotations

from collections.abc import Iterator

from tillage.text.spans import touches


class Dictionary:
    """Types to words; a word that two types name belongs to the first.

    >>> list(Dictionary((("name", ("张三", "张三丰", "Ann")),)).find("张三丰 met Ann, Annual"))
    [(0, 3, 'name'), (8, 11, 'name')]
    """

    def __init__(self, words: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        self._types: dict[str, str] = {}
        for name, listed in words:
            for word in listed:
                self._types.setdefault(word, name)
        self.entries = sorted(self._types)
        self._lengths: dict[str, list[int]] = {}
        for word in self.entries:
            lengths = self._lengths.setdefault(word[0], [])
            if len(word) not in lengths:
                lengths.append(len(word))
        for lengths in self._lengths.values():
            lengths.sort(reverse=True)

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, type) in a text, by place; none overlap."""
        place = 0
        while place < len(text):
            end = self._longest(text, place)
            if end:
                yield place, end, self._types[text[place:end]]
            place = end or place + 1

    def _longest(self, text: str, start: int) -> int:
        for length in self._lengths.get(text[start], ()):
            end = start + length
            if (
                end <= len(text)
                and text[start:end] in self._types
                and not touches(text, start)
                and not touches(text, end)
            ):
                return end
        return 0
