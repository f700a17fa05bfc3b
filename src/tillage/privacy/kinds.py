"""The kinds of structured personal data: how each is written, what must hold of it, which words must stand by.

A form is a pattern, a check that settles where the finding begins and ends or turns it down, and what spares the work:
gates (regular expressions without look-around that are found in every text in which the form finds anything: Polars
runs them over whole columns at 500 MB/s to 5 GB/s), the words of which one must stand in the text where the check asks
for words, and the places where a match can begin. Boundaries are `(?<![0-9A-Za-z])` and never `\\b`, to which a Han
character is a letter, so that 手机138... would be missed. Patterns have bounded repetitions with one way to match, so
that no text can stall them.
Names, addresses and other free text have no form: they need a dictionary, a rule for their column, or a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from ipaddress import AddressValueError, IPv6Address
from typing import Literal, TypeAlias

from tillage.privacy import checksums
from tillage.privacy.shapes import Shape

Check: TypeAlias = Callable[[str, int, int], "tuple[int, int] | None"]
"""(folded text, start, end) to the place of what was really found, or None."""

Starts: TypeAlias = Callable[[str], "list[int]"]
"""Folded text to places in ascending order, those where a form can begin among them."""

PiiType = Literal[
    "email", "url", "ip_address", "mac_address", "phone", "credit_card", "cn_bank_card", "iban", "crypto_address",
    "cn_resident_id", "cn_social_credit", "us_ssn", "passport", "cn_licence_plate", "date_of_birth",
]  # fmt: skip
"""The structured types that are known; of two equally good findings that overlap, the type named first is taken."""

START, END = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_BEFORE, _BEHIND = r"(?:^|[^0-9A-Za-z])", r"(?:$|[^0-9A-Za-z])"
"""The same in a gate, where nothing is looked around for."""
_COLONS = (
    ":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*[0-9]|:[0-9A-Fa-f]*[0-9][0-9A-Fa-f]*:|[0-9][0-9A-Fa-f]{0,3}:[0-9A-Fa-f]{0,40}:"
)
"""Two colons and a digit, as an address of IPv6 has them."""
_BEFORE_COLON = "(?:^|[^0-9A-Za-z:.])"
_SIX, _LONG = "[0-9]{6}", "[0-9]{12}"
"""Gates that many forms share."""
SIX_DIGITS = r"[0-9](?:[ .()/\-]{0,4}[0-9]){5}"
"""A gate before the gates of most forms of numbers: one text with a digit in five has it."""
_PLACEHOLDER = "[{<"
"""A context word that opens a bracket is a replacement such as [PHONE], which says nothing of its neighbours."""


@dataclass(frozen=True)
class Form:
    """One way in which a type is written; `sure`: a checksum or a syntax of its own makes it certain."""

    type: PiiType
    shape: Shape
    """What the compiled pass looks for, and where, instead of the gates, the words and the places."""
    pattern: re.Pattern[str]
    gates: tuple[str, ...]
    """Asked one after the other; one that begins with a digit or a sign is ten times as fast as one with a letter."""
    check: Check
    sure: bool = True
    words: tuple[str, ...] = ()
    """In small letters: the text holds one of them, whatever its case; none: anything may stand about it."""
    starts: Starts | None = None
    """None: the pattern looks for itself."""
    han: bool = False
    """It holds a Han character, so that no text of ASCII has it."""
    six: bool = False
    """It holds six digits close to each other, so that no text without SIX_DIGITS has it."""


def _form(
    kind: PiiType,
    shape: Shape,
    pattern: str,
    gate: str | tuple[str, ...],
    check: Check,
    *,
    sure: bool = True,
    words: tuple[str, ...] = (),
    starts: Starts | None = None,
    han: bool = False,
    six: bool = False,
) -> Form:
    gates = (gate,) if isinstance(gate, str) else gate
    return Form(kind, shape, re.compile(pattern), gates, check, sure, words, starts, han, six)


def places_of(pattern: str) -> Starts:
    """The places where a pattern is found. One that begins with a set of characters is looked for ten times as fast.

    >>> places_of("[0-9](?<![a-z][0-9])")("a1 2b3 44")
    [3, 7, 8]
    """
    found = re.compile(pattern).finditer
    return lambda text: [match.start() for match in found(text)]


NUMBERS = places_of("[0-9](?<![0-9A-Za-z][0-9])")
"""Where a number begins: what `START` followed by a digit matches."""
_SCHEMES = places_of(r"[HhFfWw](?<![0-9A-Za-z][HhFfWw])(?=[Tt][Tt][Pp]|[Tt][Pp]:|[Ww][Ww]\.)")

_LOCAL = re.compile(r"[0-9A-Za-z._%+'\-]+\Z")
_LONGEST_LOCAL = 64


def _mailboxes(text: str) -> list[int]:
    """Where what stands before an @ begins, if it is not too long; looked for from each @ backwards."""
    out, at = [], text.find("@")
    while at >= 0:
        before = _LOCAL.search(text, max(0, at - _LONGEST_LOCAL - 1), at)
        if before and at - before.start() <= _LONGEST_LOCAL:
            out.append(before.start())
        at = text.find("@", at + 1)
    return out


def any_of(words: str, before: str = "") -> Callable[[str], bool]:
    """Whether a text holds one of these words in any case, not behind a sign of `before` (a class of signs).

    The words, in small letters, are parted by | and hold no other; each begins with a letter, or `\\b` and one. It is
    written with its first letter before what must not precede it, and the text is asked in small letters: a pattern
    that begins with certain letters, in one case, is looked for three times as fast.

    >>> said = any_of(r"phone|\\bring", "[<]")
    >>> said("My PHONE"), said("string"), said("a [phone]")
    (True, False, False)
    """
    parts = []
    for word in words.split("|"):
        bare = word.removeprefix(r"\b")
        barred = rf"(?<![{re.escape(before)}]{bare[0]})" if before else ""
        parts.append(bare[0] + barred + (rf"(?<!\w{bare[0]})" if bare != word else "") + bare[1:])
    pattern = "|".join(parts)

    def found(text: str) -> bool:
        if text.isascii() or not _OTHER_CASES.search(text):
            return _searched(pattern, re.NOFLAG)(text.lower()) is not None
        return _searched(pattern, re.IGNORECASE)(text) is not None

    return found


@cache
def _searched(pattern: str, flags: re.RegexFlag) -> Callable[[str], re.Match[str] | None]:
    """The search for a pattern, compiled when it is first asked for: what no text comes near costs no start."""
    return re.compile(pattern, flags).search


_OTHER_CASES = re.compile("[\u0130\u0131\u017f]")
"""What a pattern takes for an i or s, and `str.lower` does not."""


def near(words: str, before: int, after: int = 0) -> Callable[[str, int, int], bool]:
    """Whether one of these words stands within so many characters before or after a place, in any case.

    >>> near("phone|手机", 12)("My phone: 555", 10, 13)
    True
    """
    said = any_of(words, _PLACEHOLDER)

    def found(text: str, start: int, end: int) -> bool:
        if said(text[max(0, start - before - 1) : start]):  # one more: what opens a placeholder
            return True
        return bool(after and said(text[end : end + after]))

    return found


def _holds(test: Callable[[str], bool]) -> Check:
    """A check of the letters and digits alone."""

    def check(text: str, start: int, end: int) -> tuple[int, int] | None:
        return (start, end) if test("".join(filter(str.isalnum, text[start:end]))) else None

    return check


def _stands(test: Callable[[str, int, int], bool]) -> Check:
    def check(text: str, start: int, end: int) -> tuple[int, int] | None:
        return (start, end) if test(text, start, end) else None

    return check


# ---- addresses of the network

_TRAILING = ".,;:!?'\")]}*_(["
_OF_URL = r"[0-9A-Za-z\-._~:/?#@!$&'()*+,;=%\[\]]"
_HAN = "\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
_OF_NAME = rf"(?:[{_HAN}0-9A-Za-z\-_~%]|\([{_HAN}0-9A-Za-z\-_]{{1,40}}\))"
_ENTRY = r"(?:(?<=[0-9A-Za-z_\]]=)|(?<=#)|(?<=/wiki/)|(?<=/item/))"
_FOLDER = (
    rf"(?<=/)(?={_OF_NAME}{{0,99}}[{_HAN}][0-9]{{0,3}}"
    rf"(?:/|\?[0-9A-Za-z_]{{1,20}}=|\.[A-Za-z][0-9A-Za-z]{{1,4}}(?![0-9A-Za-z])))"
)
_GOES_ON = re.compile(
    rf"(?:{_ENTRY}|{_FOLDER})[{_HAN}]{_OF_NAME}{{0,200}}{_OF_URL}{{0,2000}}"
    rf"(?:(?<=[/=#])[{_HAN}]{_OF_NAME}{{0,200}}{_OF_URL}{{0,2000}}){{0,20}}"
)
"""Where an address goes on in Han (RFC 3987) and the sentence about it does not: a value, a fragment, an entry of an
encyclopaedia, a folder or a file. Anywhere else what follows without a blank is the sentence: 见https://a.cn/x/下载。"""


def _url(text: str, start: int, end: int) -> tuple[int, int] | None:
    if more := _GOES_ON.match(text, end):
        end = more.end()
    while text[end - 1] in _TRAILING and not (text[end - 1] == ")" and "(" in text[start:end]):
        end -= 1
    return (start, end) if "." in text[start:end] or "localhost" in text[start:end].lower() else None


def _email(text: str, start: int, end: int) -> tuple[int, int] | None:
    local = text[start : text.index("@", start)]
    begun = start + len(local) - len(local.lstrip(".'-"))
    return (begun, end) if not local.endswith(".") and ".." not in local and local.strip(".'-") else None


_VERSION = near(r"version|\bv|版本|release|\bver\b", 10)


def _ip4(text: str, start: int, end: int) -> tuple[int, int] | None:
    parts = text[start:end].split(".")
    wrong = any(int(p) > 255 or (len(p) > 1 and p[0] == "0") for p in parts)
    if wrong or parts[0] in ("0", "127") or _VERSION(text, start, end):
        return None
    return start, end


def _ip6(text: str, start: int, end: int) -> tuple[int, int] | None:
    while end > start and text[end - 1] in ":." and text[end - 2 : end] != "::":
        end -= 1
    try:
        address = IPv6Address(text[start:end])
    except AddressValueError:
        return None
    told = any(c.isdigit() for c in text[start:end]) and not (address.is_unspecified or address.is_loopback)
    return (start, end) if told else None


# ---- numbers


def _iban(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The country says how many characters belong to it, so that the word after it does not."""
    wanted = checksums.IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    bare, place = "", start
    while place < end and len(bare) < wanted:
        bare += text[place] if text[place] not in " -" else ""
        place += 1
    bounded = place == len(text) or not text[place].isascii() or not text[place].isalnum()
    return (start, place) if wanted and bounded and checksums.iban(bare) else None


_SSN = near(r"ssn|social security|tax ?id|itin", 40, 16)
_PASSPORT = near(r"passport|护照|旅行证|通行证", 40)
_RESIDENT = near(r"身份证|证件号|公民身份|resident id|id card", 24)
_WALLET = near(r"eth\b|ether|wallet|crypto|usdt|usdc|erc-?20|token|钱包|转账|地址|deposit|coin", 60, 40)
_PAYS = near(r"card|credit|\bcc\b|visa|debit|信用卡", 32, 12)
_BORN = near(r"born|birth|\bdob\b|d\.o\.b|出生|生日|生于|诞生", 28)
_BORN_AFTER = re.compile(r"\s{0,2}(?:\(?出生|生(?!产|效)|birthday)")
_CARD_WORD = near(r"银行卡|储蓄卡|借记卡|卡号|账号|帐号|开户", 16)


def _ssn(text: str, start: int, end: int) -> bool:
    area, group, serial = re.split("[- ]", text[start:end])
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _bare_ssn(text: str, start: int, end: int) -> bool:
    n = text[start:end]
    return _SSN(text, start, end) and n[:3] not in ("000", "666") and n < "900" and n[3:5] != "00" and n[5:] != "0000"


def _old_bank_card(text: str, start: int, end: int) -> bool:
    return checksums.luhn(text[start:end]) and _CARD_WORD(text, start, end)


def _card_of_unknown_issuer(text: str, start: int, end: int) -> bool:
    digits = text[start:end]
    return len(set(digits)) > 2 and checksums.luhn(digits) and _PAYS(text, start, end)


def _old_resident(text: str, start: int, end: int) -> bool:
    return _RESIDENT(text, start, end) and checksums.old_resident_id(text[start:end])


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]


def _born(text: str, start: int, end: int) -> bool:
    if not (_BORN(text, start, end) or _BORN_AFTER.match(text, end)):
        return False
    said = text[start:end].lower()
    numbers = [int(n) for n in re.findall(r"\d+", said)]
    named = [i for i, month in enumerate(_MONTHS, 1) if re.search(rf"(?<![a-z]){month}", said)]
    if named:
        return len(numbers) == 2 and checksums.real_date(numbers[1], named[0], numbers[0])
    year, a, b = numbers if numbers[0] > 31 else (numbers[2], numbers[0], numbers[1])
    return checksums.real_date(year, a, b) or checksums.real_date(year, b, a)


def _plate(text: str, start: int, end: int) -> bool:
    tail = text[start + 2 : end].lstrip("·• ")
    return sum(c.isdigit() for c in tail) >= 2 and (len(tail) == 5 or tail[0] in "DFABCEGHJK" or tail[-1] in "DF")


_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_MONTH_NAME = (
    r"(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|[Mm]ay|[Jj]une?|[Jj]uly?|[Aa]ug(?:ust)?"
    r"|[Ss]ep(?:t(?:ember)?)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?)"
)
_BIRTH = ("born", "birth", "dob", "d.o.b", "生")
_DIGITS_4 = r"[0-9]{4}"
_EVM = r"0x[0-9a-fA-F]{40}"

STRUCTURED: tuple[Form, ...] = (
    _form(
        "email",
        Shape.MAILBOX,
        rf"(?<![0-9A-Za-z._%+'\-])[0-9A-Za-z._%+'\-]{{1,64}}+@(?:[0-9A-Za-z]"
        rf"(?:[0-9A-Za-z\-]{{0,61}}[0-9A-Za-z])?\.){{1,8}}(?:xn--[0-9A-Za-z\-]{{2,50}}|[A-Za-z]{{2,24}}){END}",
        r"[0-9A-Za-z._%+'\-]@[0-9A-Za-z][0-9A-Za-z.\-]*\.[A-Za-z]",
        _email,
        starts=_mailboxes,
    ),
    _form(
        "url",
        Shape.SCHEME,
        r"(?<![0-9A-Za-z])(?:(?:[Hh][Tt][Tt][Pp][Ss]?|[Ff][Tt][Pp])://"
        rf"|[Ww]{{3}}\.){_OF_URL}{{3,2000}}",
        r"(?:[Tt][Tt][Pp][Ss]?|[Ff][Tt][Pp])://[!#-;=?-Z\[\]_a-z~]|[Ww]{3}\.[!#-;=?-Z\[\]_a-z~]",
        _url,
        starts=_SCHEMES,
    ),
    _form(
        "ip_address",
        Shape.DOTTED,
        r"(?<![0-9A-Za-z])(?<![0-9]\.)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z])(?!\.[0-9])",
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
        _ip4,
        starts=NUMBERS,
    ),
    _form(
        "ip_address",
        Shape.COLONS,
        r"(?<![0-9A-Za-z:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{0,40}:[0-9A-Fa-f:]{0,40}[0-9.]{0,16}(?![0-9A-Za-z])",
        (":[0-9A-Fa-f]*:", _COLONS,
         rf"{_BEFORE_COLON}[0-9A-Fa-f]{{0,4}}:[0-9A-Fa-f]*(?::[0-9A-Fa-f:]*[0-9]|[0-9][0-9A-Fa-f]*:)"
         rf"|{_BEFORE_COLON}[0-9A-Fa-f]{{0,3}}[0-9][0-9A-Fa-f]{{0,3}}:[0-9A-Fa-f]*:"),
        _ip6,
    ),
    _form(
        "mac_address",
        Shape.OCTETS,
        r"(?<![0-9A-Za-z])(?<![0-9A-Fa-f][:\-])[0-9A-Fa-f]{2}([:\-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}"
        r"(?![0-9A-Za-z])(?![:\-][0-9A-Fa-f])",
        ("[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]",),
        _stands(lambda t, s, e: True),
    ),
    _form(
        "credit_card",
        Shape.CARD,
        rf"{START}(?<![0-9][.\-])[1-6][0-9]{{11,18}}{END}(?!\.[0-9])",
        (_LONG, rf"{_BEFORE}[1-6][0-9]{{11,18}}{_BEHIND}"),
        _holds(checksums.payment_card),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "credit_card",
        Shape.CARD_GROUPS,
        rf"{START}(?<![0-9][.\-])[1-6][0-9]{{3}}([ \-])(?:{_DIGITS_4}\1{_DIGITS_4}\1[0-9]{{1,4}}(?:\1"
        rf"[0-9]{{1,3}})?|[0-9]{{6}}\1[0-9]{{4,5}}){END}",
        r"[1-6][0-9]{3}[ -][0-9]{4}[ -]?[0-9]{2}[ -]?[0-9]",
        _holds(checksums.payment_card),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "credit_card",
        Shape.CARD,
        rf"{START}(?<![0-9][.\-])[0-9]{{12,19}}{END}(?!\.[0-9])",
        (_LONG, rf"{_BEFORE}[0-9]{{12,19}}{_BEHIND}"),
        _stands(_card_of_unknown_issuer),
        sure=False,
        words=("card", "credit", "cc", "visa", "debit", "\u4fe1\u7528\u5361"),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "cn_bank_card",
        Shape.CARD,
        rf"{START}(?<![0-9][.\-])(?:62|81)[0-9]{{14,17}}{END}(?!\.[0-9])",
        (_LONG, rf"{_BEFORE}(?:62|81)[0-9]{{14,17}}{_BEHIND}"),
        _holds(checksums.union_pay),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "cn_bank_card",
        Shape.CARD_GROUPS,
        rf"{START}(?<![0-9][.\-])(?:62|81)[0-9]{{2}}([ \-]){_DIGITS_4}\1{_DIGITS_4}\1[0-9]{{4}}(?:\1"
        rf"[0-9]{{1,3}})?{END}",
        r"(?:62|81)[0-9]{2}[ -][0-9]{4}[ -]",
        _holds(checksums.union_pay),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "cn_bank_card",
        Shape.CARD,
        rf"{START}(?<![0-9][.\-])[3-9][0-9]{{15,18}}{END}(?!\.[0-9])",
        (_LONG, r"[3-9][0-9]{15}"),
        _stands(_old_bank_card),
        sure=False,
        words=("银行卡", "储蓄卡", "借记卡", "卡号", "账号", "帐号", "开户"),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "iban",
        Shape.IBAN,
        rf"{START}[A-Za-z]{{2}}[0-9]{{2}}(?:[ \-]?[0-9A-Za-z]){{11,29}}",
        ("[0-9]{2}(?:[ -]?[0-9A-Za-z]){11}", rf"{_BEFORE}[A-Za-z]{{2}}[0-9]{{2}}(?:[ -]?[0-9A-Za-z]){{11}}"),
        _iban,
    ),
    _form(
        "crypto_address",
        Shape.BASE58,
        rf"{START}[13DLMTA9][1-9A-HJ-NP-Za-km-z]{{25,34}}{END}",
        r"[13DLMTA9][1-9A-HJ-NP-Za-km-z]{25}",
        _stands(lambda t, s, e: checksums.base58_address(t[s:e])),
    ),
    _form(
        "crypto_address",
        Shape.BECH32,
        rf"{START}(?:[Bb][Cc]|[Ll][Tt][Cc])1[0-9A-Za-z]{{11,85}}{END}",
        "(?:[Bb][Cc]|[Ll][Tt][Cc])1[0-9A-Za-z]{11}",
        _stands(lambda t, s, e: checksums.bech32_address(t[s:e])),
    ),
    _form("crypto_address", Shape.EVM, rf"{START}{_EVM}{END}", _EVM, _stands(_WALLET), sure=False, starts=NUMBERS),
    _form(
        "cn_resident_id",
        Shape.RESIDENT,
        rf"{START}[1-8][0-9]{{16}}[0-9Xx]{END}",
        (_LONG, rf"{_BEFORE}[1-8][0-9]{{16}}[0-9Xx]{_BEHIND}"),
        _holds(checksums.resident_id),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "cn_resident_id",
        Shape.OLD_RESIDENT,
        rf"{START}[1-8][0-9]{{14}}{END}",
        (_LONG, r"[1-8][0-9]{14}"),
        _stands(_old_resident),
        sure=False,
        words=("身份证", "证件号", "公民身份", "resident id", "id card"),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "cn_social_credit",
        Shape.SOCIAL_CREDIT,
        rf"{START}[1-9A-HJNP-Y][0-9A-HJ-NP-RTUWXY][0-9]{{6}}[0-9A-HJ-NP-RTUWXY]{{10}}{END}",
        (_SIX, rf"{_BEFORE}[1-9A-HJNP-Y][0-9A-HJ-NP-RTUWXY][0-9]{{6}}[0-9A-HJ-NP-RTUWXY]{{10}}{_BEHIND}"),
        _holds(checksums.social_credit),
        six=True,
    ),
    _form(
        "us_ssn",
        Shape.SSN_GROUPS,
        rf"{START}(?<![0-9A-Za-z]-)[0-9]{{3}}([ \-])[0-9]{{2}}\1[0-9]{{4}}{END}(?!-[0-9A-Za-z])",
        r"[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}",
        _stands(_ssn),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "us_ssn",
        Shape.NINE_DIGITS,
        rf"{START}[0-8][0-9]{{8}}{END}",
        (_SIX, r"[0-8][0-9]{8}"),
        _stands(_bare_ssn),
        sure=False,
        words=("ssn", "social security", "taxid", "tax id", "itin"),
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "passport",
        Shape.PASSPORT | Shape.NINE_DIGITS,
        rf"{START}(?:[A-Za-z]{{1,2}}[0-9]{{6,8}}|[0-9]{{9}}){END}",
        (_SIX, "[A-Za-z][0-9]{6}|[0-9]{9}"),
        _stands(_PASSPORT),
        sure=False,
        words=("passport", "护照", "旅行证", "通行证"),
        six=True,
    ),
    _form(
        "cn_licence_plate",
        Shape.PLATE,
        rf"[{_PROVINCES}][A-HJ-NP-Z][·• ]?[A-HJ-NP-Z0-9]{{4}}(?:[A-HJ-NP-Z0-9]{{1,2}}|[挂学警港澳领使]){END}",
        rf"[{_PROVINCES}][A-HJ-NP-Z]",
        _stands(_plate),
        han=True,
    ),
    _form(
        "date_of_birth",
        Shape.DATE,
        rf"{START}(?<![0-9][./\-])(?:(?:19|20)[0-9]{{2}}([./\-])[0-9]{{1,2}}\1[0-9]{{1,2}}|"
        rf"[0-9]{{1,2}}([./\-])[0-9]{{1,2}}\2(?:19|20)[0-9]{{2}}){END}",
        r"(?:19|20)[0-9]{2}[./-][0-9]{1,2}[./-][0-9]|[0-9][./-][0-9]{1,2}[./-](?:19|20)[0-9]{2}",
        _stands(_born),
        sure=False,
        words=_BIRTH,
        starts=NUMBERS,
        six=True,
    ),
    _form(
        "date_of_birth",
        Shape.DATE_OF_MONTH,
        rf"{START}(?:[0-9]{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH_NAME}\.?,? (?:19|20)[0-9]{{2}}|"
        rf"{_MONTH_NAME}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)[0-9]{{2}}){END}",
        ("(?:19|20)[0-9]{2}", "[A-Za-z.,] ?[0-9]{4}|[0-9],? [0-9]{4}"),
        _stands(_born),
        sure=False,
        words=_BIRTH,
    ),
    _form(
        "date_of_birth",
        Shape.DATE_IN_HAN,
        r"(?<![0-9])(?:19|20)[0-9]{2}\s?年\s?[0-9]{1,2}\s?月\s?[0-9]{1,2}\s?[日号]",
        "[0-9]\\s?月\\s?[0-9]",
        _stands(_born),
        sure=False,
        words=_BIRTH,
        han=True,
    ),
)  # fmt: skip
"""Every form but those of telephone numbers, which have a file of their own."""
