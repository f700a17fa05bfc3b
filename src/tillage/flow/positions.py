"""YAML read as data, each value with its line and column, so that an error can say where.

PyYAML's parser and resolver are used, its constructors only for numbers: nothing in a file can name a class or a
function. Limits come before trust: 1 MB, depth 50, 100 aliases, 100,000 values once the aliases are written out.
YAML 1.1 (which PyYAML reads) takes `007` for 7, `1:30` for 90 and `no` for false. The first two are always refused;
`no` and its kin are kept as words, and whoever knows which type is wanted decides (`flow.parameters`).
Sources: YAML 1.1 (yaml.org/spec/1.1) and its type repository (yaml.org/type).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from tillage.core.errors import ConfigurationError, Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_ALIASES = 100
MAX_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_TEXT = {_TAG + "str", _TAG + "timestamp", _TAG + "value"}
"""A date is left as its text: a field that wants a date reads it from there, and one that wants text is not cheated."""

_MISREAD = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_TRUTH = ("true", "false")
_TOO_LONG = 10**4000
_HALF = re.compile("[\ud800-\udfff]")

Place: TypeAlias = tuple[int, int]
"""(line, column), each from 1."""


@dataclass(frozen=True)
class Node:
    """One value of a YAML file: None, bool, number, text, a tuple of nodes, or a dict of text to nodes."""

    value: Any
    place: Place
    raw: str = ""
    """A plain scalar as it is written; empty for anything else."""
    keys: Mapping[str, Place] = field(default_factory=dict)
    """Of a mapping: where each key stands."""

    @property
    def is_word(self) -> bool:
        """Whether this is `yes`, `no`, `on` or `off`, which YAML takes for a truth value and people for a word."""
        return isinstance(self.value, bool) and self.raw.lower() not in _TRUTH

    def plain(self, words_as_text: bool = False) -> Any:
        """The value without places; `yes` and `no` are truth values, or the texts that were written."""
        if isinstance(self.value, dict):
            return {key: node.plain(words_as_text) for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain(words_as_text) for node in self.value]
        return self.raw if words_as_text and self.is_word else self.value

    def misread(self) -> str:
        """Why a plain scalar is not the text that it looks like, and how to write it; empty for anything else."""
        if not self.raw or not isinstance(self.value, bool | int | float):
            return ""
        read_as = str(self.value).lower() if isinstance(self.value, bool) else "a number"
        return f'YAML reads {self.raw} as {read_as}. Write "{self.raw}".'

    def words(self) -> Iterator[Node]:
        """Every `yes`, `no`, `on` and `off` here and below."""
        if isinstance(self.value, dict | tuple):
            for node in self.value.values() if isinstance(self.value, dict) else self.value:
                yield from node.words()
        elif self.is_word:
            yield self

    def find(self, path: tuple[str | int, ...]) -> Node:
        """The node at `path`; a part that is not there is passed over, so the nearest node that is."""
        here = self
        for part in path:
            if isinstance(here.value, dict) and part in here.value:
                here = here.value[str(part)]
            elif isinstance(here.value, tuple) and isinstance(part, int) and 0 <= part < len(here.value):
                here = here.value[part]
        return here

    def written(self) -> str:
        """The value for a message, as it stands in the file, shortened."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, tuple):
            return f"a list of {len(self.value)}"
        text = (
            "nothing" if self.value is None else self.raw if self.raw and self.value != self.raw else repr(self.value)
        )
        return text if len(text) <= 60 else text[:57] + "..."


def read(text: str, file: str) -> tuple[Node, list[Problem]]:
    """The tree of one YAML document and what is wrong with its keys and scalars.

    Raises ConfigurationError when there is no tree: not YAML, two documents, over a limit.

    >>> tree, problems = read("key: id\\nsteps: [normalize]", "tillage.yaml")
    >>> tree.value["steps"].place, tree.plain(), problems
    ((2, 8), {'key': 'id', 'steps': ['normalize']}, [])
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise too_large(file)
    try:
        composer = _Composer(text)
        try:
            root = composer.get_single_node()
        finally:
            composer.dispose()
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError([_not_yaml(error, file)]) from None
    except yaml.reader.ReaderError as error:
        where = text[: error.position]
        line, column = where.count("\n") + 1, len(where) - where.rfind("\n")
        message = f"The character U+{error.character:04X} is not allowed in YAML."
        raise ConfigurationError([Problem(message, file, line, column)]) from None
    if root is None:
        raise ConfigurationError([Problem("The plan is empty.", file, 1, 1)], fix="Begin with: project: NAME")
    _check_size(root, file)
    problems: list[Problem] = []
    return _Builder(file, problems).build(root), problems


def too_large(file: str) -> ConfigurationError:
    """The error about a file that no plan is.

    >>> str(too_large("data.csv")).partition(". ")[0]
    'data.csv  The file is larger than 1 MB, which no plan is'
    """
    message = (
        f"The file is larger than {MAX_BYTES // 1_000_000} MB, which no plan is. Name the file of the plan with "
        "--plan; long lists of values belong into files that a table collects."
    )
    return ConfigurationError([Problem(message, file)])


class _Composer(yaml.SafeLoader):
    """SafeLoader that stops at the limits while it reads, before Python's own recursion limit is near."""

    depth = 0
    alias_count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.alias_count += bool(self.check_event(yaml.AliasEvent))
        self.depth += 1
        if self.alias_count > MAX_ALIASES or self.depth > MAX_DEPTH:
            limit = f"more than {MAX_ALIASES} aliases" if self.depth <= MAX_DEPTH else f"nested deeper than {MAX_DEPTH}"
            raise yaml.MarkedYAMLError(problem=limit, problem_mark=self.get_mark())
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _not_yaml(error: yaml.MarkedYAMLError, file: str) -> Problem:
    what = " ".join(part for part in (error.context, error.problem) if part)
    hint = ""
    if "'\\t'" in what:
        hint = " Indent with spaces."
    elif "mapping values are not allowed" in what:
        hint = " A text with ': ' in it needs quotes; so does the line above if it is not closed."
    elif "expected a single document" in what:
        hint = " A plan is one document: remove the line '---'."
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Problem(f"This is not YAML that a plan can be: {what}.{hint}", file, line, column)


def _check_size(root: yaml.Node, file: str) -> None:
    """Refuse a tree that its aliases make endless, too deep or too large, before anyone walks it."""
    known: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()

    def measure(node: yaml.Node) -> tuple[int, int]:
        if isinstance(node, yaml.ScalarNode):
            return 1, 1
        at = id(node)
        if at in open_:
            raise ConfigurationError([_at(node, "This value holds itself (an alias inside its own anchor).", file)])
        if at not in known:
            open_.add(at)
            children = [n for pair in node.value for n in pair] if isinstance(node, yaml.MappingNode) else node.value
            sizes = [measure(child) for child in children]
            known[at] = 1 + sum(s for s, _ in sizes), 1 + max((d for _, d in sizes), default=0)
            open_.remove(at)
        return known[at]

    values, depth = measure(root)
    if values > MAX_VALUES or depth > MAX_DEPTH:
        limit = f"more than {MAX_VALUES} values" if values > MAX_VALUES else f"nested deeper than {MAX_DEPTH}"
        raise ConfigurationError([_at(root, f"With its aliases written out, the plan is {limit}.", file)])


def _at(node: yaml.Node, message: str, file: str) -> Problem:
    return Problem(message, file, node.start_mark.line + 1, node.start_mark.column + 1)


class _Builder:
    """From PyYAML's nodes to ours, noting everything that is wrong on the way."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file, self.problems = file, problems

    def build(self, node: yaml.Node) -> Node:
        place = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return Node(tuple(self.build(child) for child in node.value), place)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        raise self._refused(node)

    def _refused(self, node: yaml.Node) -> ConfigurationError:
        """A tag asks for more than data: nothing else in the file is looked at."""
        return ConfigurationError(
            [_at(node, f"The tag '{node.tag}' is not allowed: a plan holds data only.", self.file)]
        )

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        for key_node, value_node in node.value:
            where = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key_node.tag == _TAG + "merge":
                self._note(key_node, "Merging with '<<' is not supported: write the keys out.")
                continue
            if not isinstance(key_node, yaml.ScalarNode) or not (key_node.tag in _TEXT or _is_word(key_node)):
                self._note(key_node, _key_message(key_node))
                continue
            key = key_node.value
            self._note_no_text(key_node)
            if key in values:
                self._note(key_node, f"'{key}' stands here twice; the first is on line {keys[key][0]}.")
                continue
            values[key], keys[key] = self.build(value_node), where
        return Node(values, place, keys=keys)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Node:
        raw = node.value if node.style is None else ""
        if node.tag in _TEXT:
            self._note_no_text(node)
            return Node(node.value, place, raw)
        kind = node.tag.removeprefix(_TAG)
        if kind == "null":
            return Node(None, place, raw)
        try:
            if kind in ("int", "float") and _MISREAD.fullmatch(node.value) and node.value != "0":
                wrong = _number(node)
                self._note(node, f'YAML reads {node.value} as {wrong}. Write "{node.value}" for the text, or {wrong}.')
                return Node(node.value, place, raw)  # said once: as text it fits wherever it may be meant to go
            if kind == "bool":
                return Node(yaml.constructor.SafeConstructor().construct_yaml_bool(node), place, raw)
            if kind in ("int", "float"):
                return Node(_number(node), place, raw)
        except (ValueError, KeyError):
            self._note(node, f"'{node.value[:40]}' cannot be read as {kind}.")
            return Node(None, place, raw)
        raise self._refused(node)

    def _note_no_text(self, node: yaml.ScalarNode) -> None:
        """An escape can write one half of a surrogate pair, which nothing can be called and no file holds."""
        found = _HALF.search(node.value)
        if found:
            self._note(
                node, f"The text holds half of a character, \\u{ord(found[0]):04x}, which is no text: remove it."
            )

    def _note(self, node: yaml.Node, message: str) -> None:
        problem = _at(node, message, self.file)
        if problem not in self.problems:  # an alias brings a node here twice
            self.problems.append(problem)


def _is_word(node: yaml.ScalarNode) -> bool:
    """Whether this is `on` or its like, which as a key can only be meant as a text."""
    return bool(node.tag == _TAG + "bool" and node.value.lower() not in _TRUTH)


def _number(node: yaml.ScalarNode) -> int | float:
    """The number of a scalar; raises ValueError for a whole one that Python would not write."""
    constructor = yaml.constructor.SafeConstructor()
    whole = node.tag == _TAG + "int"
    number: int | float = constructor.construct_yaml_int(node) if whole else constructor.construct_yaml_float(node)
    if whole and abs(number) >= _TOO_LONG:
        raise ValueError("the number is too long")
    return number


def _key_message(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "A key must be a text."
    kind = node.tag.removeprefix(_TAG)
    said = {"bool": "a truth value", "int": "a number", "float": "a number", "null": "nothing"}.get(kind, kind)
    return f'A key must be a text, but YAML reads {node.value or "it"} as {said}. Write "{node.value}".'
