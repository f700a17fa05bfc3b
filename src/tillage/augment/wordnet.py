"""Replacement words out of a wordnet: what made the dictionaries in `words/`, and makes those of another release.

A word is replaced only where it nearly always means one thing: by the other words of that synset, and of those by the
ones that mostly mean it, too. How often a sense was met in tagged texts (SemCor) says so; without such counts, two
words must share most of their senses. This gives up most of a wordnet, and most of its mistakes: unfiltered, "do" has
the synonyms "bash" and "coif". Seconds, once a release.

Sources: Princeton WordNet, wndb(5WN) and senseidx(5WN); Chinese Open Wordnet (Wang and Bond 2013) in the tables of the
Open Multilingual Wordnet.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Words = dict[str, tuple[str, ...]]

MOST = 6
"""Replacements of a word that are kept."""
MEANS, UNDERSTOOD = 0.6, 0.3
"""Least share of its tagged senses that a word's chief sense has, and that a replacement has in that sense."""

_PLAIN = re.compile(r"[a-z]{3,}(-[a-z]+)*")
_KINDS = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
GRAMMAR = frozenset(
    """
    a after an and any are as at be been being both but by can could did do does done each either else ever every few
    for from get go going got had has have he her here him his how i if in into is it its just let like lot many may me
    might mine more most much must my neither no nor not now of off on one only or other others our out over own per
    quite rather same shall she should since so some still such than that the their them then there these they this
    those though through to too up upon us very was way we well went were what when where which while who whom whose
    why will with would yet you your even thing things make made take first second last two three four five six seven
    eight nine ten hundred thousand million back down
    about astride away before between inside instead notwithstanding somebody someone within worth
    没有 不能 可以 可能 不是 就是 还是 只有 因为 所以 这个 那个 什么 怎么 我们 你们 他们 自己 一般 一个 不会
    应该 需要 其他 一天
    """.split()  # noqa: SIM905 - as a list it would be two hundred lines
)
"""Words that hold a sentence together, or mean too much to be replaced."""

Synset = str
"""Kind and offset, such as `a01123148`: the same word may be in synsets of one offset and different kinds."""


class Wordnet:
    """What is needed of a wordnet's database: the words of each synset, how often each is meant, and opposites."""

    def __init__(self) -> None:
        self.members: dict[Synset, list[str]] = {}
        self.opposites: set[tuple[Synset, str, Synset, str]] = set()
        self.tags: dict[str, dict[Synset, int]] = defaultdict(dict)
        self.irregular: set[str] = set()

    @classmethod
    def read(cls, folder: Path) -> Wordnet:
        """The database files `data.*`, `index.sense` and, where they are, `*.exc` in a folder."""
        net = cls()
        for kind, name in _FILES.items():
            lines = (folder / f"data.{name}").read_text(encoding="utf-8").splitlines()
            net._data(kind, (line for line in lines if not line.startswith(" ")))
        for line in (folder / "index.sense").read_text(encoding="utf-8").splitlines():
            key, offset, _, count = line.split()
            word, _, place = key.partition("%")
            net.tags[word][_KINDS[place[0]] + offset] = int(count)
        for path in folder.glob("*.exc"):
            net.irregular |= {line.split()[0] for line in path.read_text(encoding="utf-8").splitlines()}
        return net

    def _data(self, kind: str, lines: Iterable[str]) -> None:
        pending = []
        for line in lines:
            fields = line.partition("|")[0].split()
            count = int(fields[3], 16)
            synset = kind + fields[0]
            self.members[synset] = [re.sub(r"\(\w+\)$", "", word) for word in fields[4 : 4 + 2 * count : 2]]
            at = 5 + 2 * count
            for n in range(int(fields[at - 1])):
                symbol, offset, other, words = fields[at + 4 * n : at + 4 * n + 4]
                if symbol == "!":
                    mine, theirs = bytes.fromhex(words)
                    pending.append((synset, mine, other.replace("s", "a") + offset, theirs))
        for synset, mine, other, theirs in pending:
            if mine and theirs and other[0] == kind:
                self.opposites.add((synset, self.members[synset][mine - 1], other, self.members[other][theirs - 1]))

    def share(self, word: str, synset: Synset) -> float:
        """The share of a word's tagged senses that this one has; 1 where it has no other."""
        tags = self.tags.get(word, {})
        total = sum(tags.values())
        return tags.get(synset, 0) / total if total else float(len(tags) == 1 and synset in tags)

    def chief(self, word: str) -> Synset | None:
        """What the word means, where it nearly always means that."""
        tags = self.tags[word]
        best = max(tags, key=lambda synset: (tags[synset], synset))
        return best if self.share(word, best) >= MEANS else None

    def synonyms(self) -> Words:
        """Word to the words that can stand in its place."""
        out: Words = {}
        for word in self._words():
            chief = self.chief(word)
            met = sum(self.tags[word].values()) > 0
            others = [
                other
                for other in self.members.get(chief or "", ())
                if other != word and self._fits(other, chief or "") and (sum(self.tags[other].values()) > 0 or not met)
            ]
            if others:
                out[word] = tuple(others[:MOST])
        return out

    def antonyms(self) -> Words:
        """Word to the words that say the opposite of what it means."""
        found: dict[str, list[str]] = defaultdict(list)
        for synset, word, other, opposite in sorted(self.opposites):
            fits = _PLAIN.fullmatch(word) and word not in GRAMMAR and self._fits(opposite, other)
            if fits and self.share(word, synset) >= UNDERSTOOD:
                found[word].append(opposite)
        return {word: tuple(dict.fromkeys(others))[:MOST] for word, others in found.items()}

    def _words(self) -> Iterator[str]:
        """Words that are no form of another one ("works", "drawn")."""
        plain = (word for word in sorted(self.tags) if _PLAIN.fullmatch(word) and word not in GRAMMAR)
        return (w for w in plain if w not in self.irregular and not (w.endswith("s") and w[:-1] in self.tags))

    def _fits(self, word: str, synset: Synset) -> bool:
        plain = _PLAIN.fullmatch(word) and word not in GRAMMAR
        return bool(plain) and self.share(word, synset) >= UNDERSTOOD


def chinese(
    synsets: Mapping[Synset, tuple[str, ...]], opposites: Iterable[tuple[Synset, Synset]]
) -> tuple[Words, Words]:
    """(synonyms, antonyms) of a wordnet without counts: words of two to four Han characters.

    Two words that have several senses stand for one another where they share most of them.

    `opposites`: pairs of synsets, as the Princeton release has them that the synsets are numbered by.

    >>> chinese({"a1": ("美丽", "漂亮", "美丽的"), "a2": ("丑陋",)}, [("a1", "a2")])
    ({'漂亮': ('美丽',), '美丽': ('漂亮',)}, {'漂亮': ('丑陋',), '美丽': ('丑陋',)})
    """
    held: dict[str, set[Synset]] = defaultdict(set)
    for synset, words in synsets.items():
        for word in words:
            if re.fullmatch("[\u4e00-\u9fff]{2,4}", word) and word[-1] not in "的地" and word not in GRAMMAR:
                held[word].add(synset)
    across: dict[Synset, set[Synset]] = defaultdict(set)
    for one, other in opposites:
        across[one].add(other)
    same: Words = {}
    opposite: Words = {}
    for word, mine in sorted(held.items()):
        same[word] = _shared(word, mine, [[synset] for synset in sorted(mine)], held, synsets, MEANS)
        opposite[word] = _shared(word, mine, [sorted(across[s]) for s in sorted(mine)], held, synsets, UNDERSTOOD)
    return _filled(same), _filled(opposite)


def _shared(
    word: str,
    mine: set[Synset],
    reached: list[list[Synset]],
    held: Mapping[str, set[Synset]],
    synsets: Mapping[Synset, tuple[str, ...]],
    least: float,
) -> tuple[str, ...]:
    """Words that stand in what is reached from enough of a word's synsets, which are enough of their own."""
    met = Counter(w for places in reached for w in dict.fromkeys(w for s in places for w in synsets.get(s, ())))
    fits = [
        other
        for other, times in sorted(met.items(), key=lambda found: (-found[1], found[0]))
        if other != word
        and other in held
        and abs(len(other) - len(word)) <= 1
        and times >= least * max(len(mine), len(held[other]))
    ]
    return tuple(fits[:MOST])


def _filled(found: Words) -> Words:
    return {word: others for word, others in found.items() if others}
