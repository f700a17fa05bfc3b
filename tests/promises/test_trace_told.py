"""How a thread is told: OpenLineage events, a picture, the command.

Mutations caught: lineage_events: a run without its START; a facet without `_schemaURL`; rows told with their values; a
derived column as an identity; columns guessed past a fitted step. trace_picture: two boxes of one name; arrows of the
way back turned round. tracing: --limit and --depth not handed on; a branch that is shared spread out twice.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from tests.promises.test_trace import built, by_id, one, orchard

from tillage.face.main import ended
from tillage.flow.run import Project
from tillage.promises.lineage_events import as_lines, columns_through, lineage_events, producer
from tillage.promises.trace_picture import picture
from tillage.promises.tracing import trace, trace_record

__all__ = ["built", "orchard"]  # fixtures

SPEC = "TILLAGE_OPENLINEAGE_SPEC"
"""Names the folder `spec` of a checkout of OpenLineage: the events are then held against its own JSON schemas."""

Tell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tell(built: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Run a command in the orchard: (exit code, standard output, standard error)."""
    monkeypatch.chdir(built)

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = ended(["trace", *(str(w) for w in words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def events(p: Project, key: int = 7) -> list[dict[str, Any]]:
    return list(lineage_events(p, trace(p, "notes", by_id(p, key))))


def ended_runs(p: Project) -> dict[str, dict[str, Any]]:
    return {e["job"]["name"]: e for e in events(p) if e["eventType"] == "COMPLETE"}


# ---- OpenLineage


def test_each_stage_on_the_thread_is_a_run_that_starts_and_ends(orchard: Project) -> None:
    found = events(orchard)
    names = [e["job"]["name"] for e in found]
    assert {"notes", "words", "tidy", "tidy/2-fill_missing", "bayes", "cities", "both"} <= set(names)
    for start, end in zip(found[::2], found[1::2], strict=True):
        assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
        assert start["run"] == end["run"]
        assert start["job"] == end["job"]
    runs = [e["run"]["runId"] for e in found[::2]]
    assert len(set(runs)) == len(runs)
    assert all(UUID(r).version == 5 for r in runs)
    assert names.index("notes") < names.index("words") < names.index("cities") < names.index("beside")
    assert found == events(orchard), "the same thread gives the same events"


def test_datasets_say_what_was_read_and_made(orchard: Project) -> None:
    runs = ended_runs(orchard)
    files = {
        Path(i["name"]).name: i["namespace"]
        for i in runs["notes/source" if "notes/source" in runs else "notes"]["inputs"]
    }
    assert files == dict.fromkeys(("a.csv", "b.csv", "c.csv"), "file")
    tidy = runs["tidy"]
    assert {i["name"] for i in tidy["inputs"]} == {"tidy/3", "tidy/expect"}
    [made] = tidy["outputs"]
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == orchard.read("tidy").height
    assert [f["name"] for f in made["facets"]["schema"]["fields"]] == ["id", "text", "city", "x", "n", "label"]
    assert made["facets"]["version"]["datasetVersion"] == "1"
    assert runs["bayes"]["outputs"][0]["facets"]["datasetType"]["datasetType"] == "MODEL"


def test_rows_are_named_by_id_and_never_by_value(orchard: Project) -> None:
    row = f"{by_id(orchard, 7):032x}"
    [made] = ended_runs(orchard)["tidy"]["outputs"]
    assert made["facets"]["tillage_rows"]["rows"] == [{"row": row, "state": "kept"}]
    text = as_lines(events(orchard))
    assert "pear" not in text
    assert "Rome" not in text
    left = list(lineage_events(orchard, trace(orchard, "words", by_id(orchard, 4))))
    entries = [r for e in left for o in e["outputs"] for r in o["facets"].get("tillage_rows", {}).get("rows", [])]
    assert {"row": f"{by_id(orchard, 4):032x}", "state": "left", "reason": "negative", "step": "filter"} in entries


def column(event: dict[str, Any], name: str) -> set[tuple[str, str, str]]:
    fields = event["outputs"][0]["facets"]["columnLineage"]["fields"]
    return {(f["name"], f["field"], f["transformations"][0]["subtype"]) for f in fields[name]["inputFields"]}


def test_columns_are_traced_where_steps_say(orchard: Project) -> None:
    runs = ended_runs(orchard)
    assert column(runs["words"], "big") == {("words/2", "n", "TRANSFORMATION")}
    assert column(runs["words"], "city") == {("words/2", "city", "IDENTITY")}
    assert column(runs["cities"], "most") == {("words", "n", "AGGREGATION")}
    assert column(runs["cities"], "city") == {("words", "city", "IDENTITY")}
    whole = runs["cities"]["outputs"][0]["facets"]["columnLineage"]["dataset"]
    assert [(f["field"], f["transformations"][0]) for f in whole] == [
        ("city", {"type": "INDIRECT", "subtype": "GROUP_BY"})
    ]
    assert column(runs["both"], "text") == {("words", "text", "IDENTITY"), ("tidy", "text", "IDENTITY")}
    assert column(runs["tidy"], "label") == {("tidy/3", "label", "IDENTITY")}
    for unknown in ("words/1", "tidy/3", "beside/1", "ranked/1", "bayes"):
        assert "columnLineage" not in runs[unknown]["outputs"][0]["facets"], unknown


def test_columns_through_each_step_that_is_known(orchard: Project) -> None:
    side = columns_through(orchard.stages["bayes/1"], "rows", {"id": "Int64", "text": "String"})
    assert side is not None
    assert side[0]["text"] == {("text", "IDENTITY")}
    assert side[0]["tillage:side"] == set()
    whole = columns_through(orchard.stages["tidy/1"], "rows", {"id": "Int64", "text": "String"})
    assert whole == ({"id": {("id", "IDENTITY")}, "text": {("text", "IDENTITY")}}, {("text", "FILTER")})


def test_every_event_has_what_the_standard_requires(orchard: Project) -> None:
    found = events(orchard) + list(lineage_events(orchard, trace_record(orchard, "data/a.csv", 4)))
    assert len(found) > 20
    for event in found:
        assert {"eventTime", "producer", "schemaURL", "run", "job"} <= event.keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", event["eventTime"])
        assert event["producer"] == producer()
        for dataset in [*event["inputs"], *event["outputs"]]:
            assert dataset["namespace"]
            assert dataset["name"]
        facets = list(facets_of(event))
        assert facets
        assert all(re.match(r"https://openlineage\.io/spec/|urn:", f["_schemaURL"]) for _, f in facets)
        assert all(f["_producer"] == producer() for _, f in facets)


def facets_of(value: Any) -> Any:
    """(name, facet) of everything under a `facets`, however deep."""
    if isinstance(value, list):
        for inner in value:
            yield from facets_of(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in ("facets", "inputFacets", "outputFacets"):
                yield from inner.items()
            yield from facets_of(inner)


@pytest.mark.skipif(SPEC not in os.environ, reason=f"{SPEC} does not name OpenLineage's schemas")
def test_the_events_fulfil_the_schemas_of_the_standard(orchard: Project) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    known: dict[str, Any] = {}
    for path in Path(os.environ[SPEC]).glob("**/*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(schema, dict) and "$id" in schema:
            known[schema["$id"]] = schema
    registry = referencing.Registry().with_resources(
        (name, referencing.Resource.from_contents(schema)) for name, schema in known.items()
    )

    def wrong(reference: str, value: Any) -> list[str]:
        validator = jsonschema.Draft202012Validator(
            {"$ref": reference}, registry=registry, format_checker=jsonschema.FormatChecker()
        )
        return [f"{e.json_path}: {e.message}" for e in validator.iter_errors(value)]

    checked = 0
    for event in events(orchard):
        assert wrong(event["schemaURL"], event) == []
        for name, facet in facets_of(event):
            if facet["_schemaURL"].startswith("https:"):
                assert facet["_schemaURL"] in known
                assert wrong(facet["_schemaURL"], {name: facet}) == []
                checked += 1
    assert checked > 50
    broken = events(orchard)[0]
    del broken["run"]["runId"]
    assert wrong(broken["schemaURL"], broken), "the schemas let anything through"


def test_the_events_are_read_by_the_standards_own_client(orchard: Project) -> None:
    client = pytest.importorskip("openlineage.client.event_v2")
    for event in events(orchard):
        run = client.Run(runId=event["run"]["runId"], facets={})
        job = client.Job(namespace=event["job"]["namespace"], name=event["job"]["name"], facets={})
        made = client.RunEvent(
            eventTime=event["eventTime"],
            producer=event["producer"],
            run=run,
            job=job,
            eventType=client.RunState(event["eventType"]),
        )
        assert made.run.runId == event["run"]["runId"]


# ---- the picture


def test_the_picture_has_a_box_a_node_and_its_arrows(orchard: Project) -> None:
    node = trace(orchard, "words", by_id(orchard, 7), direction="back")
    chart = picture(node)
    ElementTree.fromstring(chart.standalone())
    assert chart.svg.count('class="edge"') == len(node.thread.to_dict()["back"])
    assert "data/b.csv record 1 to notes " in chart.svg, "arrows go from what was first"
    assert re.search(r"notes \w+… to words/1 ", chart.svg)


def test_a_large_picture_says_what_it_leaves_out(orchard: Project) -> None:
    node = trace(orchard, "cities", one(orchard, "cities", city="Kiel"), direction="back", limit=None)
    chart = picture(node, boxes=20)
    assert chart.svg.count("<rect") == 20
    assert f"({len(node.thread.items) - 20:,} more not drawn)" in chart.svg
    assert "more not drawn" not in picture(trace(orchard, "notes", by_id(orchard, 7), direction="back")).svg


def test_every_thread_of_the_orchard_can_be_drawn(orchard: Project) -> None:
    for table in orchard.plan.tables:
        for row in orchard.read(table)["_id"].to_list()[:3]:
            ElementTree.fromstring(picture(trace(orchard, table, row, limit=5)).standalone())
    for model in ("bayes", "tidy"):
        ElementTree.fromstring(picture(trace(orchard, model)).standalone())


# ---- the command


def test_the_tree_shows_a_shared_branch_once(orchard: Project, tell: Tell) -> None:
    code, out, err = tell("both", f"{by_id(orchard, 7):032x}", "--direction", "back")
    assert code == 0
    assert out.startswith("row both ")
    assert out.count("record data/b.csv record 1") == 1
    assert "(as above)" in out
    assert "├── " in out
    assert err == ""


def test_the_command_hands_its_bounds_on(orchard: Project, tell: Tell) -> None:
    row = f"{one(orchard, 'cities', city='Kiel'):032x}"
    code, out, err = tell("cities", row, "--limit", 3, "--direction", "back")
    assert (code, out.count("row words ")) == (0, 3)
    assert "and 37 more rows of this key" in out
    assert "37 rows counted and not named: --limit names more." in err
    assert "record" not in tell("cities", row, "--limit", 3, "--depth", 1)[1]
    value = json.loads(tell("notes", "--key", 7, "--json", "--direction", "forward")[1])
    assert value["schema"] == "tillage.trace/1"
    assert value["trace"]["back"] == []
    assert value["trace"]["forward"]


def test_a_file_and_a_record_can_be_asked_about(tell: Tell, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = tell("data/a.csv", 4)
    assert code == 0
    assert "reason: short_row" in out
    monkeypatch.chdir(built / "data")
    assert tell("a.csv", 4)[1] == out, "also from where the file is"


def test_files_are_written_whole(tell: Tell, tmp_path: Path) -> None:
    lines, drawing = tmp_path / "thread.jsonl", tmp_path / "thread.svg"
    assert tell("tidy", "--key", 7, "--openlineage", lines, "--svg", drawing)[0] == 0
    assert all(json.loads(line)["job"]["name"] for line in lines.read_text().splitlines())
    ElementTree.fromstring(drawing.read_text())
    assert sorted(tmp_path.iterdir()) == [lines, drawing]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("wrds",), 2, "Did you mean 'words'?"),
        (("data/a.cvs",), 2, "Did you mean 'data/a.csv'?"),
        (("data/a.csv",), 2, "`tillage trace data/a.csv 0`"),
        (("data/a.csv", "x"), 2, "counted from 0"),
        (("data/a.csv", 99), 66, "6 records were read"),
        (("data/a.csv", 0, "--version", 1), 2, "no --version"),
        (("0" * 32,), 2, "`tillage trace TABLE "),
        (("words", "xyz"), 2, "32 hexadecimal digits"),
        (("words", "0" * 33), 2, "32 hexadecimal digits"),
        (("words", "1" * 32), 66, "tillage show words"),
        (("words", "--version", 9), 66, "--version 1"),
        (("words", "--direction", "bakc"), 2, "Did you mean 'back'?"),
        (("words", "--limit", 0), 2, "--limit"),
        (("bayes", "00"), 2, "has no rows"),
        (("cities", "--key", 1, "--key", 2), 2, "has 1 columns (id), got 2"),
    ],
)
def test_a_wrong_question_is_told_what_to_do(tell: Tell, words: tuple[object, ...], code: int, said: str) -> None:
    found, out, err = tell(*words)
    assert (found, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


def test_rich_and_the_writers_are_loaded_when_they_are_used() -> None:
    import subprocess

    code = "import sys, tillage.face.tracing; print(sorted({'rich.tree', 'polars', 'tillage.draw'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
