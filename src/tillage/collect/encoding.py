"""Which encoding a text file has, and its text as UTF-8 with every place traced to the original bytes.

Order: a declared one; a byte order mark; strict UTF-8; GB18030 when the whole file decodes, no non-ASCII line is valid
UTF-8 and no Han character stands alone between Latin letters (strict GB18030 alone accepts mixed files and a Latin-1
"caf\xe9e"); else UTF-8, and the records that are not are quarantined. One pass at about 1 GB a CPU second; a second one
only for files that are not UTF-8.
"""

from __future__ import annotations

import codecs
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from threading import Lock

import polars as pl

from tillage.collect.content import Content
from tillage.collect.unpack import Unreadable
from tillage.text.native import compiled

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_WITHOUT_ORDER = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
_NOT_FOR_FILES = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7", "mbcs", "oem"}
_LONE = re.compile(r"[A-Za-z]([\u4e00-\u9fff])(?![\u4e00-\u9fff])(?=(.?))", re.DOTALL)
_PRIVATE = re.compile(r"[\ue000-\uf8ff]")
_LETTER = re.compile(r"[A-Za-z]")
_LONGEST_LINE = 16 << 20
_LONGEST_CHARACTER = 4
_ROOM = 4096
"""Files whose encoding is remembered."""


@dataclass(frozen=True)
class Encoding:
    """`codec`: Python's name; `mark`: bytes of the byte order mark; `clean`: the whole file is known to decode, or will
    be before a record of it is used: `supposed` is an encoding that `decoded` is still to prove."""

    codec: str
    mark: int
    clean: bool
    supposed: bool = False


class OtherEncodingError(Exception):
    """The file is not in the encoding that was supposed; `detect` it without supposing, and begin anew."""


class _Known:
    """The encodings of files that were read whole, by their identity; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Encoding] = OrderedDict()
        self._lock = Lock()

    def put(self, content: Content, encoding: Encoding) -> Encoding:
        if content.identity and not content.whole:
            with self._lock:
                # Its records are looked at again: the bytes may have changed under the same stamp.
                self._held[content.identity] = replace(encoding, clean=False, supposed=False)
                while len(self._held) > _ROOM:
                    self._held.popitem(last=False)
        return encoding

    def get(self, content: Content) -> Encoding | None:
        with self._lock:
            return self._held.get(content.identity)


_known = _Known()


def checked_codec(name: str) -> str:
    """The canonical name of a text encoding, or ValueError.

    >>> checked_codec("GBK"), checked_codec("latin1")
    ('gbk', 'iso8859-1')
    """
    try:
        "".encode(name)
        found = codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        found = ""
    if not found or found.replace("-", "_") in {n.replace("-", "_") for n in _NOT_FOR_FILES}:
        raise ValueError(f"no text encoding is called {name!r}; for instance utf-8, gbk, gb18030, utf-16, latin-1")
    return found


def detect(content: Content, declared: str = "auto", *, suppose: bool = False) -> Encoding:
    """The encoding of `content`; raises Unreadable for binary data and for UTF-16 that does not say so.

    `suppose`: a long file that begins as text is taken for UTF-8, which spares a pass; `decoded` raises
    OtherEncodingError where it is none.
    """
    for mark, codec in _MARKS:
        if content.head.startswith(mark):
            return Encoding(codec, len(mark), clean=False)
    if declared != "auto":
        codec = _WITHOUT_ORDER.get(checked_codec(declared), checked_codec(declared))
        return Encoding(codec, 0, clean=False)
    _refuse_binary(content.head[:65536])
    known = _known.get(content)
    if known is not None:
        return known
    if suppose and content.identity and not content.whole:
        return Encoding("utf-8", 0, clean=True, supposed=True)
    if _is_utf8(content, 0):
        return _known.put(content, Encoding("utf-8", 0, clean=True))
    if _is_gb18030(content):
        return _known.put(content, Encoding("gb18030", 0, clean=True))
    return _known.put(content, Encoding("utf-8", 0, clean=False))


def decoded(content: Content, encoding: Encoding) -> Iterator[bytes]:
    """The content as UTF-8, in blocks; what does not decode stays invalid UTF-8, so that its record can be found.

    Raises OtherEncodingError, before the block is given, where the encoding was supposed and is another.
    """
    skip = encoding.mark
    if encoding.supposed:
        look = _Utf8()
        for block in content.blocks():
            if not look.fits(block):
                raise OtherEncodingError
            yield block
        if not look.whole():
            raise OtherEncodingError
        _known.put(content, encoding)
        return
    if encoding.codec == "utf-8":
        for block in content.blocks():
            yield block[skip:] if skip else block
            skip = 0
        return
    decoder = codecs.getincrementaldecoder(encoding.codec)(_errors(encoding.codec))
    try:
        for block in content.blocks():
            yield decoder.decode(block[skip:]).encode("utf-8", "surrogatepass")
            skip = 0
    except UnicodeDecodeError as error:
        raise Unreadable("bad_encoding", f"The file is not {encoding.codec}: {error.reason}.") from error
    try:
        rest = decoder.decode(b"", True)
    except UnicodeDecodeError:
        rest = "\udcff"  # a character cut by the end of the file spoils the last record only
    yield rest.encode("utf-8", "surrogatepass")


def original(data: bytes, codec: str) -> bytes:
    """The bytes in the file of a piece of `decoded`."""
    if codec == "utf-8":
        return data
    return data.decode("utf-8", "surrogatepass").encode(codec, _errors(codec))


def _errors(codec: str) -> str:
    # Lone surrogates are UTF-16's own form of damage; other encodings keep the undecodable byte itself.
    return "surrogatepass" if codec.startswith(("utf-16", "utf-32")) else "surrogateescape"


def _refuse_binary(sample: bytes) -> None:
    zeros = sample.count(0)
    if zeros * 10 < len(sample) or zeros < 2:
        return
    even = sample[0::2].count(0)
    if max(even, zeros - even) >= 0.9 * zeros:
        raise Unreadable(
            "utf16_without_mark", "This looks like UTF-16 without a byte order mark. Declare it: encoding: utf-16-le."
        )
    raise Unreadable("not_text", "The file is binary, not text.")


def _is_utf8(content: Content, skip: int) -> bool:
    """Whether all of it is."""
    look = _Utf8()
    for block in content.blocks():
        if not look.fits(block[skip:] if skip else block):
            return False
        skip = 0
    return look.whole()


class _Utf8:
    """Whether blocks, one after another, are UTF-8; a character may lie across two."""

    def __init__(self) -> None:
        self._rest = b""

    def fits(self, block: bytes) -> bool:
        """Whether this block goes on as UTF-8."""
        rest, self._rest = self._rest, b""
        if not rest and block.isascii():
            return True
        if compiled is None or len(block) < _LONGEST_CHARACTER:
            data = rest + block if rest else block
            whole = _whole_characters(data)
            self._rest = data[whole:]
            return is_utf8(data[:whole])
        across = compiled.utf8_until(rest + block[: _LONGEST_CHARACTER - 1]) if rest else 0
        if rest and not across:
            return False
        view = memoryview(block)[across - len(rest) :]
        self._rest = bytes(view[compiled.utf8_until(view) :][:_LONGEST_CHARACTER])
        return len(self._rest) < _LONGEST_CHARACTER

    def whole(self) -> bool:
        """Whether no character was cut at the end."""
        return not self._rest


def is_utf8(data: bytes) -> bool:
    """Whether these bytes are; without the compiled scan Polars looks, ten times as fast as a decoder."""
    if data.isascii():
        return True
    if compiled is not None:
        return compiled.utf8_until(data) == len(data)  # type: ignore[no-any-return]
    try:
        pl.Series([data], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.PolarsError:  # that is its answer
        return False
    return True


def _whole_characters(data: bytes) -> int:
    """How many bytes there are before a last character that is cut."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            return len(data) - back if (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) > back else len(data)
        if byte < 0x80:
            break
    return len(data)


def _is_gb18030(content: Content) -> bool:
    decoder = codecs.getincrementaldecoder("gb18030")("strict")
    line, text = b"", ""
    try:
        for block in content.blocks():
            text += decoder.decode(block)
            lines = (line + block).replace(b"\r", b"\n").split(b"\n")
            line = lines.pop()[-_LONGEST_LINE:]
            if any(_is_foreign(one) for one in lines) or _has_lone_han(text[:-2]):
                return False
            text = text[-4:]
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return not _is_foreign(line) and not _has_lone_han(text)


def codec_of_names(names: bytes) -> str:
    """The codec of names that do not tell theirs: UTF-8, else GB18030 where it may be (as of files), else that of DOS.

    >>> codec_of_names("数据.csv".encode()), codec_of_names("数据.csv".encode("gbk"))
    ('utf-8', 'gb18030')
    >>> codec_of_names("Müller.csv".encode("cp437"))
    'cp437'
    """
    for codec in ("utf-8", "gb18030"):
        try:
            text = names.decode(codec)
        except UnicodeDecodeError:
            continue
        if codec == "utf-8" or not (_has_lone_han(text) or _PRIVATE.search(text)):
            return codec
    return "cp437"


def _is_foreign(line: bytes) -> bool:
    """A line with more than ASCII that is valid UTF-8 cannot stand in a GB18030 file."""
    if line.isascii():
        return False
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _has_lone_han(text: str) -> bool:
    for match in _LONE.finditer(text):
        # "T-shirt" is written with one Han character after a letter, so the next character must be a letter too: as
        # text (the e-acute of "resume" takes the s), or as the second byte (the e-acute of "cafee" takes the e).
        second = chr(match[1].encode("gb18030")[1])
        if _LETTER.match(match[2]) or _LETTER.match(second):
            return True
    return False
