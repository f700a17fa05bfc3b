"""What the pages say is there: links, targets of make, the plan of the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.text import tiny_encoder
from tillage.face.rooms import project, registry
from tillage.flow.configuration import load, parse

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_pages_are_found() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/LOG.md"} <= set(map(name, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_named_is_there(page: Path) -> None:
    named = re.findall(r"`((?:docs|src|tests|examples|requirements|benchmarks)/[\w./-]+)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert used <= targets


def test_the_plan_in_the_readme_is_that_of_the_example() -> None:
    plan = (ROOT / "examples/customer-service/tillage.yaml").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == plan.split("\n", 1)[1]


def test_the_plans_of_the_page_on_sources_are_plans(tmp_path: Path) -> None:
    plans = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/sources.md").read_text(), re.DOTALL)
    read = []
    for n, text in enumerate(plans):
        (tmp_path / f"{n}.yaml").write_text(text)
        read.append(load(tmp_path / f"{n}.yaml", registry()))
    assert [sorted(plan.tables) for plan in read] == [
        ["orders", "paid", "visits"],
        ["news", "pages"],
        ["clicks", "customers", "orders"],
        ["readings"],
    ]
    names = {table.source.name() for plan in read for table in plan.tables.values() if table.source}
    assert names == {"kafka", "mqtt", "sql", "web"}


def test_the_architecture_fits_on_two_pages() -> None:
    lines = (ROOT / "ARCHITECTURE.md").read_text().splitlines()
    assert 40 < len(lines) <= 130


@pytest.mark.parametrize("at", range(6))
def test_the_plans_of_the_page_on_tables_are_read(at: int, tmp_path: Path) -> None:
    plans = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tables.md").read_text(), re.DOTALL)
    assert len(plans) == 6
    assert parse(plans[at], tmp_path, registry()).tables


def test_what_the_page_on_tables_redacts_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    plan = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tables.md").read_text(), re.DOTALL)[3]
    (tmp_path / "tillage.yaml").write_text(plan)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.csv").write_text("id,patient,phone,note\n1,Li Wei,13812345678,mail li.wei@example.cn\n")
    with project(tmp_path) as p:
        p.run()
        reports = {name: p.reports(name)["pii_report"]["columns"] for name in ("notes", "safe")}
    found = {name: {column for column, kinds in columns.items() if kinds} for name, columns in reports.items()}
    assert found == {"notes": {"phone", "note"}, "safe": set()}


def test_the_checks_of_the_page_on_tables_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLAGE_KEY", "ab" * 32)
    plan = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/tables.md").read_text(), re.DOTALL)[2]
    (tmp_path / "tillage.yaml").write_text(plan)
    (tmp_path / "customers").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "customers/a.csv").write_text("id,country\n1,DE\n2,CN\n")
    days = [f"2024-0{m}-{d:02d}" for m in (6, 7) for d in range(1, 11)]
    rows = [f"{n * 20 + k},{1 + k % 2},{'DE' if k % 2 == 0 else 'CN'},{k}.5,{k % 4},{day},{day}"
            for n, day in enumerate(days) for k in range(20)]  # fmt: skip
    (tmp_path / "data/a.csv").write_text("\n".join(["id,customer,country,amount,pieces,day,loaded", *rows]) + "\n")
    with project(tmp_path) as p:
        outcome = p.run()
        assert (outcome.failed, len(outcome.checks)) == ([], 10)
        assert p.run().changed == []
        (tmp_path / "data/b.csv").write_text(
            "id,customer,country,amount,pieces,day,loaded\n" + rows[-1].replace("399,2", "400,3") + "\n"
        )
        assert p.run().failed == ["orders"]


@pytest.mark.parametrize("at", range(8))
def test_the_plans_of_the_page_on_learning_are_read(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("minilm", "names"):
        tiny_encoder.write(tmp_path / "models" / folder)
    monkeypatch.chdir(tmp_path)
    plans = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/learning.md").read_text(), re.DOTALL)
    assert len(plans) == 8
    assert parse(plans[at], tmp_path, registry()).tables


def test_the_plans_of_the_page_on_texts_are_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, watched = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/text.md").read_text(), re.DOTALL)
    tiny_encoder.write(tmp_path / "models" / "minilm")
    monkeypatch.chdir(tmp_path)
    assert set(parse(plan, tmp_path, registry()).models) == {"topic", "tone"}
    assert parse(watched, tmp_path, registry()).models["tone"].track == "tensorboard"
