"""Telephone numbers: international, Chinese, North American; others by the words about them.

There is no checksum in a telephone number, so its layout must speak (a country code, the prefix of a Chinese mobile,
the three groups of North America), or a word near it. A word such as "order number" right before it speaks against it.
Sources: ITU-T E.164 (at most 15 digits), the Chinese numbering plan (mobile 13 to 19, area codes 0xx and 0xxx), NANP.
"""

from __future__ import annotations

import re

from tillage.privacy.kinds import Check, Form, any_of, near, places_of
from tillage.privacy.shapes import Shape

_START = r"(?<![0-9A-Za-z+])(?<![0-9][.,/\-])"
_END = r"(?![0-9A-Za-z])(?![.,/\-][0-9])"
_EXTENSION = r"(?:\s?(?:[xX]|[Ee]xt\.?|转|分机)\s?[0-9]{1,6})?"

_WORDS = (
    r"phone|\btel|mobile|\bcell|fax|\bcall|\bdesk\b|answering|messages?|contact|reach|whatsapp|wechat|\bsms\b"
    r"|\bdial|\bring\b|hotline|text me|电话|手机|联系|致电|传真|座机|热线|微信|拨打|来电|短信|分机"
)
_ABOUT = near(_WORDS, 40, 16)
_LABEL = re.compile(
    r"(?:phone|tel(?:ephone)?|mobile|cell|fax|desk|call(?: me)?(?: on| at)?|whatsapp"
    r"|电话|手机|传真|座机|热线|联系方式|微信)"
    r"(?:号码?|\s?(?:number|no\.?|nr\.?|#))?\s{0,2}(?:is|was|为|是)?\s{0,2}[:：#]?\s{0,3}(?:\+|\()?$",
    re.IGNORECASE,
)
_IN_LABELS = any_of("phone|tel|mobile|cell|fax|desk|call|whatsapp|电话|手机|传真|座机|热线|联系方式|微信")
"""What any label holds: asked first, since to look for a label as it must stand costs three times as much."""
_LABEL_AFTER = re.compile(r"[\s(\-]{1,2}(?:phone|tel|mobile|cell|fax|office|desk|home)(?![A-Za-z])", re.IGNORECASE)
_AGAINST = re.compile(
    r"(?:订单|单号|流水|编号|序列|工单|发票|快递|运单|合同|批次|账号|卡号|身份证|证号|护照"
    r"|order|invoice|serial|tracking|ticket|reference|account|card|passport|ssn|licen[cs]e|iban|isbn|\bid|sku)"
    r"\S{0,3}(?:号码?|\s(?:number|no\.?|#))?\s{0,2}(?:is|为|是)?\s{0,2}[:：#]?\s{0,2}$",
    re.IGNORECASE,
)
_DATE = re.compile(r"(?:19|20)[0-9]{2}[-. ][01]?[0-9][-. ][0-3]?[0-9](?![0-9])|[0-3]?[0-9][-.][0-3]?[0-9][-.][0-9]{4}$")


_EXTENSION_SIGN = re.compile("[xX转e分]")


def _count(said: str) -> int:
    """Digits, those of an extension apart."""
    extension = _EXTENSION_SIGN.search(said)
    return sum(map(str.isdigit, said[: extension.start()] if extension else said))


def _against(text: str, start: int) -> bool:
    return bool(_AGAINST.search(text[max(0, start - 28) : start]))


def _plain(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Clear by its layout."""
    return None if _against(text, start) else (start, end)


def _international(text: str, start: int, end: int) -> tuple[int, int] | None:
    return (start, end) if 8 <= _count(text[start:end]) <= 15 else None


def _grouped(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Groups of digits that may be anything, with a word about them."""
    said = text[start:end]
    if not 7 <= _count(said) <= 14 or _DATE.match(said) or said.count(".") == 3 == said.count(" "):
        return None  # asked first: tables of numbers are nearly all that has such groups
    if not (_ABOUT(text, start, end) or _LABEL_AFTER.match(text, end)):
        return None
    return None if _against(text, start) else (start, end)


def _labelled(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Digits alone, with a word right before or behind them that says what they are."""
    before = text[max(0, start - 40) : start]
    labelled = (_IN_LABELS(before) and _LABEL.search(before)) or _LABEL_AFTER.match(text, end)
    return (start, end) if labelled and not _against(text, start) else None


_NUMBERS = places_of(r"[0-9+(](?<![0-9A-Za-z+][0-9+(])")
"""Where a number begins, by the first half of _START."""


_SAID = (
    "phone", "tel", "mobile", "cell", "fax", "call", "desk", "whatsapp", "sms", "office", "home",
    "电话", "手机", "联系", "致电", "传真", "座机", "热线", "微信", "拨打", "来电", "短信", "分机",
)  # fmt: skip
"""A number that needs words about it has one of these in its text, or one of those that count for groups alone."""
_SEVEN = [
    rf"(?:\([0-9]{{{n}}}\)[ .-]?|[0-9]{{{n}}}[ .-])[0-9]{{2}}(?:[ .-]?[0-9]){{{max(0, 5 - n)}}}" for n in range(2, 6)
]
"""Groups of digits, by how many the first has: seven in all at least."""


def _form(
    shape: Shape,
    pattern: str,
    gate: str | tuple[str, ...],
    check: Check,
    *,
    sure: bool = True,
    words: tuple[str, ...] = (),
) -> Form:
    gates = (gate,) if isinstance(gate, str) else gate
    return Form("phone", shape, re.compile(pattern), gates, check, sure, words, _NUMBERS, six=True)


TELEPHONE: tuple[Form, ...] = (
    _form(
        Shape.MOBILE,
        rf"{_START}(?:(?:\+|00)?86[ \-]?)?1[3-9][0-9]([ \-]?)[0-9]{{4}}\1[0-9]{{4}}{_END}",
        (
            r"1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}",
            r"(?:^|[^0-9A-Za-z+]|86[ -]?)1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?:$|[^0-9A-Za-z])",
        ),
        _plain,
    ),
    _form(
        Shape.LANDLINE,
        rf"{_START}(?:\(0[1-9][0-9]{{1,2}}\)[ \-]?|0(?:10|2[0-9]|[3-9][0-9]{{2}})[\- ])[2-9][0-9]{{6,7}}"
        rf"(?:(?:转|-)[0-9]{{1,5}})?{_END}",
        r"0[1-9][0-9]{1,2}[)\- ][ -]?[2-9][0-9]{6}",
        _plain,
    ),
    _form(
        Shape.PLUS,
        rf"{_START}(?:\(\+[1-9][0-9]{{0,3}}\)|\+[1-9](?:[ .\-]?[0-9]){{0,3}}[ .\-]?\(0?[0-9]{{0,4}}\))"
        rf"(?:[ .\-]?[0-9]){{5,13}}{_EXTENSION}{_END}",
        r"\+[1-9](?:[ .()\-]{0,4}[0-9]){7}",
        _international,
    ),
    _form(
        Shape.PLUS,
        rf"{_START}\+[1-9](?:[ .\-]?[0-9]){{7,14}}{_EXTENSION}{_END}", r"\+[1-9](?:[ .-]?[0-9]){7}", _international),
    _form(
        Shape.ZEROS,
        rf"{_START}00[1-9][0-9]{{0,2}}[ .\-](?:[ .\-]?[0-9]){{6,12}}{_EXTENSION}{_END}",
        r"00[1-9][0-9]{0,2}[ .-](?:[ .-]?[0-9]){6}",
        _international,
    ),
    _form(
        Shape.AMERICAN,
        rf"{_START}(?:1[ .\-])?(?:\([2-9][0-9]{{2}}\)[ .\-]?|[2-9][0-9]{{2}}[ .\-])[2-9][0-9]{{2}}[ .\-]"
        rf"[0-9]{{4}}{_EXTENSION}{_END}",
        r"[2-9][0-9]{2}[)\-. ][ .-]?[2-9][0-9]{2}[ .-][0-9]{4}",
        _plain,
    ),
    _form(
        Shape.FREE,
        rf"{_START}[48]00-?[0-9]{{3,4}}-?[0-9]{{3,4}}{_END}", r"[48]00-?[0-9]{3}-?[0-9]{3}", _grouped, sure=False),
    _form(
        Shape.GROUPS,
        rf"{_START}(?:\([0-9]{{2,5}}\)[ .\-]?[0-9]{{2,8}}|[0-9]{{2,5}}[ .\-][0-9]{{2,8}})(?:[ .\-]"
        rf"[0-9]{{2,8}}){{0,4}}{_EXTENSION}{_END}",
        (r"[0-9][)\-. ][ .-]?[0-9]{2}", rf"(?:^|[^0-9A-Za-z+])(?:{'|'.join(_SEVEN)})"),
        _grouped,
        sure=False,
        words=(*_SAID, "ring", "dial", "contact", "reach", "message", "answering", "hotline", "text me", "wechat"),
    ),
    _form(
        Shape.DIGITS,
        rf"{_START}[0-9]{{7,12}}{_EXTENSION}{_END}",
        ("[0-9]{7}", r"(?:^|[^0-9A-Za-z+])[0-9]{7,12}(?:$|[^0-9A-DF-WYZa-df-wyz])"),
        _labelled,
        sure=False,
        words=_SAID,
    ),
)  # fmt: skip
"""The ways in which telephone numbers are written, the clear ones first."""
