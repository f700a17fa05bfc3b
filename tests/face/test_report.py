"""The report of a run: well-formed, escaped, self-contained, small, and no score without its baseline."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tillage.face.report import LIMIT, render

HOSTILE = '</style></title><script>alert(1)</script><img src=x onerror="y">{{ 7*7 }}\x00\ud800中文'


def facts(rows: int, **ways: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {"version": 1, "digest": None, "rows": rows, "in": rows, "kept": rows, "created": 0}
    blank |= {"dropped": {}, "merged": 0, "consumed": 0, "quarantined": {}, "touched": rows}
    return blank | ways


def example() -> tuple[dict[str, Any], dict[str, Any]]:
    """A run of two tables and one model of three classes, one of them Chinese."""
    model = {"metrics": {"accuracy": 0.9}, "baseline": {"accuracy": 0.35}, "interval": {"accuracy": [0.86, 0.93]}}
    summary = {
        "schema": "tillage.run/1",
        "project": "客户服务",
        "tables": {
            "questions": facts(100, **{"in": 103}, quarantined={"bad_utf8": 3}),
            "clean": facts(90, **{"in": 100}, merged=8, dropped={"too_short": 2}),
        },
        "models": {"intent": {"version": 4, "digest": "ab" * 32, **model}},
        "cpu_s": 1.25,
        "wall_s": 0.75,
    }
    details = {
        "models": {
            "intent": {
                **model,
                "inputs": ["clean"],
                "per_class": [
                    {"class": "card", "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 10},
                    {"class": "转账", "precision": 0.7, "recall": 0.6, "f1": 0.65, "support": 5},
                ],
                "confusion": {"classes": ["card", "转账"], "counts": [[8, 2], [2, 3]]},
                "errors": [{"text": "why?", "target": "card", "prediction": "转账", "confidence": 0.51}],
                "warnings": ["The class 转账 has 5 rows."],
                "looks": 3,
                "train": 75,
                "test": 15,
                "left": {"leak": 2},
            }
        },
        "tables": {
            "questions": {"inputs": [], "steps": [], "profile": {"columns": {"text": {"nulls": 0, "distinct": 99}}}},
            "clean": {"inputs": ["questions"], "steps": ["normalize", "drop_duplicates"], "profile": None},
        },
    }
    return summary, details


def words(page: str) -> str:
    return " ".join(" ".join(ElementTree.fromstring(page).itertext()).split())


def test_the_page_shows_the_run() -> None:
    page = render(*example())
    seen = words(page)
    for shown in (
        "客户服务",
        "accuracy 0.900 baseline 0.350; interval 0.860 to 0.930",
        "looks at the test part so far: 3",
        "train rows: 75; test rows: 15; left as leak: 2",
        "The class 转账 has 5 rows.",
        "steps: normalize, drop_duplicates",
        "2 dropped: too_short",
        "3 quarantined: bad_utf8",
        "100 in",
        "distinct",
        "1.250 s of CPU",
    ):
        assert shown in seen, shown
    assert seen.index("转账 0.700") < seen.index("card 0.900")  # the worst class first
    assert page.count('class="edge"') == 2


def test_the_rows_of_a_table_add_up_on_the_page() -> None:
    summary, details = example()
    root = ElementTree.fromstring(render(summary, details))
    (article,) = [a for a in root.iter("article") if a.findtext("h3/bdi") == "clean"]
    rows = {row[0].text: row[1].text for row in article.iter("tr")}
    ways = [int(rows[way] or 0) for way in ("kept", "merged", "dropped: too_short")]
    assert sum(ways) == int(rows["in"] or 0) == 100


def test_hostile_text_stays_text() -> None:
    summary, details = example()
    summary["project"] = HOSTILE
    summary["tables"][HOSTILE] = facts(1, dropped={HOSTILE: 1})
    details["tables"][HOSTILE] = {"inputs": ["clean"], "steps": [HOSTILE], "profile": {HOSTILE: HOSTILE}}
    summary["models"][HOSTILE] = {**summary["models"]["intent"], "metrics": {HOSTILE: 0.1}, "baseline": {HOSTILE: 0}}
    details["models"][HOSTILE] = {
        "warnings": [HOSTILE],
        "errors": [{HOSTILE: HOSTILE}, HOSTILE],
        "per_class": [{"class": HOSTILE, "f1": None}],
        "confusion": {"classes": [HOSTILE, "b"], "counts": [[1, 1], [0, 1]]},
        "left": {HOSTILE: 1},
    }
    page = render(summary, details)
    plain = {node.tag for node in ElementTree.fromstring(render(*example())).iter()}
    root = ElementTree.fromstring(page.encode())
    assert {node.tag for node in root.iter()} <= plain
    assert not {name for node in root.iter() for name in node.attrib if name.startswith("on") or name == "src"}
    assert "{{ 7*7 }}" in words(page)
    assert page.count("<style>") == page.count("</style>") == 1


def test_the_page_asks_for_nothing() -> None:
    page = render(*example())
    assert not re.search(r"://|url\(|@import|@font-face|<script|<link|<img|<iframe|javascript:", page)
    root = ElementTree.fromstring(page)
    assert all(node.attrib["href"].startswith("#") for node in root.iter() if "href" in node.attrib)
    ids = [node.attrib["id"] for node in root.iter() if "id" in node.attrib]
    assert len(ids) == len(set(ids))
    assert {node.attrib["href"][1:] for node in root.iter("a")} <= set(ids)
    assert not [node.tag for node in root.iter() if "style" in node.attrib]  # the policy would refuse it


def test_the_policy_admits_the_style_sheet_and_nothing_else() -> None:
    root = ElementTree.fromstring(render(*example()))
    (policy,) = [m.attrib["content"] for m in root.iter("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    style = root.findtext("head/style") or ""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "unsafe" not in policy
    assert "prefers-color-scheme:dark" in style
    assert "Noto Sans CJK SC" in style


def test_77_classes_fit() -> None:
    summary, details = example()
    names = [f"card_payment_wrong_exchange_rate_{i}" for i in range(77)]
    about = details["models"]["intent"]
    about["confusion"] = {"classes": names, "counts": [[1 + (i * j) % 50 for j in range(77)] for i in range(77)]}
    about["per_class"] = [{"class": n, "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 40} for n in names]
    page = render(summary, details)
    assert len(page.encode()) < 200_000
    assert all(name in page for name in names)


def test_a_page_that_would_be_too_large_is_shortened_and_says_so() -> None:
    summary, details = example()
    text = "很长的文字 " * 60
    for i in range(12):
        summary["models"][f"m{i}"] = copy.deepcopy(summary["models"]["intent"])
        details["models"][f"m{i}"] = {"errors": [{f"column {j}": text for j in range(6)} for _ in range(300)]}
    page = render(summary, details)
    assert len(page.encode()) < LIMIT
    assert re.search(r"The first \d+ of 300\.", page)
    ElementTree.fromstring(page)


def test_a_page_of_very_many_models_says_what_it_left_out() -> None:
    summary, details = example()
    names = [f"class {i}" for i in range(77)]
    counts = [[1 + (i * j) % 50 for j in range(77)] for i in range(77)]
    for i in range(8):
        summary["models"][f"m{i}"] = copy.deepcopy(summary["models"]["intent"])
        details["models"][f"m{i}"] = {"confusion": {"classes": names, "counts": counts}, "errors": [{"n": 1}]}
    page = render(summary, details)
    assert len(page.encode()) < LIMIT
    assert page.count("the confusion matrix is left out") == 9
    assert page.count("All 1 are left out") == 10  # the lists of errors and one profile


def test_a_score_is_never_shown_alone() -> None:
    summary, details = example()
    summary["models"]["intent"]["baseline"] = {}
    with pytest.raises(ValueError, match="no baseline for accuracy"):
        render(summary, details)


def test_a_first_run_without_details_has_its_page() -> None:
    summary, _ = example()
    summary["models"]["intent"]["interval"] = None
    seen = words(render(summary, {"models": {}, "tables": {}}))
    assert "baseline 0.350" in seen
    assert "interval 0" not in seen


def test_errors_in_the_unit_of_the_target_have_an_axis_of_their_own() -> None:
    summary, details = example()
    summary["models"]["intent"]["metrics"] = {"r2": 0.8, "mae": 271.0}
    summary["models"]["intent"]["baseline"] = {"r2": 0.0, "mae": 293.0}
    seen = words(render(summary, details))
    assert "Scores of intent" in seen
    assert "Errors of intent, in the unit of its target" in seen


def test_the_same_run_makes_the_same_page() -> None:
    assert render(*example()) == render(*example())
