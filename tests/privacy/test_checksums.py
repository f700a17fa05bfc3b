"""Published numbers: test cards of issuers, examples of the IBAN registry, of the Chinese standards and of the BIPs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tillage.privacy import checksums

CARDS = (
    "378282246310005", "371449635398431", "378734493671000", "30569309025904", "38520000023237",
    "6011111111111117", "6011000990139424", "3530111333300000", "3566002020360505", "5555555555554444",
    "5105105105105100", "4111111111111111", "4012888888881881", "4222222222222", "2223003122003222", "6304000000000000",
)  # fmt: skip
"""Test numbers as issuers and payment companies publish them."""

IBANS = (
    "AL47212110090000000235698741", "AD1200012030200359100100", "AT611904300234573201", "BE68539007547034",
    "CH9300762011623852957", "DE89370400440532013000", "FR1420041010050500013M02606", "GB29NWBK60161331926819",
    "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "SA0380000000608010167519",
    "LC55HEMM000100010012001200023015",
    "BR1800360305000010009795493C1", "KZ86125KZT5004100100", "SE4550000000058398257466", "PL61109010140000071219812874",
)  # fmt: skip
"""Examples of the SWIFT IBAN registry."""

RESIDENTS = ("11010519491231002X", "440524198001010013", "34052419800101001X")
"""The first stands in GB 11643-1999."""

COINS = (
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
)  # fmt: skip
WITNESSES = (
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
)
"""Valid addresses of BIP 173 and BIP 350."""
BAD_WITNESSES = (
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du",
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7Kv8f3t4",
)
"""A wrong character; bech32 where bech32m is asked for, twice; two cases."""


@pytest.mark.parametrize(
    ("check", "numbers"),
    [
        (checksums.payment_card, CARDS),
        (checksums.iban, IBANS),
        (checksums.resident_id, RESIDENTS),
        (checksums.base58_address, COINS),
        (checksums.bech32_address, WITNESSES),
        (checksums.social_credit, ("91350100M000100Y43", "91110000802100433B")),
        (checksums.union_pay, ("6200000000000005", "6212345678901232", "8171999927660000")),
    ],
)
def test_published_numbers_pass_and_no_other_last_character_does(
    check: Callable[[str], bool], numbers: tuple[str, ...]
) -> None:
    for number in numbers:
        assert check(number), number
        others = {number[:-1] + c for c in "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"} - {number}
        same = {number[:-1] + number[-1].upper(), number[:-1] + number[-1].lower()}
        assert [o for o in others - same if o.isascii() and _alike(o, number) and check(o)] == []


def _alike(a: str, b: str) -> bool:
    """A digit for a digit: most of these have no letters there."""
    return a[-1].isdigit()


def test_wrong_ones_fail() -> None:
    assert not any(checksums.bech32_address(a) for a in BAD_WITNESSES)
    assert not checksums.resident_id("110105194902310021")  # 31 February
    assert not checksums.resident_id("99010519491231002X")
    assert not checksums.iban("DE8937040044053201300")
    assert not checksums.payment_card("0000000000000000")
    assert not checksums.base58_address("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb")


def test_luhn_by_the_textbook() -> None:
    def slow(digits: str) -> bool:
        total = 0
        for place, digit in enumerate(reversed(digits)):
            value = int(digit) * (1 + place % 2)
            total += value if value < 10 else value - 9
        return total % 10 == 0

    for number in range(0, 3_000_000, 997):
        assert checksums.luhn(str(number)) == slow(str(number))
