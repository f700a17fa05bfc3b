"""Checks that a number carries in itself: what tells a card, an account or a resident from any other run of digits.

Each takes the bare characters (no separators) and says yes or no. Cost: a microsecond or two a candidate.
Sources: ISO/IEC 7812-1 (Luhn), ISO 13616 and ISO 7064 MOD 97-10 (IBAN; lengths of the SWIFT registry), GB 11643 and
ISO 7064 MOD 11-2 (Chinese resident identity number), GB 32100-2015 (unified social credit code), Base58Check as of
Bitcoin, BIP 173 and BIP 350 (bech32, bech32m).
"""

from __future__ import annotations

from datetime import date
from hashlib import sha256

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
"""Country to the characters of its account numbers."""

_ISSUERS = (
    ("4", (13, 16, 19)),  # Visa
    *((str(n), (16,)) for n in range(51, 56)),  # Mastercard
    *((str(n), (16,)) for n in range(2221, 2721)),  # Mastercard
    *((n, (15,)) for n in ("34", "37", "1800", "2131")),  # American Express; JCB of old
    *((n, (16, 17, 18, 19)) for n in ("6011", "65", *map(str, range(644, 650)))),  # Discover
    *((n, tuple(range(14, 20))) for n in ("36", "38", "39", "3095", *map(str, range(300, 306)))),  # Diners Club
    *((str(n), (16, 17, 18, 19)) for n in range(3528, 3590)),  # JCB
    *(
        (n, tuple(range(12, 20)))
        for n in ("5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763")  # Maestro
    ),
)
_ISSUER_LENGTHS = {prefix: frozenset(lengths) for prefix, lengths in _ISSUERS}

_PROVINCES = frozenset(
    [
        "11",
        "12",
        "13",
        "14",
        "15",
        "21",
        "22",
        "23",
        "31",
        "32",
        "33",
        "34",
        "35",
        "36",
        "37",
        "41",
        "42",
        "43",
        "44",
        "45",
        "46",
        "50",
        "51",
        "52",
        "53",
        "54",
        "61",
        "62",
        "63",
        "64",
        "65",
        "71",
        "81",
        "82",
        "83",
    ]
)
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CREDIT = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS = tuple(3**i % 31 for i in range(17))
_BASE58 = {c: i for i, c in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BASE58_VERSIONS = frozenset({0x00, 0x05, 0x1E, 0x16, 0x30, 0x32, 0x41})
"""Bitcoin (public key, script), Dogecoin (both), Litecoin (both), Tron."""
_BECH32 = {c: i for i, c in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}


def luhn(digits: str) -> bool:
    """Whether the last digit is right by Luhn's formula; one random number in ten passes.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    doubled = sum((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[int(d)] for d in digits[-2::-2])
    return (doubled + sum(int(d) for d in digits[::-2])) % 10 == 0


def payment_card(digits: str) -> bool:
    """Whether this is a card of an issuer (other than UnionPay) by prefix, length and Luhn.

    >>> payment_card("378282246310005"), payment_card("178282246310008")
    (True, False)
    """
    known = any(len(digits) in _ISSUER_LENGTHS.get(digits[:n], ()) for n in (1, 2, 3, 4))
    return known and luhn(digits) and len(set(digits)) > 1


def union_pay(digits: str) -> bool:
    """Whether this is a bank card of UnionPay (62, and 81 of 16 digits) by prefix, length and Luhn.

    >>> union_pay("6200000000000005")
    True
    """
    known = (digits[:2] == "62" and 16 <= len(digits) <= 19) or (digits[:2] == "81" and len(digits) == 16)
    return known and luhn(digits)


def iban(text: str) -> bool:
    """Whether this is an international bank account number: country, its length, remainder 1 by 97.

    >>> iban("GB29NWBK60161331926819"), iban("GB28NWBK60161331926819")
    (True, False)
    """
    upper = text.upper()
    if IBAN_LENGTHS.get(upper[:2]) != len(upper) or not (upper.isascii() and upper.isalnum() and upper[2:4].isdigit()):
        return False
    return int("".join(str(int(c, 36)) for c in upper[4:] + upper[:4])) % 97 == 1


def real_date(year: int, month: int, day: int) -> bool:
    """Whether the calendar has this day, between 1900 and 2099.

    >>> real_date(2024, 2, 29), real_date(2023, 2, 29)
    (True, False)
    """
    try:
        return 1900 <= date(year, month, day).year <= 2099
    except ValueError:
        return False


def resident_id(text: str) -> bool:
    """Whether this is a Chinese resident identity number of 18 characters: province, day of birth, check character.

    >>> resident_id("11010519491231002X"), resident_id("110105194912310021")
    (True, False)
    """
    if len(text) != 18 or not text[:17].isdigit() or text[:2] not in _PROVINCES:
        return False
    if not real_date(int(text[6:10]), int(text[10:12]), int(text[12:14])):
        return False
    total = sum(int(d) * w for d, w in zip(text, _RESIDENT_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == text[17].upper()


def old_resident_id(digits: str) -> bool:
    """Whether 15 digits can be a resident identity number of before 1999: province and day; it has no check digit.

    >>> old_resident_id("110105491231002")
    True
    """
    born = digits[6:12]
    known = len(digits) == 15 and digits[:2] in _PROVINCES
    return known and real_date(1900 + int(born[:2]), int(born[2:4]), int(born[4:]))


def social_credit(text: str) -> bool:
    """Whether this is a Chinese unified social credit code: alphabet, and check character modulo 31.

    >>> social_credit("91350100M000100Y43")
    True
    """
    if len(text) != 18 or not set(text) <= set(_CREDIT):
        return False
    total = sum(_CREDIT.index(c) * w for c, w in zip(text, _CREDIT_WEIGHTS, strict=False))
    return _CREDIT[-total % 31] == text[17]


def base58_address(text: str) -> bool:
    """Whether this is an address in Base58Check: 25 bytes, a known version, four bytes of double SHA-256.

    >>> base58_address("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa")
    True
    """
    number = 0
    for char in text:
        if char not in _BASE58:
            return False
        number = number * 58 + _BASE58[char]
    if number >= 1 << 200:
        return False
    data = number.to_bytes(25, "big")
    leading = len(text) - len(text.lstrip("1"))
    zeros = len(data) - len(data.lstrip(b"\0"))
    sum_ = sha256(sha256(data[:-4]).digest()).digest()[:4]
    return leading == zeros and data[0] in _BASE58_VERSIONS and sum_ == data[-4:]


def bech32_address(text: str) -> bool:
    """Whether this is a segregated-witness address: one case, a polymod of 1 (version 0) or 0x2bc830a3 (later ones).

    >>> bech32_address("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4")
    True
    """
    if text not in (text.lower(), text.upper()):
        return False
    prefix, _, rest = text.lower().rpartition("1")
    if prefix not in ("bc", "ltc") or not 14 <= len(rest) <= 85 or not set(rest) <= set(_BECH32):
        return False
    values = [*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *(_BECH32[c] for c in rest)]
    check = 1
    for value in values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= factor if top >> i & 1 else 0
    return check == (1 if rest[0] == "q" else 0x2BC830A3)
