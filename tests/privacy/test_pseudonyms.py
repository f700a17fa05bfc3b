"""Pseudonyms against NIST's samples of FF1, RFC 4231's way of HMAC, and what is promised of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sqlite3
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tillage.core import Keyring
from tillage.core.errors import ConfigurationError, Denied
from tillage.face.rooms import project
from tillage.privacy import Pseudonymize, Redact
from tillage.privacy.pseudonyms import FF1, FormatCipher, token

KEY = bytes(range(32))
NUMERALS = "0123456789abcdefghijklmnopqrstuvwxyz"
K128 = "2B7E151628AED2A6ABF7158809CF4F3C"
K192 = K128 + "EF4359D8D580AA4F"
K256 = K192 + "7F036D6F04FC6A94"
T10, T36 = "39383736353433323130", "3737373770717273373737"
SAMPLES = [
    (K128, 10, "", "0123456789", "2433477484"),
    (K128, 10, T10, "0123456789", "6124200773"),
    (K128, 36, T36, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (K192, 10, "", "0123456789", "2830668132"),
    (K192, 10, T10, "0123456789", "2496655549"),
    (K192, 36, T36, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (K256, 10, "", "0123456789", "6657667009"),
    (K256, 10, T10, "0123456789", "1001623463"),
    (K256, 36, T36, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]
"""The nine FF1 samples that NIST published with SP 800-38G."""


@pytest.mark.parametrize(("key", "radix", "tweak", "plain", "cipher"), SAMPLES)
def test_ff1_gives_the_samples_of_nist(key: str, radix: int, tweak: str, plain: str, cipher: str) -> None:
    ff1 = FF1(bytes.fromhex(key), radix)
    hidden = ff1.encrypt(bytes.fromhex(tweak), [NUMERALS.index(c) for c in plain])
    assert "".join(NUMERALS[n] for n in hidden) == cipher
    assert "".join(NUMERALS[n] for n in ff1.decrypt(bytes.fromhex(tweak), hidden)) == plain


def test_a_token_is_hmac_sha256_over_length_domain_and_value() -> None:
    mac = hmac.new(KEY, b"token" + (7).to_bytes(4, "big") + b"patient" + "李".encode(), hashlib.sha256).digest()
    assert token(KEY, "patient", "李") == base64.b32encode(mac[:16]).decode().lower().rstrip("=")
    assert token(KEY, "ab", "c") != token(KEY, "a", "bc")


@settings(max_examples=40, deadline=None)
@given(st.text("0123456789ABab-+ 李", min_size=6, max_size=20), st.sampled_from(["", "d"]))
def test_a_format_is_kept_and_can_be_undone(value: str, domain: str) -> None:
    cipher = FormatCipher(KEY, domain)
    if not cipher.fits(value):
        with pytest.raises(ValueError, match="keeps no secret"):
            cipher.hide(value)
        return
    hidden = cipher.hide(value)
    assert cipher.show(hidden) == value
    for before, after in zip(value, hidden, strict=True):
        kinds = [(c.isdigit(), c.islower(), c.isupper()) for c in (before, after)]
        assert kinds[0] == kinds[1]
        assert any(kinds[0]) or before == after


def test_no_two_values_share_a_pseudonym() -> None:
    values = [f"138{n:08d}" for n in range(3000)]
    cipher = FormatCipher(KEY, "")
    assert len({cipher.hide(v) for v in values}) == len(values)
    other = FormatCipher(KEY, "d")
    assert sum(cipher.hide(v) == other.hide(v) for v in values[:200]) < 3
    assert sum(cipher.hide(v)[:3] == "138" for v in values) < 30  # the common prefix does not show


def test_equal_within_a_domain_and_key_and_nowhere_else() -> None:
    rows = pl.DataFrame({"a": ["x1", "x2", None], "b": ["x2", "x1", ""], "n": [7, 8, None]})
    step = Pseudonymize(columns=("a", "b", "n")).with_key(KEY)
    out = step.apply(rows)
    assert out["a"][0] == out["b"][1]
    assert out["a"][1] == out["b"][0]
    assert out["a"][2] is None
    assert out["n"].to_list() == [token(KEY, "", "7"), token(KEY, "", "8"), None]
    other = Pseudonymize(columns=("a",), domain="d").with_key(KEY).apply(rows)
    assert not set(other["a"].drop_nulls()) & set(out["a"].drop_nulls())
    assert not set(step.with_key(bytes(32)).apply(rows)["a"].drop_nulls()) & set(out["a"].drop_nulls())


@pytest.mark.parametrize("keep_format", [False, True])
def test_a_whole_number_has_one_pseudonym_as_integer_and_as_fraction(keep_format: bool) -> None:
    numbers = [138123456, 0, -138123456, 2**53, -(2**63)]
    step = Pseudonymize(columns=("n",), keep_format=keep_format).with_key(KEY)
    made = step.apply(pl.DataFrame({"n": [*numbers, None]}, schema={"n": pl.Int64}))
    again = step.apply(pl.DataFrame({"n": [float(n) for n in numbers] + [None]}))
    assert again.rows() == made.rows()
    assert made["n"][-1] is None
    assert made["n"].drop_nulls().n_unique() == made["n"].count() > 2


def test_a_fraction_is_its_text_and_nan_no_value() -> None:
    rows = pl.DataFrame({"n": [7.5, -0.0, 2.0**63, float("inf"), float("nan"), None]})
    out = Pseudonymize(columns=("n",)).with_key(KEY).apply(rows)
    texts = ["7.5", "0", "9.223372036854776e+18", "inf"]
    assert out["n"].to_list() == [*(token(KEY, "", text) for text in texts), None, None]
    kept = Pseudonymize(columns=("n",), keep_format=True).with_key(KEY).apply(rows[-2:])
    assert kept.rows() == [(None, None)] * 2


def test_a_gap_that_makes_a_column_of_numbers_one_of_fractions_changes_no_pseudonym(tmp_path: Path) -> None:
    (tmp_path / "tillage.yaml").write_text(
        "project: p\ntables:\n  raw: {collect: {files: a.csv}, key: id}\n"
        "  clean: {from: raw, steps: [{pseudonymize: {columns: [who]}}]}\n"
    )
    said = []
    for text in ("id,who\n1,4711\n2,4712\n", "id,who\n1,4711.0\n2,4712.0\n3,\n4,0.5\n"):
        (tmp_path / "a.csv").write_text(text)
        with project(tmp_path) as opened:
            opened.run()
            said.append(opened.read("clean").sort("id")["who"].to_list())
    assert said[1][:3] == [*said[0], None]


def test_a_format_that_is_too_small_turns_the_row_away() -> None:
    rows = pl.DataFrame({"_id": [1, 2, 3], "a": ["13812345678", "12345", None]})
    out = Pseudonymize(columns=("a",), keep_format=True).with_key(KEY).apply(rows)
    assert out["_reason"].to_list() == [None, "format_too_small", None]
    assert out["a"][1] is None


def test_the_key_is_needed_and_never_shown() -> None:
    step = Pseudonymize(columns=("a",))
    held = step.with_key(KEY)
    assert held == step
    assert hash(held) == hash(step)
    assert held.fingerprint() == step.fingerprint()
    for said in (repr(held), str(held), held.model_dump_json(), str(held.model_dump()), str(held.params())):
        assert KEY.hex() not in said
        assert repr(KEY) not in said
        assert "_key" not in said
    with pytest.raises(Denied, match="needs the project's key"):
        step.apply(pl.DataFrame({"a": ["x"]}))
    with pytest.raises(Denied, match="32 bytes"):
        step.with_key(b"short")
    with pytest.raises(ConfigurationError, match="No column is called 'a'"):
        held.apply(pl.DataFrame({"b": ["x"]}))
    assert step != Pseudonymize(columns=("b",))
    assert held != Redact()


PLAN = """\
project: people
tables:
  raw: {collect: {files: "*.csv"}, key: id}
  clean:
    from: raw
    steps:
      - pseudonymize: {columns: [name]}
      - redact: {columns: [note], replacement: "<{token}>"}
  other:
    from: raw
    steps:
      - pseudonymise: {columns: [name]}
"""


def test_a_run_hands_the_subkey_over_and_writes_it_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "5a" * 32
    monkeypatch.setenv("TILLAGE_KEY", secret)
    (tmp_path / "tillage.yaml").write_text(PLAN)
    (tmp_path / "a.csv").write_text("id,name,note\n1,Ann,mail a@b.cn\n2,Bob,\n3,Ann,fine\n")
    key = Keyring(secret).subkey("pseudonym")
    with project(tmp_path) as opened:
        opened.run()
        clean, other = (
            opened.read(t).join(opened.read("raw").select("_id", "id"), on="_id").sort("id") for t in ("clean", "other")
        )
        assert clean["name"].to_list() == [token(key, "", n) for n in ("Ann", "Bob", "Ann")]
        assert (
            clean["note"][0]
            == f"mail <{Redact(replacement='<{token}>').with_key(key)._stand_in('email', 'a@b.cn')[1:-1]}>"
        )
        assert other["name"].to_list() == clean["name"].to_list()
        assert opened.run().changed == []
    for file in (p for p in (tmp_path / ".tillage").rglob("*") if p.is_file()):
        data = file.read_bytes()
        assert key not in data
        assert key.hex().encode() not in data
    with sqlite3.connect(tmp_path / ".tillage" / "catalog.db") as catalog:
        assert catalog.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
    catalog.close()


def test_bytes_and_lengths_of_time_have_no_pseudonyms() -> None:
    rows = pl.DataFrame({"raw": [b"\xff"], "text": ["a"]})
    with pytest.raises(ConfigurationError, match="Column 'raw' holds Binary"):
        Pseudonymize(columns=("text", "raw")).with_key(KEY).apply(rows)
