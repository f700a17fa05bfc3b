"""Pseudonyms: the same value, the same stand-in, and no way back or forward without the project's key.

A token is HMAC-SHA-256 cut to its first bits: 6 microseconds a value, no two values alike in practice (128 bits), and
nobody can go back. A pseudonym that keeps the format (digits for digits, letters for letters, all else in place) is a
permutation of all values of that format: FF1, on the number of the value among them, walking on where that leaves the
format. It can be undone with the key, and costs some 50 microseconds a value.
Sources: RFC 2104 (HMAC), NIST SP 800-38G (FF1; at least a million values), Black and Rogaway, "Ciphers with arbitrary
finite domains", CT-RSA 2002 (cycle walking).
"""

from __future__ import annotations

import hmac
import math
from base64 import b32encode
from collections.abc import Callable, Sequence

SMALLEST = 1_000_000
"""Values that a format must allow (NIST SP 800-38G, revision 1): of fewer, whoever sees them all can tell too much."""

_ALPHABETS = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CLASS = {char: alphabet for alphabet in _ALPHABETS for char in alphabet}
_LETTERS = "abcdefghijklmnop"


def token(key: bytes, domain: str, value: str) -> str:
    """26 characters (base32, lower case) that stand for `value` within `domain`: 128 bits.

    >>> token(bytes(32), "patient", "4711") == token(bytes(32), "patient", "4711")
    True
    >>> len({token(bytes(32), d, v) for d in ("patient", "doctor") for v in ("4711", "4712")})
    4
    """
    return b32encode(_mac(key, b"token", domain, value)[:16]).decode().rstrip("=").lower()


def letters(key: bytes, domain: str, value: str) -> str:
    """16 letters from a to p, 64 bits: a token that holds no digit, so that it is never taken for data of a person.

    >>> letters(bytes(32), "email", "li@example.cn").isalpha()
    True
    """
    return "".join(_LETTERS[b >> 4] + _LETTERS[b & 15] for b in _mac(key, b"letters", domain, value)[:8])


def _mac(key: bytes, use: bytes, domain: str, value: str) -> bytes:
    named = domain.encode()
    return hmac.digest(key, use + len(named).to_bytes(4, "big") + named + value.encode(), "sha256")


class FormatCipher:
    """Pseudonyms that keep the format of a value, within one domain.

    >>> cipher = FormatCipher(bytes(32), "phone")
    >>> hidden = cipher.hide("+86 138-1234-5678")
    >>> hidden[0], hidden[3], hidden[7], len(hidden), cipher.show(hidden)
    ('+', ' ', '-', 17, '+86 138-1234-5678')
    """

    def __init__(self, key: bytes, domain: str) -> None:
        self._ff1 = FF1(_mac(key, b"format", "", ""), 2)
        self._domain = domain

    def fits(self, value: str) -> bool:
        """Whether the value's format allows at least SMALLEST values."""
        return math.prod(len(_CLASS[c]) for c in value if c in _CLASS) >= SMALLEST

    def hide(self, value: str) -> str:
        """The pseudonym; raises ValueError for a value whose format allows too few."""
        return self._walk(value, self._ff1.permute)

    def show(self, pseudonym: str) -> str:
        """The value behind a pseudonym of `hide`."""
        return self._walk(pseudonym, self._ff1.restore)

    def _walk(self, value: str, permute: Callable[[bytes, int, int], int]) -> str:
        alphabets = [_CLASS[c] for c in value if c in _CLASS]
        size = math.prod(map(len, alphabets))
        if size < SMALLEST:
            raise ValueError(f"a format of {size} values keeps no secret")
        layout = "".join(str(_ALPHABETS.index(_CLASS[c])) + "," if c in _CLASS else f"={c}" for c in value)
        tweak = f"{len(self._domain)}:{self._domain}{layout}".encode()
        bits = (size - 1).bit_length()
        number = 0
        for char in (c for c in value if c in _CLASS):
            number = number * len(_CLASS[char]) + _CLASS[char].index(char)
        while True:  # at most half of the numbers lie outside, so two rounds on average
            number = permute(tweak, number, bits)
            if number < size:
                break
        digits = []
        for alphabet in reversed(alphabets):
            number, digit = divmod(number, len(alphabet))
            digits.append(alphabet[digit])
        return "".join(digits.pop() if c in _CLASS else c for c in value)


class FF1:
    """The FF1 mode of AES over numerals of a radix (NIST SP 800-38G, algorithms 7 and 8).

    >>> ff1 = FF1(bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"), 10)
    >>> "".join(map(str, ff1.encrypt(b"", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])))
    '2433477484'
    """

    def __init__(self, key: bytes, radix: int) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - the block cipher itself
        self.radix = radix

    def _power(self, length: int) -> int:
        """How many numeral strings of a length there are."""
        return int(self.radix**length)

    def encrypt(self, tweak: bytes, numerals: Sequence[int]) -> list[int]:
        """The numerals under this tweak."""
        return _split(self.permute(tweak, _joined(numerals, self.radix), len(numerals)), self.radix, len(numerals))

    def decrypt(self, tweak: bytes, numerals: Sequence[int]) -> list[int]:
        """The inverse of `encrypt`."""
        return _split(self.restore(tweak, _joined(numerals, self.radix), len(numerals)), self.radix, len(numerals))

    def permute(self, tweak: bytes, number: int, n: int) -> int:
        """`encrypt` of the numeral string of length `n` that writes `number`, as a number again."""
        sizes = (n // 2, n - n // 2)
        a, b = divmod(number, self._power(sizes[1]))
        start, prepared = self._prepared(tweak, n)
        for i in range(10):
            a, b = b, (a + self._round(i, start, prepared, n, b)) % self._power(sizes[i % 2])
        return a * self._power(sizes[1]) + b

    def restore(self, tweak: bytes, number: int, n: int) -> int:
        """The inverse of `permute`."""
        sizes = (n // 2, n - n // 2)
        a, b = divmod(number, self._power(sizes[1]))
        start, prepared = self._prepared(tweak, n)
        for i in reversed(range(10)):
            a, b = (b - self._round(i, start, prepared, n, a)) % self._power(sizes[i % 2]), a
        return a * self._power(sizes[1]) + b

    def _prepared(self, tweak: bytes, n: int) -> tuple[bytes, bytes]:
        """What all rounds share: the chained block over P and the whole blocks of the tweak, and what is left of it."""
        size = self._bytes(n)
        p = bytes([1, 2, 1]) + self.radix.to_bytes(3, "big") + bytes([10, n // 2 % 256])
        p += n.to_bytes(4, "big") + len(tweak).to_bytes(4, "big")
        q = tweak + bytes(-(len(tweak) + size + 1) % 16)
        whole = len(q) // 16 * 16
        return self._chain(bytes(16), p + q[:whole]), q[whole:]

    def _bytes(self, n: int) -> int:
        return ((self._power(n - n // 2) - 1).bit_length() + 7) // 8

    def _chain(self, block: bytes, data: bytes) -> bytes:
        for at in range(0, len(data), 16):
            block = self._aes.update(_xor(block, data[at : at + 16]))
        return block

    def _round(self, i: int, start: bytes, rest: bytes, n: int, half: int) -> int:
        size = self._bytes(n)
        d = 4 * ((size + 3) // 4) + 4
        r = self._chain(start, rest + bytes([i]) + half.to_bytes(size, "big"))
        s = r
        for j in range(1, -(-d // 16)):
            s += self._aes.update(_xor(r, j.to_bytes(16, "big")))
        return int.from_bytes(s[:d], "big")


def _joined(numerals: Sequence[int], radix: int) -> int:
    number = 0
    for numeral in numerals:
        number = number * radix + numeral
    return number


def _split(number: int, radix: int, length: int) -> list[int]:
    out = []
    for _ in range(length):
        number, numeral = divmod(number, radix)
        out.append(numeral)
    return out[::-1]


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(16, "big")
