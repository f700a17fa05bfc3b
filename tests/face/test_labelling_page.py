"""The page of `tillage label` in a real browser: by mouse and keyboard, saved, reloaded, in two tabs, under attack."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.face.browser import CHROMIUM, Browser, Tab
from tests.flow.world import KEY

from tillage.face.main import ended
from tillage.face.rooms import project

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

GOOD, BAD = "好评", '差评, "很"差'
HOSTILE = (
    "<script>document.title='owned'</script>",
    "\"'><img src=x onerror=\"document.title='owned'\">",
    "</dd></fieldset><style>*{display:none}</style>",
    "{{ 7*7 }} ${7*7} {% raw %}",
    "</script><script src='https://example.org/x.js'></script>",
)
PLAN = """\
project: page
tables:
  reviews: {collect: {files: data.csv}, key: 编号}
models:
  mood: {learn: text_classifier, from: reviews, input: [text, why], target: given}
"""
BACK = """\
project: page
tables:
  reviews: {collect: {files: data.csv}, key: 编号}
  taught: {collect: {files: "labels/*.csv"}, key: 编号}
  both:
    from: {left: reviews, right: taught}
    steps:
      - join: {on: [编号], take: [new_label]}
      - derive: {columns: {given: "coalesce(new_label, given)"}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """100 reviews with a label and 20 without, whose columns are called as those that `label` writes."""
    root = tmp_path_factory.mktemp("page")
    rows: list[dict[str, Any]] = []
    for at in range(120):
        mood = (GOOD, BAD)[at % 2]
        words = ("干净 方便 热情 安静", "太吵 很脏 冷淡 失望")[at % 2].split()
        text = f"{words[at % 4]},{words[(at + at // 4) % 4]} 第{at}间"
        if at >= 100:
            text = f"{text} {HOSTILE[at % 5]}"
        given = None if at >= 100 else mood
        rows.append({"编号": f"客{at}" if at % 3 else str(at), "text": text, "why": f"因为{at}", "given": given,
                     "suggested": "mine", "doubt": at, "row_id": at})  # fmt: skip
    pl.DataFrame(rows).write_csv(root / "data.csv")
    (root / "tillage.yaml").write_text(PLAN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TILLAGE_KEY", KEY)
        assert ended(["run", "--plan", str(root), "--json"]) == 0
        assert ended(["label", "mood", "--plan", str(root), "--output", str(root / "out"), "--rows", "30"]) == 0
        yield root


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "browser") as opened:
        yield opened


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def keys(tab: Tab) -> list[str]:
    found = tab.asked("[...document.querySelectorAll('fieldset')].map(f => JSON.parse(f.dataset.key)[0])")
    return [str(key) for key in found]


def said(tab: Tab) -> str:
    return str(tab.asked("document.querySelector('#count').textContent"))


def radio(row: int, choice: int) -> str:
    """The choice of a row: 0 leaves it, 1 is the first class."""
    return f"fieldset:nth-of-type({row + 1}) label:nth-of-type({choice + 1}) input"


def chosen(tab: Tab) -> dict[str, str]:
    """Key to the class that is chosen."""
    script = (
        "[...document.querySelectorAll('input:checked:not([data-leave])')]"
        ".map(i => [JSON.parse(i.closest('fieldset').dataset.key)[0], i.value])"
    )
    return dict(tab.asked(script))


def brought_back(folder: Path, root: Path, files: list[Path], table: str, column: str) -> dict[str, str]:
    """A column of a table, by key, of a project that collects these files of labels beside the rows."""
    (root / "labels").mkdir()
    for file in files:
        shutil.copy(file, root / "labels")
    shutil.copy(folder / "data.csv", root)
    (root / "tillage.yaml").write_text(BACK, encoding="utf-8")
    with project(root) as opened:
        opened.run()
        return dict(opened.read(table).select(pl.col("编号").cast(pl.String), column).rows())


def test_labels_by_mouse_come_back_as_a_source(folder: Path, browser: Browser, tmp_path: Path) -> None:
    tab = browser.tab(folder / "out" / "label.html")
    named = keys(tab)
    classes = tab.asked("[...document.querySelectorAll('fieldset:first-of-type input')].map(i => i.value)")
    assert classes == ["", *sorted([GOOD, BAD])]
    assert said(tab) == f"0 of {len(named)} chosen"
    for row, choice in ((0, 1), (1, 2), (2, 1), (2, 0), (len(named) - 1, 2)):
        tab.click(radio(row, choice))
    assert said(tab) == f"3 of {len(named)} chosen, not saved yet"
    tab.click("#save")
    (file,) = browser.downloaded(1)
    assert said(tab) == f"3 of {len(named)} chosen, saved"
    wanted = [[named[0], classes[1]], [named[1], classes[2]], [named[-1], classes[2]]]
    assert lines(file) == [["编号", "new_label"], *wanted]
    both = brought_back(folder, tmp_path, [file], "both", "given")
    before = dict(pl.read_csv(folder / "data.csv").select("编号", "given").rows())
    assert both == before | dict(wanted)


def test_labels_by_keyboard_alone(folder: Path, browser: Browser) -> None:
    tab = browser.tab(folder / "out" / "label.html")
    named = keys(tab)
    tab.front()
    tab.press("Tab")
    assert tab.asked("document.activeElement.id") == "save"
    tab.press("Tab")
    tab.press("2")
    tab.press("1")
    tab.press("ArrowRight")
    tab.press("Tab")
    tab.press("1")
    tab.press("0")
    tab.press("9")  # there is no such class
    classes = sorted([GOOD, BAD])
    assert list(chosen(tab).values()) == [classes[1], classes[0], classes[0], classes[0]]
    assert list(chosen(tab)) == named[:4]
    inside = tab.asked(
        "(() => { const r = document.activeElement.getBoundingClientRect(), h = document.querySelector('header')"
        ".getBoundingClientRect(); return r.top >= h.bottom - 1 && r.bottom <= innerHeight; })()"
    )
    assert inside, "the choice that has the focus is seen"
    assert tab.asked("document.activeElement.closest('fieldset') === document.querySelectorAll('fieldset')[5]")


def test_a_reload_warns_and_keeps_what_was_chosen_with_its_row(folder: Path, browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "label.html"
    shutil.copy(folder / "out" / "label.html", page)
    tab = browser.tab(page)
    assert tab.reload() == "", "nothing is lost where nothing is chosen"
    tab.click(radio(0, 1))
    tab.click(radio(3, 2))
    before = chosen(tab)
    assert len(before) == 2
    assert tab.reload() == "beforeunload"
    assert chosen(tab) == before
    assert said(tab) == f"2 of {len(keys(tab))} chosen, not saved yet"
    # the page is made again, its rows in another order
    text = page.read_text(encoding="utf-8")
    first, rest = text.split("<main>\n")
    rows, last = rest.split("</main>")
    parts = rows.split("</fieldset>\n")
    page.write_text(first + "<main>\n" + "</fieldset>\n".join([*reversed(parts[:-1]), ""]) + "</main>" + last, "utf-8")
    named = keys(tab)
    tab.reload()
    assert keys(tab) == named[::-1]
    assert chosen(tab) == before, "no choice passes to another row"
    for at, key in enumerate(keys(tab)):
        if key in before:
            tab.click(radio(at, 1))
    tab.click("#save")
    browser.downloaded(1)
    assert tab.reload() == "", "what is saved may go"


def test_of_two_tabs_the_file_that_was_saved_last_counts(folder: Path, browser: Browser, tmp_path: Path) -> None:
    one, two = (browser.tab(folder / "out" / "label.html") for _ in range(2))
    named, classes = keys(one), sorted([GOOD, BAD])
    one.front()
    one.click(radio(0, 1))
    one.click(radio(1, 1))
    assert chosen(two) == {}
    two.front()
    two.click(radio(1, 2))
    two.click(radio(2, 2))
    two.click("#save")
    browser.downloaded(1)
    one.front()
    one.click("#save")
    taught = brought_back(folder, tmp_path, browser.downloaded(2), "taught", "new_label")
    assert taught == {named[0]: classes[0], named[1]: classes[0], named[2]: classes[1]}


def test_texts_are_shown_and_never_run(folder: Path, browser: Browser) -> None:
    tab = browser.tab(folder / "out" / "label.html")
    shown = tab.asked("[...document.querySelectorAll('dd')].map(d => d.textContent)")
    whole = pl.read_csv(folder / "data.csv").filter(pl.col("given").is_null())
    assert set(whole["text"]) <= set(shown)
    assert set(whole["why"]) <= set(shown)
    assert tab.asked("document.title") == "mood – labels"
    for selector, count in (("script", 1), ("style", 1), ("img", 0), ("fieldset", 20)):
        assert tab.asked(f"document.querySelectorAll('{selector}').length") == count
    # were the escaping ever lost, the page's own policy would still stop it
    tab.asked("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    tab.asked("(() => { const s = document.createElement('script'); s.textContent = 'document.title = 2';"
              " document.body.append(s); })()")  # fmt: skip
    assert tab.asked("document.title") == "mood – labels"
    tab.click("#save")
    asked = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "blob:"))] == []


def test_the_files_keep_apart_what_is_ours_and_what_is_the_users(folder: Path) -> None:
    shown = pl.read_csv(folder / "out" / "to_label.csv", infer_schema=False)
    ours = ["row_id", "编号", "why", "given", "suggested", "doubt", "new_label"]
    assert shown.columns == [*ours, "text", "input_why"]
    assert shown["input_why"].str.starts_with("因为").all()
    assert not shown["why"].str.starts_with("因为").any()
    assert shown["suggested"].is_in([GOOD, BAD]).all()
    lines_of = [json.loads(line) for line in (folder / "out" / "to_label.jsonl").read_text("utf-8").splitlines()]
    assert [line["编号"] for line in lines_of] == shown["编号"].to_list()
