"""Law 4 on the example's own plan, with a sample of its questions: what is behind a row makes it, and reaches change.

The random worlds of `tests/laws/test_law4_thread.py` have keys and every kind of stage; this plan has none and is what
users copy. Mutation caught: trace_forward: rows that would return shake nothing.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from random import Random

import pytest
from tests.flow.world import KEY
from tests.laws.test_law4_thread import everything, is_among, plain, reaches, records

from tillage.face.rooms import project
from tillage.promises import trace

EXAMPLE = Path(__file__).parents[2] / "examples" / "customer-service"
TOPICS = ("card_arrival", "lost_or_stolen_card", "exchange_rate")

Rows = list[list[str]]


def sample(name: str, each: int) -> tuple[list[str], Rows]:
    with (EXAMPLE / "data" / name).open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    return head, [row for topic in TOPICS for row in [r for r in rows if r[-1] == topic][:each]]


def write(path: Path, head: list[str], rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str], Rows]:
    """The example with thirty questions a topic, of which some stand twice."""
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    shutil.copy(EXAMPLE / "tillage.yaml", tmp_path / "tillage.yaml")
    head, rows = sample("train.csv", 30)
    rows += [[row[0].upper(), *row[1:]] if n % 2 else row for n, row in enumerate(rows[::9])]
    write(tmp_path / "data/train.csv", head, rows)
    write(tmp_path / "data/test.csv", *sample("test.csv", 8))
    return tmp_path, head, rows


def test_the_records_behind_a_question_make_it_again(questions: tuple[Path, list[str], Rows], tmp_path: Path) -> None:
    folder, head, rows = questions
    with project(folder) as p:
        p.run(["clean"])
        for n, row in enumerate(Random(1).sample(plain(p, "clean"), 4)):
            behind = records(trace(p, "clean", row["_id"]))
            assert 1 <= len(behind) <= 2
            again = tmp_path / f"again{n}"
            again.mkdir()
            shutil.copy(folder / "tillage.yaml", again / "tillage.yaml")
            write(again / "data/train.csv", head, [rows[record] for _, record in sorted(behind)])
            with project(again) as small:
                small.run(["clean"])
                assert is_among(row, plain(small, "clean"), by_content=True)


def test_what_a_deleted_question_changes_lies_in_its_forward_set(questions: tuple[Path, list[str], Rows]) -> None:
    folder, head, rows = questions
    random, changed_in_all, reached_in_all = Random(2), 0, 0
    with project(folder) as p:
        p.run()
        # The last of equal questions bears the last number, so that no other row changes its id.
        for at in (len(rows) - 1, random.randrange(40, 60), 0):
            before, text = everything(p), rows[at][0]
            same = [r["_id"] for r in plain(p, "questions") if r["text"] == text]
            reached = set().union(*(reaches(p, trace(p, "questions", row)) for row in same))
            del rows[at]
            write(folder / "data/train.csv", head, rows)
            p.run()
            changed = {name for name, digest in everything(p).items() if digest != before[name]}
            assert "questions" in changed
            assert changed <= reached, (text, changed - reached)
            changed_in_all, reached_in_all = changed_in_all + len(changed), reached_in_all + len(reached)
    print(f"customer-service: {changed_in_all} digests changed of {reached_in_all} in the forward sets")
    assert changed_in_all >= 5
