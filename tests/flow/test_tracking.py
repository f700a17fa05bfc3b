"""The curve of a training as TensorBoard, MLflow and Weights & Biases keep it, each read back from its own files."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.flow.world import KEY
from tillage.core.errors import ConfigurationError, Unavailable
from tillage.core.state import digest
from tillage.core.training_records import listeners
from tillage.face.rooms import project, registry
from tillage.flow.configuration import parse
from tillage.flow.tracking import FOLDER, tracked
from tillage.flow.writing import to_yaml
from tillage.media import encode_image

Curves = dict[str, list[tuple[int, float]]]
"""Name of a figure to its steps and values."""

STEPS: list[tuple[int, dict[str, float]]] = [
    (1, {"loss": 0.5, "rate": 1.0}),
    (2, {"loss": 0.25, "rate": float("inf")}),
    (2, {"epoch": 1.0, "loss": 0.375, "judged": 0.125}),
    (3, {"loss": 0.0625, "rate": 0.5}),
]
CURVES: Curves = {
    "step/loss": [(1, 0.5), (2, 0.25), (3, 0.0625)],
    "step/rate": [(1, 1.0), (3, 0.5)],
    "epoch/loss": [(2, 0.375)],
    "epoch/judged": [(2, 0.125)],
}


def of_tensorboard(folder: Path) -> list[Curves]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = []
    for place in sorted(folder.iterdir()):
        read = EventAccumulator(str(place))
        read.Reload()
        found.append({tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]})
    return found


def of_mlflow(folder: Path, ended: str = "FINISHED") -> list[Curves]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = []
    [experiment] = [e for e in client.search_experiments() if e.name == "garden"]
    for run in sorted(client.search_runs([experiment.experiment_id]), key=lambda run: int(run.info.start_time)):
        assert (run.info.run_name, run.info.status) == ("way", ended)
        assert run.data.params == {}
        histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        found.append({name: [(m.step, m.value) for m in history] for name, history in histories.items()})
    return found


def of_wandb(folder: Path) -> list[Curves]:
    """Its file is a log of LevelDB behind seven bytes, its records are messages of its own; the last one is `exit`."""
    found: list[Curves] = []
    for file in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda f: f.parent.name):
        end = time.monotonic() + 20
        while "exit" not in (kinds := [kind for kind, _ in _messages(file)]):  # a process of its own writes it
            assert time.monotonic() < end, kinds
            time.sleep(0.05)
        curves: Curves = {}
        for kind, record in _messages(file):
            if kind == "run":
                assert (record.run.project, record.run.display_name) == ("garden", "way")
                assert (record.run.host, record.run.git.commit) == ("-", "")
            if kind == "history":
                values = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
                for name, value in values.items():
                    if not name.startswith("_"):
                        curves.setdefault(name, []).append((int(values["_step"]), value))
        found.append(curves)
    return found


def _messages(file: Path) -> list[tuple[str, Any]]:
    messages = importlib.import_module("wandb.proto.wandb_internal_pb2")
    found = []
    for data in _records(file.read_bytes()):
        record = messages.Record()
        record.ParseFromString(data)
        found.append((str(record.WhichOneof("record_type")), record))
    return found


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a log: blocks of 32 kB of pieces, each with checksum, length and place (whole, first, ...)."""
    at, held = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        held += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield held
            held = b""


TOOLS = [
    pytest.param("tensorboard", of_tensorboard, id="tensorboard"),
    pytest.param("mlflow", of_mlflow, id="mlflow", marks=pytest.mark.filterwarnings("ignore::DeprecationWarning")),
    pytest.param("wandb", of_wandb, id="wandb"),
]


def need(*libraries: str) -> None:
    if missing := [name for name in libraries if importlib.util.find_spec(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}, which the lock of deep learning brings")


def tell(step: int, values: dict[str, float]) -> None:
    for record in listeners():
        record(step, values)


@pytest.mark.parametrize(("tool", "read"), TOOLS)
def test_each_training_is_a_run_with_its_figures(tool: str, read: Any, tmp_path: Path) -> None:
    need(tool)
    with tracked(tool, tmp_path, "garden", "way"):
        for _ in range(2):
            for step, values in STEPS:
                tell(step, values)
    tell(4, {"loss": 9.0})  # nobody listens any more
    assert [sorted(told) for told in read(tmp_path / FOLDER / tool)] == [sorted(CURVES)] * 2
    assert read(tmp_path / FOLDER / tool) == [CURVES] * 2


@pytest.mark.parametrize(("tool", "read"), TOOLS)
def test_what_was_told_before_a_failure_is_kept(tool: str, read: Any, tmp_path: Path) -> None:
    need(tool)

    def fails() -> None:
        with tracked(tool, tmp_path, "garden", "way"):
            tell(1, {"loss": 0.5})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    more = ("FAILED",) if tool == "mlflow" else ()
    assert read(tmp_path / FOLDER / tool, *more) == [{"step/loss": [(1, 0.5)]}]


@pytest.mark.parametrize("tool", ["tensorboard", "mlflow"])
def test_no_name_of_a_file_tells_of_the_machine(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(tool)
    monkeypatch.setattr(socket, "gethostname", lambda: "plum-tree")
    monkeypatch.setattr(os, "getpid", lambda: 987654321)
    with tracked(tool, tmp_path, "garden", "way"):
        tell(1, {"loss": 0.5})
    names = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    assert names
    assert not [name for name in names if "plum-tree" in name or "987654321" in name]


def break_mlflow(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(b"no database")


def break_folder(folder: Path) -> None:
    """Another thing stands where it was, so that the next training cannot be laid beside it."""
    shutil.rmtree(folder)
    folder.write_text("")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("tool", "damage"), [("tensorboard", break_folder), ("mlflow", break_mlflow)])
def test_a_tool_that_fails_costs_no_training_and_is_warned_of_once(tool: str, damage: Any, tmp_path: Path) -> None:
    need(tool)
    with tracked(tool, tmp_path, "garden", "way") as warnings:
        tell(1, {"loss": 0.5})
        damage(tmp_path / FOLDER / tool)
        for _ in range(2):
            for step, values in STEPS * 200:
                tell(step, values)
        learnt = True
    assert learnt
    [warning] = warnings
    assert warning.startswith(f"The training was not tracked to its end by {tool}, which failed (")


def test_the_folder_of_a_run_may_go_while_it_learns(tmp_path: Path) -> None:
    need("tensorboard")
    with tracked("tensorboard", tmp_path, "garden", "way") as warnings:
        tell(1, {"loss": 0.5})
        shutil.rmtree(tmp_path / FOLDER)
        tell(2, {"loss": 0.25})
        assert warnings == [], "the training goes on"
    [warning] = warnings
    assert "the file was removed while the model learnt" in warning


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_tool_that_fails_at_once_lets_the_training_begin(tmp_path: Path) -> None:
    need("mlflow")
    (tmp_path / FOLDER / "mlflow").mkdir(parents=True)
    break_mlflow(tmp_path / FOLDER / "mlflow")
    with tracked("mlflow", tmp_path, "garden", "way") as warnings:
        tell(1, {"loss": 0.5})
    assert len(warnings) == 1
    with pytest.raises(ZeroDivisionError), tracked("mlflow", tmp_path, "garden", "way"):
        raise ZeroDivisionError  # the training's own error is the one that is seen


@pytest.mark.parametrize(("tool", "read"), TOOLS)
def test_a_tool_that_is_not_there_is_named_with_its_extra(
    tool: str, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [m for m in sys.modules if m.split(".")[0] == tool]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(Unavailable, match=re.escape(f"tillage[{tool}]")), tracked(tool, tmp_path, "garden", "way"):
        raise AssertionError("the training must not begin")


PLAN = """\
project: garden
tables:
  bars: {collect: {files: bars.parquet}, key: id}
models:
  way:
    learn: image_classifier
    from: bars
    input: picture
    size: null
    target: y
    epochs: 2
    batch: 16
    width: 4
    precision: float32
"""


def laid(folder: Path, more: str = "") -> Path:
    random = np.random.default_rng(0)
    made = [encode_image(random.integers(0, 256, (9, 9, 1)).astype(np.uint8)) for _ in range(60)]
    rows = pl.DataFrame({"id": range(60), "picture": made, "y": [f"zebra{n % 2}" for n in range(60)]})
    rows.write_parquet(folder / "bars.parquet")
    (folder / "tillage.yaml").write_text(PLAN + more)
    return folder


@pytest.mark.parametrize(("tool", "read"), TOOLS)
def test_in_a_plan_it_holds_no_row_and_changes_no_model(
    tool: str, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(tool, "torch")
    monkeypatch.setenv("TILLAGE_KEY", KEY)
    with project(laid(tmp_path)) as opened:
        opened.run()
        plain, version = digest(opened.model("way").state), opened.store.latest("way")
    laid(tmp_path, f"    track: {tool}\n")
    with project(tmp_path) as opened:
        assert opened.run().changed == []  # to track is no reason to learn again
        assert opened.store.latest("way") == version
    (tmp_path / ".tillage").rename(tmp_path / "before")
    (tmp_path / ".tillage" / FOLDER).mkdir(parents=True)
    (tmp_path / ".tillage" / FOLDER / tool).write_text("")  # no folder can be made: it is warned of, and learnt
    with project(tmp_path) as opened:
        opened.run()
        assert digest(opened.model("way").state) == plain
        assert [w for w in opened.report("way")["warnings"] if f"not tracked to its end by {tool}" in w]
    (tmp_path / ".tillage").rename(tmp_path / "untracked")
    with project(tmp_path) as opened:
        opened.run()
        assert digest(opened.model("way").state) == plain
        curve = opened.model("way").state["curve"]
    place = tmp_path / ".tillage" / FOLDER / tool
    [told] = read(place)
    assert [round(value, 5) for _, value in told["epoch/loss"]] == [round(point["loss"], 5) for point in curve]
    assert len(told["step/loss"]) == told["epoch/loss"][-1][0] > 4
    pixels = pl.read_parquet(tmp_path / "bars.parquet")["picture"].to_list()
    for file in (f for f in place.rglob("*") if f.is_file()):
        held = file.read_bytes()
        assert b"zebra" not in held, file
        assert not any(picture[-40:-12] in held for picture in pixels), file


def test_what_does_not_learn_step_by_step_cannot_be_tracked(tmp_path: Path) -> None:
    plain = PLAN[: PLAN.index("    input")].replace("image_classifier", "naive_bayes")
    with pytest.raises(ConfigurationError) as error:
        parse(plain + "    input: x\n    target: y\n    track: mlflow\n", tmp_path, registry())
    assert str(error.value).startswith("tillage.yaml:10:12  'track' of model 'way': naive_bayes does not learn step by")
    assert "fine_tuned_classifier and image_classifier do" in str(error.value)
    with pytest.raises(ConfigurationError, match=r"15:12.*tensorboard"):
        parse(PLAN + "    track: tensorbord\n", tmp_path, registry())
    plan = parse(PLAN + "    track: wandb\n", tmp_path, registry())
    assert plan.models["way"].track == "wandb"
    assert "track: wandb" in to_yaml(plan, registry())
