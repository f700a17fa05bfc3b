"""row_ids against xxHash and AES taken straight from their own packages."""

from __future__ import annotations

import datetime as dt
import hmac
import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xxhash
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from tillage.core.errors import ConfigurationError, Denied
from tillage.core.keys import SUBKEYS, Keyring, child_ids, fraction, hash_text

SECRET = bytes(range(32)).hex()
RING = Keyring(SECRET)
MASK = (1 << 64) - 1


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, 32 bytes: one round of expansion."""
    return hmac.digest(hmac.digest(bytes(32), secret, sha256), info + b"\x01", sha256)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def encoded(row: tuple[str | int | None, ...]) -> bytes:
    """Version 1 of the row encoding that polars-hash states: a count, then a tag, a length and the bytes of each."""
    out = b"\x0d" + varint(len(row))
    for value in row:
        if value is None:
            out += b"\x00"
        elif isinstance(value, int):
            out += b"\x03\x01" + varint(value)
        else:
            out += b"\x05" + varint(len(value.encode())) + value.encode()
    return out


def seed_of(table: str) -> int:
    return int.from_bytes(hmac.digest(hkdf(bytes.fromhex(SECRET), b"seed"), table.encode(), sha256)[:8], "little")


def encrypted(number: int) -> int:
    cipher = Cipher(algorithms.AES(hkdf(bytes.fromhex(SECRET), b"row")), modes.ECB()).encryptor()
    return int.from_bytes(cipher.update(number.to_bytes(16, "little")), "little")


@given(st.text(max_size=20), st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_row_ids_of_one_key_column(table: str, keys: list[str]) -> None:
    made = RING.row_ids(table, pl.DataFrame({"k": keys}), ("k",))
    assert made.name == "_id"
    assert made.dtype == pl.UInt128
    assert made.to_list() == [encrypted(xxhash.xxh3_128_intdigest(k.encode(), seed_of(table))) for k in keys]


@given(st.lists(st.tuples(st.none() | st.text(max_size=300), st.none() | st.integers()), min_size=1, max_size=4))
def test_row_ids_of_several_key_columns(rows: list[tuple[str | None, int | None]]) -> None:
    texts = [(name, None if number is None else str(number)) for name, number in rows]
    made = RING.row_ids("t", pl.DataFrame(texts, schema={"a": pl.String, "b": pl.String}, orient="row"), ("a", "b"))
    assert made.to_list() == [encrypted(xxhash.xxh3_128_intdigest(encoded(row), seed_of("t"))) for row in texts]


def test_a_key_is_text_and_tells_its_table_its_columns_and_null_apart() -> None:
    frame = pl.DataFrame({"a": ["x", "xy", "1"], "b": ["yz", "z", "1"], "n": [1, 2, 1]})
    split = RING.row_ids("t", frame, ("a", "b"))
    assert split[0] != split[1]
    assert RING.row_ids("t", frame, ("n",))[0] == RING.row_ids("t", frame, ("a",))[2]
    assert RING.row_ids("t", frame, ("a",))[0] != RING.row_ids("u", frame, ("a",))[0]
    assert RING.row_ids("t", frame, ("a",))[0] != Keyring("11" * 32).row_ids("t", frame, ("a",))[0]
    nulls = hash_text(pl.DataFrame({"a": ["", None]}), ("a",))
    assert nulls[0] != nulls[1]


def test_an_id_does_not_depend_on_the_rows_beside_it() -> None:
    alone = RING.row_ids("t", pl.DataFrame({"a": ["x"]}), ("a",))[0]
    assert RING.row_ids("t", pl.DataFrame({"a": ["x", None]}), ("a",))[0] == alone
    assert RING.row_ids("t", pl.DataFrame({"a": []}, schema={"a": pl.String}), ("a",)).len() == 0


@given(st.lists(st.integers(0, 2**128 - 1), min_size=1, max_size=4))
def test_ids_of_groups_and_children(numbers: list[int]) -> None:
    series = pl.Series(numbers, dtype=pl.UInt128)
    rows = [encoded((n & MASK, n >> 64)) for n in numbers]
    assert RING.key_ids("t", series).to_list() == [
        encrypted(xxhash.xxh3_128_intdigest(row, seed_of("t"))) for row in rows
    ]
    seed = int.from_bytes(sha256(b"page 2").digest()[:8], "little")
    assert child_ids(series, "page 2").to_list() == [xxhash.xxh3_128_intdigest(row, seed) for row in rows]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.text(max_size=9))
def test_fraction_is_the_upper_53_bits(values: list[str], salt: str) -> None:
    seed = int.from_bytes(sha256(salt.encode()).digest()[:8], "little")
    expected = [(xxhash.xxh3_64_intdigest(v.encode(), seed) >> 11) / 2**53 for v in values]
    assert fraction(pl.Series(values), salt).to_list() == expected


def test_fraction_is_even_and_salted() -> None:
    drawn, other = (fraction(pl.Series(range(20_000)), salt).to_numpy() for salt in "st")
    assert 0 <= drawn.min() <= drawn.max() < 1
    assert abs((drawn < 0.2).mean() - 0.2) < 0.01  # three standard deviations are 0.0085
    assert abs(((drawn < 0.5) & (other < 0.5)).mean() - 0.25) < 0.01
    assert fraction(pl.Series([None, "a"]), "s")[1] == fraction(pl.Series(["a"]), "s")[0]


def test_subkeys_are_those_of_rfc_5869() -> None:
    assert {p: RING.subkey(p) for p in SUBKEYS} == {p: hkdf(bytes.fromhex(SECRET), p.encode()) for p in SUBKEYS}
    assert len({RING.subkey(p) for p in SUBKEYS}) == len(SUBKEYS) == 6
    with pytest.raises(ValueError, match="no subkey"):
        RING.subkey("other")


@pytest.mark.parametrize("secret", ["", "00" * 31, "00" * 33, "zz" * 32, "0" * 63])
def test_a_key_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(Denied, match="64 hexadecimal digits"):
        Keyring(secret)


def test_a_key_file_that_holds_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILLAGE_KEY", raising=False)
    path = tmp_path / "key"
    for wrong in (b"zz\n", b"\xff\xfe"):
        path.write_bytes(wrong)
        path.chmod(0o600)
        with pytest.raises(Denied, match="64 hexadecimal digits") as raised:
            Keyring.open(path)
        assert str(path) in raised.value.message
        assert "backup" in raised.value.fix


def test_the_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILLAGE_KEY", raising=False)
    path = tmp_path / "key"
    first = Keyring.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keyring.open(path).subkey("row") == first.subkey("row")
    assert Keyring.open(tmp_path / "another").subkey("row") != first.subkey("row")
    path.chmod(0o640)
    with pytest.raises(Denied, match="chmod 600"):
        Keyring.open(path)
    monkeypatch.setenv("TILLAGE_KEY", SECRET)
    assert Keyring.open(path).subkey("row") == RING.subkey("row")
    assert os.environ["TILLAGE_KEY"] == SECRET


@given(st.integers(0, 200))
def test_halves_of_row_ids_are_those_of_the_ids(rows: int) -> None:
    frame = pl.DataFrame({"k": [f"key {n}" for n in range(rows)]}, schema={"k": pl.String})
    made = RING.row_halves("t", frame, ("k",))
    whole = RING.row_ids("t", frame, ("k",)).to_list()
    assert made.lo.to_list() == [i & MASK for i in whole]
    assert made.hi.to_list() == [i >> 64 for i in whole]
    assert made.joined().to_list() == whole


@pytest.mark.parametrize("values", [[b"\xff", None], [b"a", b"b"], [dt.timedelta(1), None]])
def test_what_has_no_text_is_no_key(values: list[Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"Column 'k' holds (Binary|Duration).*no text to compare"):
        hash_text(pl.DataFrame({"k": values, "n": [1, 2]}), ["n", "k"])


@pytest.mark.parametrize("dtype", [pl.Float64(), pl.Float32()])
def test_the_two_zeros_are_one_key(dtype: pl.DataType) -> None:
    frame = pl.DataFrame({"x": pl.Series([0.0, -0.0, 0.5, None], dtype=dtype), "n": [1, 1, 1, 1]})
    for columns in (["x"], ["n", "x"]):
        hashes = hash_text(frame, columns)
        assert hashes[0] == hashes[1]
        assert hashes.n_unique() == 3
    texts = frame.with_columns(x=pl.Series(["0.0", "0.0", "0.5", None]))
    assert hash_text(frame, ["x"]).equals(hash_text(texts, ["x"]))
