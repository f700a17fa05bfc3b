"""A receipt is whole, signed and one of a chain, or it is not valid: any change of it is found, without the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tests.flow.world import KEY

from tillage.core.errors import TillageError, VerifyFailed
from tillage.core.keys import Keyring
from tillage.face.main import ended
from tillage.face.rooms import project
from tillage.flow.receipt import public_key
from tillage.promises import estimate, faulty_receipts, forget, receipts, verify_receipt
from tillage.promises.receipt import row_committed

PLAN = """\
project: letters
tables:
  notes: {collect: {files: "*.csv"}, key: id}
  copy: {from: notes, steps: [{filter: "n > 0"}]}
"""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("letters")
    (folder / "a.csv").write_text("id,n\n" + "".join(f"{n},{n}\n" for n in range(20)))
    (folder / "tillage.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        with project(folder) as p:
            p.run()
            p.summary(digest=True)
            rows = dict(zip(p.read("notes")["id"].to_list(), p.read("notes")["_id"].to_list(), strict=True))
            for which in (["3"], ["4", "5"], ["6"]):
                forget(p, "copy", key=which)
            made = receipts(p.store)
            assert all(row_committed(made[1], rows[n]) for n in (4, 5))
            assert not row_committed(made[1], rows[6])
            assert {n: d[1] for n, d in made[2]["tables"].items()} == {n: p.store.digest(n) for n in ("notes", "copy")}
    return made


def test_a_receipt_is_valid_and_says_what_was_done(chain: list[dict[str, Any]]) -> None:
    key = public_key(Keyring(KEY))
    for number, receipt in enumerate(chain, 1):
        assert verify_receipt(json.dumps(receipt, indent=2), key)["number"] == number
        assert verify_receipt(json.dumps(receipt).encode()) == receipt
    assert [len(r["rows"]) for r in chain] == [1, 2, 1]
    assert [r["tombstones"] for r in chain] == [1, 2, 1]
    assert all(old and new and old != new for r in chain for old, new in r["tables"].values())
    assert [chain[n]["tables"]["copy"][1] == chain[n + 1]["tables"]["copy"][0] for n in (0, 1)] == [True, True]
    assert any("weights" in line for line in chain[0]["not_promised"])


def test_the_signature_is_ed25519_over_the_canonical_json(chain: list[dict[str, Any]]) -> None:
    """By hand, as someone without this package would."""
    receipt = dict(chain[0])
    signature = bytes.fromhex(receipt.pop("signature"))
    data = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(receipt["public_key"])).verify(signature, data)


def test_each_names_the_one_before(chain: list[dict[str, Any]]) -> None:
    def digest(receipt: dict[str, Any]) -> str:
        return sha256(
            json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        ).hexdigest()

    assert chain[0]["previous"] == ""
    assert [r["previous"] for r in chain[1:]] == [digest(r) for r in chain[:2]]


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, int):
        return value + 1
    return [*value, "more"] if isinstance(value, list) else {**value, "more": 1}


@pytest.mark.parametrize("harm", ["changed", "taken out", "another's"])
def test_the_store_is_verified_with_its_receipts(
    tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    (tmp_path / "a.csv").write_text("id,n\n" + "".join(f"{n},{n}\n" for n in range(20)))
    (tmp_path / "tillage.yaml").write_text(PLAN)
    with project(tmp_path) as p:
        p.run()
        for which in ("3", "4", "5"):
            forget(p, "copy", key=[which])
        assert faulty_receipts(p.store) == ()
        assert ended(["verify", "--plan", str(tmp_path)]) == 0
        with p.store.catalog.transaction():
            if harm == "changed":
                p.store.catalog.write("UPDATE receipts SET signed = replace(signed, 'letters', 'ladders')")
            elif harm == "taken out":
                p.store.catalog.write("DELETE FROM receipts WHERE number = 2")
            else:
                p.store.catalog.write("UPDATE receipts SET signed = (SELECT signed FROM receipts WHERE number = 1)")
        faults = {"changed": ["1", "2", "3"], "taken out": ["3"], "another's": ["2", "3"]}[harm]
        assert [f.object for f in faulty_receipts(p.store)] == [f"receipt {n}" for n in faults]
    capsys.readouterr()
    assert ended(["verify", "--plan", str(tmp_path)]) == 70
    assert f"DAMAGED  receipt {faults[0]}: The receipt is not valid: " in capsys.readouterr().out


def test_every_field_is_covered(chain: list[dict[str, Any]]) -> None:
    receipt = chain[1]
    assert len(receipt) == 20
    for name in receipt:
        for other in ({**receipt, name: changed(receipt[name])}, {k: v for k, v in receipt.items() if k != name}):
            with pytest.raises(VerifyFailed) as refused:
                verify_receipt(json.dumps(other))
            assert refused.value.exit_code == 70, name


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"schema": "tillage.receipt/2"}', '{"schema": 1}', "\xff", '{"a": NaN}', "[" * 100_000],
)
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(VerifyFailed):
        verify_receipt(text.encode("latin-1"))


@pytest.mark.parametrize("write", [str.upper, lambda text: f"{text[:64]} {text[64:]}", lambda text: f"{text}\n"])
def test_a_signature_is_written_in_one_way(chain: list[dict[str, Any]], write: Callable[[str], str]) -> None:
    """The next receipt names the SHA-256 of the whole one, signature included: two spellings would be two receipts."""
    other = {**chain[0], "signature": write(chain[0]["signature"])}
    assert other != chain[0]
    for key in (None, public_key(Keyring(KEY))):
        with pytest.raises(VerifyFailed, match="signature does not fit"):
            verify_receipt(json.dumps(other), key)


def test_a_name_that_stands_twice_is_refused(chain: list[dict[str, Any]]) -> None:
    """Readers differ in which of the two they take."""
    text = json.dumps(chain[0])
    with pytest.raises(VerifyFailed, match="twice"):
        verify_receipt('{"number": 7, ' + text[1:])


def test_another_key_another_field_and_odd_keys_are_refused(chain: list[dict[str, Any]]) -> None:
    for key in ("00" * 32, "", "xyz", public_key(Keyring("cd" * 32))):
        with pytest.raises(VerifyFailed, match="another key"):
            verify_receipt(json.dumps(chain[0]), key)
    for other in ({"extra": 1}, {"public_key": "zz"}, {"signature": "ab"}, {"rows": "x"}, {"number": True}):
        with pytest.raises(VerifyFailed):
            verify_receipt(json.dumps({**chain[0], **other}))


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("id,n,who\n" + "".join(f"{n},{n % 7},{n % 3}\n" for n in range(20)))
    grouped = "  groups: {from: notes, steps: [{aggregate: {by: [n], columns: {rows: count()}}}]}\n"
    (tmp_path / "tillage.yaml").write_text(PLAN + grouped)
    assert run_command("run") == 0
    return tmp_path


def run_command(*words: str) -> int:

    return ended(list(words))


def test_the_command_forgets_and_its_receipt_is_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_command("forget", "notes", "--where", "n = 3 and who = '1'", "--dry-run", "--json") == 2
    assert "Column 'who' is a number" in capsys.readouterr().out
    assert run_command("forget", "notes", "--where", "n = 3 and who = 1", "--dry-run", "--json") == 0
    dry = json.loads(capsys.readouterr().out)
    assert (dry["records"], dry["dry_run"], dry["tables"]["groups"]["keys"]) == (1, True, 1)
    assert run_command("forget", "notes", "--where", "n = 3 and who = 1") == 2
    assert "--yes" in capsys.readouterr().err
    assert run_command("forget", "copy", "--where", "n = 3 and who = 1", "--yes", "--receipt", "r.json") == 0
    said = capsys.readouterr().out
    assert "Erased: 1 source record" in said
    receipt = json.loads((folder / "r.json").read_text())
    assert receipt["public_key"] in said
    assert run_command("verify", "--receipt", "r.json") == 0
    (folder / "tillage.yaml").unlink()  # offline
    assert run_command("verify", "--receipt", "r.json", "--public-key", receipt["public_key"]) == 0
    assert run_command("verify", "--receipt", "r.json", "--public-key", "00" * 32) == 70
    (folder / "r.json").write_text(json.dumps({**receipt, "tombstones": 0}))
    assert run_command("verify", "--receipt", "r.json", "--public-key", receipt["public_key"]) == 70
    assert run_command("verify", "--receipt", "none.json", "--public-key", receipt["public_key"]) == 66


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("groups", "--where", "rows > 1"), 2, "Forget in a table that holds the rows themselves: 'notes'"),
        (("notes",), 2, "one of --where, --key, --subject"),
        (("notes", "--key", "1", "--where", "n = 1"), 2, "one of --where, --key, --subject"),
        (("notes", "--subject", "1"), 2, "declares a subject"),
        (("notes", "--key", "no such key"), 66, "Nothing in table 'notes'"),
        (("notes", "--where", "n = 99"), 66, "Nothing in table 'notes'"),
        (("notes", "--where", "m = 99"), 2, "No column is called 'm'"),
        (("note", "--key", "1"), 2, "Did you mean 'notes'?"),
        (("notes", "--release", "a.csv"), 66, "No record of 'a.csv'"),
        (("notes", "--release", "a.csv", "--key", "1"), 2, "stands alone"),
    ],
)
def test_what_cannot_be_forgotten_is_said(
    words: tuple[str, ...], code: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / ".tillage" / "catalog.db").stat().st_mtime_ns
    assert run_command("forget", *words, *(() if "--release" in words else ("--yes",))) == code
    assert said in capsys.readouterr().err
    with project(folder) as p:
        assert p.store.catalog.meta("epoch") is None
        assert before
    assert issubclass(VerifyFailed, TillageError)


def test_answers_about_somebody_are_asked_of_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("trace", "prediction", "--subject", "1") == 2
    assert "tillage trace TABLE --subject VALUE. Tables: copy, groups, notes" in capsys.readouterr().err


def test_what_it_will_cost_is_judged_by_a_run_that_read_much(folder: Path) -> None:
    def estimated() -> float:
        with project(folder) as p:
            cost = estimate(p, "notes", key=["1"])["cost"]
            return float(cost["cpu_s"] / cost["rows"])

    before = estimated()
    (folder / "b.csv").write_text("id,n\n900,5\n")
    assert run_command("run") == 0
    assert estimated() == pytest.approx(before, rel=1e-2)
