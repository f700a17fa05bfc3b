"""Near duplicates: texts linked by the Jaccard similarity of their shingles, and followed through changes.

Equal texts are one **content**. Each row has an entry under its content, with the text, and one under each bucket of
its content; contents that share a bucket are compared exactly, and those similar enough are linked. Duplicates are the
connected components of these links. Whether two contents are linked depends on those two alone, so a change can leave
all components that it does not reach as they are. An entry is 48 bytes, and ten of them a row at similarity 0.8.
Texts are not kept beside their buckets: the few that a change asks for are read from the rows that bear them, also of
the rows that come, since most of them share no bucket.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
import polars_hash as plh
from numpy.typing import NDArray

from tillage.core.rows import ID, drop_columns, high, only
from tillage.core.step import Keyed
from tillage.prepare.columns import require_type
from tillage.prepare.touched import KEY, Decide, changed
from tillage.text.links import Sets, components, similar
from tillage.text.minhash import Bands, buckets, choose_bands
from tillage.text.runs import Words, meeting
from tillage.text.shingles import Shingles, sets

CONTENT = "_content"
TEXT = "text"
_TOP = pl.lit(1 << 127, dtype=pl.UInt128)
"""Set in the key of a content and not in that of a bucket: the two lie on different pages of the index."""
_NULL_KEY = (1 << 127) + 0x6E756C6C
_NULL = pl.lit(_NULL_KEY, dtype=pl.UInt128)

_SHIFT = pl.lit(1 << 64, dtype=pl.UInt128)

Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Near:
    """The rule: texts of `columns`, joined by blanks, at least `similarity` alike (Jaccard of word 5-grams).

    >>> rows = pl.DataFrame({"text": ["a b c d e f", "A b c d e  f"]})
    >>> Near(("text",), 0.8).entries(rows.with_columns(_id=pl.int_range(2).cast(pl.UInt128)), []).height
    20
    """

    columns: tuple[str, ...]
    similarity: float

    @cached_property
    def bands(self) -> Bands:
        """How signatures are cut into buckets at this similarity."""
        return choose_bands(self.similarity)

    def entries(self, rows: pl.DataFrame, payload: Sequence[pl.Expr]) -> pl.DataFrame:
        """`_id`, `_key`, `_content`, `text` (in lower case; empty in the entry of a bucket), and the payload.

        A row without any text (all null) has no bucket: it equals its like and nothing else.
        """
        texts = self.texts(rows, payload)
        hashed = plh.col(TEXT).nchash.xxh3_128()
        contents = pl.when(pl.col(TEXT).is_null()).then(_NULL).otherwise(hashed | _TOP).alias(CONTENT)
        whole = texts.with_columns(contents).with_columns(pl.col(CONTENT).alias(KEY), pl.col(TEXT).fill_null(""))
        has_text = whole[CONTENT].ne(_NULL_KEY).to_numpy()
        counts = np.where(has_text, 1 + self.bands.bands, 1)
        first = np.zeros(int(counts.sum()), dtype=np.bool_)
        first[np.cumsum(counts) - counts] = True
        hashes = np.zeros(first.size, dtype=np.uint64)
        hashes[~first] = buckets(whole[TEXT].filter(has_text), self.bands, lowered=True).reshape(-1)
        columns = [ID, KEY, CONTENT, TEXT, *(c for c in texts.columns if c not in {ID, TEXT})]
        every = whole.select(columns)[np.repeat(np.arange(whole.height), counts)]
        is_whole = pl.lit(pl.Series(first))
        return every.with_columns(
            pl.when(is_whole).then(KEY).otherwise(_keys(hashes)).alias(KEY),
            pl.when(is_whole).then(TEXT).otherwise(pl.lit("")).alias(TEXT),
        )

    def texts(self, rows: pl.DataFrame, payload: Sequence[pl.Expr] = ()) -> pl.DataFrame:
        """`_id`, `text` (in lower case; null of a row without any) and the payload."""
        require_type(rows, self.columns, "text")
        joined = pl.concat_str([pl.col(c).cast(pl.String) for c in self.columns], separator=" ", ignore_nulls=True)
        nothing = pl.all_horizontal(pl.col(c).is_null() for c in self.columns)
        return rows.select(ID, pl.when(~nothing).then(joined.str.to_lowercase()).alias(TEXT), *payload)

    def cut(self, rows: pl.DataFrame) -> tuple[pl.Series, Shingles]:
        """The ids of these rows, and the sets of their shingles."""
        texts = self.texts(rows)
        return texts[ID], sets(texts[TEXT], lowered=True)

    def decide(self, entries: pl.DataFrame, decide: Decide) -> pl.DataFrame:
        """Decisions on all rows, in the order of their entries."""
        graph = Graph(self)
        graph.add(whole(entries), buckets_of(entries))
        return decide(graph.labelled(whole(entries)))

    def follow(self, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame, decide: Decide) -> pl.DataFrame:
        """Decisions on the added rows, and on those of the components reached that now fare otherwise.

        The index is asked again as long as a component grows: the buckets of contents that came or went, the texts of
        other contents found there, the buckets of those that are linked, and so on. A row stands in every bucket of
        its content, so that texts, the heavy part, are recalled of contents that are not known yet, by one row each.
        """
        graph = Graph.of_change(self, state, added, removed)
        reached = touched = graph.contents
        none, keys = drop_columns(added.clear(), TEXT), touched.clear()
        if state.known():
            keys = pl.concat([graph.keys_of(touched), touched.filter(touched == _NULL_KEY)])
        standing = [none]
        while len(keys):
            found = around(state, keys, none)
            standing.append(found)
            graph.recall(state, strangers(found, graph.contents)[ID])
            del keys  # what follows is the heaviest of a first run
            wider = graph.component_of(touched)
            keys = graph.keys_of(wider.filter(~wider.is_in(reached.implode())))
            reached = wider
        before = pl.concat(standing).unique(ID).filter(pl.col(CONTENT).is_in(reached.implode()))
        stayed = before.join(removed.select(ID, CONTENT).unique(), on=[ID, CONTENT], how="anti")
        after = pl.concat([stayed, whole(drop_columns(added, TEXT))])
        came = whole(added.select(ID, KEY, CONTENT))[ID]
        return changed(decide(graph.labelled(before)), decide(graph.labelled(after)), came)


@dataclass
class Graph:
    """Contents, their buckets and their links, as far as they are known; a pair is compared once.

    >>> graph = Graph(Near(("text",), 0.5))
    >>> graph.contents.len()
    0
    """

    rule: Near
    state: Keyed | None = None
    """Who reads again what is not known of added rows."""
    texts: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={ID: pl.UInt128, CONTENT: pl.UInt128, TEXT: pl.String})
    )
    """Each content with a row that bears it; the text is null where it has to be read again."""
    nodes: list[Places] = field(default_factory=list)
    hashes: list[Words] = field(default_factory=list)
    """Of each bucket of a content, once a row that has it, the number of the content, and the bucket as 64 bits."""
    sets: Sets = field(
        default_factory=lambda: Sets(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    )
    """The shingles of each content, once they have been cut."""
    whole: pl.DataFrame | None = None
    """The labels of all contents, until others come."""

    @classmethod
    def of_change(cls, rule: Near, state: Keyed, added: pl.DataFrame, removed: pl.DataFrame) -> Graph:
        """The contents of rows that came or went; those that went alone are recalled where they come without texts."""
        graph = cls(rule, state)
        graph.add(whole(added), buckets_of(added))
        if TEXT in removed.columns:
            graph.add(whole(removed), buckets_of(removed))
        else:
            graph.recall(state, strangers(whole(removed), graph.contents)[ID])
        return graph

    @property
    def contents(self) -> pl.Series:
        """The known contents; a content's place among them is its number."""
        return self.texts[CONTENT]

    def recall(self, state: Keyed, rows: pl.Series) -> None:
        """Take in the contents of these rows, which nothing is known of yet."""
        if len(rows):
            entries = state.recall(rows)
            self.add(whole(entries), buckets_of(entries))

    def add(self, texts: pl.DataFrame, found: pl.DataFrame) -> None:
        """Take in contents, those that are not known yet, and their buckets."""
        texts = texts.select(ID, CONTENT, TEXT if TEXT in texts.columns else pl.lit(None, dtype=pl.String).alias(TEXT))
        fresh = texts.unique(CONTENT, maintain_order=True)
        if self.texts.height:
            fresh = fresh.join(self.texts, on=CONTENT, how="anti", maintain_order="left")
        self.whole = self.whole if fresh.is_empty() else None
        self.texts = pl.concat([self.texts, fresh])
        self.nodes.append(self._numbers(texts[CONTENT], found[CONTENT]))
        self.hashes.append(found.select(high(KEY))[KEY].to_numpy())

    def _numbers(self, contents: pl.Series, wanted: pl.Series) -> Places:
        """The numbers of the wanted contents, which nearly always are those of `contents`, each once a band."""
        numbers = self.texts.select(CONTENT).with_row_index("node")
        some, bands = contents.filter(contents != _NULL_KEY), self.rule.bands.bands
        aligned = len(some) * bands == len(wanted)
        aligned = aligned and all(bool((wanted.gather_every(bands, n) == some).all()) for n in range(bands))
        asked = (some if aligned else wanted).to_frame(CONTENT)
        found = asked.join(numbers, on=CONTENT, how="left", maintain_order="left")["node"].to_numpy().astype(np.int64)
        return np.repeat(found, bands) if aligned else found

    @property
    def buckets(self) -> pl.DataFrame:
        """`_content` and `_key`: one row a bucket of a content, or more where several rows have that content."""
        nodes, hashes = self._pairs()
        return pl.DataFrame({CONTENT: self.contents.gather(nodes), KEY: _keys(hashes)})

    def keys_of(self, contents: pl.Series) -> pl.Series:
        """The buckets of these contents, some of them twice."""
        nodes, hashes = self._pairs()
        if len(contents) < self.texts.height:
            hashes = hashes[self.contents.is_in(contents.implode()).to_numpy()[nodes]]
        return _keys(hashes)

    def _pairs(self) -> tuple[Places, Words]:
        """`nodes` and `hashes`, each in one piece."""
        if len(self.nodes) != 1:
            self.nodes = [np.concatenate([np.zeros(0, np.int64), *self.nodes])]
            self.hashes = [np.concatenate([np.zeros(0, np.uint64), *self.hashes])]
        return self.nodes[0], self.hashes[0]

    def component_of(self, contents: pl.Series) -> pl.Series:
        """All contents that are connected with these."""
        labels = self._labels(self.contents)
        wanted = labels.filter(pl.col(CONTENT).is_in(contents.implode()))["label"].unique()
        return labels.filter(pl.col("label").is_in(wanted.implode()))[CONTENT]

    def labelled(self, texts: pl.DataFrame) -> pl.DataFrame:
        """These entries under the number of their component, among the contents of these entries alone."""
        labels = self._labels(texts[CONTENT].unique())
        joined = texts.join(labels, on=CONTENT, how="left", maintain_order="left")
        return drop_columns(joined.with_columns(pl.col("label").alias(KEY)), "label", CONTENT, TEXT)

    def _labels(self, among: pl.Series) -> pl.DataFrame:
        """`_content` and `label`, the number of the first content of its component."""
        nodes = self.texts.select(CONTENT)
        everything = among.n_unique() == nodes.height
        if everything and self.whole is not None:
            return self.whole
        if among.is_empty():
            return nodes.clear().with_columns(pl.lit(0, dtype=pl.UInt128).alias("label"))
        asked = None if everything else nodes[CONTENT].is_in(among.unique().implode()).to_numpy()
        members, sizes = self._met(asked)
        self._cut(members)
        numbers = components(self.sets, members, sizes, self.rule.similarity)
        labels = nodes.with_columns(pl.Series("label", numbers).cast(pl.UInt128))
        self.whole = labels if everything else self.whole
        return labels if asked is None else labels.filter(pl.Series(asked))

    def _met(self, asked: Flags | None) -> tuple[Places, Places]:
        """The numbers of contents that share a bucket, bucket by bucket, and how many each bucket has.

        `asked`: by number, the contents that count; None: all.
        """
        nodes, hashes = self._pairs()
        if asked is not None:
            nodes, hashes = nodes[asked[nodes]], hashes[asked[nodes]]
        some = meeting(hashes << np.uint64(1))  # few buckets are shared: what is sorted is what is left
        nodes, hashes = nodes[some], hashes[some]
        order = np.lexsort((nodes, hashes))
        nodes, hashes = nodes[order], hashes[order]
        fresh = np.ones(len(nodes), dtype=np.bool_)
        fresh[1:] = (nodes[1:] != nodes[:-1]) | (hashes[1:] != hashes[:-1])
        nodes, hashes = nodes[fresh], hashes[fresh]
        begins = np.flatnonzero(np.diff(hashes, prepend=~hashes[:1]) != 0)
        sizes = np.diff(begins, append=len(nodes))
        return nodes[np.repeat(sizes > 1, sizes)], sizes[sizes > 1]

    def alike(self, some: pl.Series, others: pl.Series) -> pl.Series:
        """Whether each of the contents `some` is linked with the one beside it in `others`."""
        numbers = self.texts.select(CONTENT).with_row_index("node")
        pairs = [
            pl.DataFrame({CONTENT: side}).join(numbers, on=CONTENT, how="left", maintain_order="left")["node"]
            for side in (some, others)
        ]
        self._cut(pl.concat(pairs).to_numpy())
        both = zip(*(side.to_list() for side in pairs), strict=True)
        found = [similar(self.sets.of(a), self.sets.of(b), self.rule.similarity) for a, b in both]
        return pl.Series(found, dtype=pl.Boolean)

    def _cut(self, nodes: Places) -> None:
        """Make the sets of shingles of these contents, which somebody shares a bucket with."""
        more = np.zeros(self.texts.height - len(self.sets.first), dtype=np.int64)
        hashes, first, last = self.sets
        first, last = np.concatenate((first, more)), np.concatenate((last, more))
        fresh = np.zeros(len(first), dtype=np.bool_)
        fresh[nodes] = True
        numbers = np.flatnonzero(fresh & (last == 0))  # no set is empty
        made, end = [hashes], len(hashes)
        for which, (own, starts) in self._cut_of(numbers):
            first[which], last[which] = end + starts[:-1], end + starts[1:]
            made.append(own)
            end += len(own)
        self.sets = Sets(np.concatenate(made), first, last)

    def _cut_of(self, numbers: Places) -> Iterator[tuple[Places, Shingles]]:
        """The sets of these contents: of the texts that are held, and of those that are read again."""
        asked = self.texts[numbers].with_columns(pl.Series("node", numbers))
        held = asked.filter(pl.col(TEXT).is_not_null())
        yield held["node"].to_numpy(), sets(held[TEXT], lowered=True)
        if held.height < asked.height and self.state is not None:
            lacking = asked.filter(pl.col(TEXT).is_null()).select(ID, "node")
            for found, cut in self.state.each(lacking[ID], self.rule.cut):
                here = found.to_frame().join(lacking, on=ID, how="left", maintain_order="left")
                yield here["node"].to_numpy(), cut


def _keys(hashes: Words) -> pl.Series:
    """The keys of buckets."""
    return pl.DataFrame({KEY: hashes}).select(pl.col(KEY).cast(pl.UInt128) * _SHIFT)[KEY]


def whole(entries: pl.DataFrame) -> pl.DataFrame:
    """The entries that stand for rows."""
    return entries.filter(pl.col(KEY) == pl.col(CONTENT))


def buckets_of(entries: pl.DataFrame) -> pl.DataFrame:
    """The entries that stand for buckets: `_content` and `_key`."""
    return entries.select(CONTENT, KEY).filter(pl.col(KEY) != pl.col(CONTENT))


def around(state: Keyed, keys: pl.Series, like: pl.DataFrame) -> pl.DataFrame:
    """The rows under these keys, one entry each; where keys can be told, those under their own keys too, and so on."""
    found, asked = read(state, keys, like).unique(ID, maintain_order=True), keys
    fresh = found[ID]
    while len(fresh) and (more := state.keys_of(fresh)) is not None:
        wider = more.filter(~more.is_in(asked.implode()))
        asked = pl.concat([asked, wider])
        here = read(state, wider, like).unique(ID, maintain_order=True)
        fresh = here.filter(~pl.col(ID).is_in(found[ID].implode()))[ID]
        found = pl.concat([found, only(here, fresh)])
    return found


def strangers(found: pl.DataFrame, known: pl.Series) -> pl.DataFrame:
    """Of entries those with contents that are not known, one each."""
    fresh = found.filter(~pl.col(CONTENT).is_in(known.implode()))
    return fresh.unique(CONTENT, keep="first", maintain_order=True)


def read(state: Keyed, keys: pl.Series, like: pl.DataFrame) -> pl.DataFrame:
    """The entries under these keys, with the columns of `like`; none where there is no key to ask for."""
    found = state.read(keys) if len(keys) else like.clear()
    return found.select(like.columns) if found.height else like.clear()
