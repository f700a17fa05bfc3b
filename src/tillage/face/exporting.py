"""`export`: a model as a file that others run without us."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.handing_out import recorded
from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen
from tillage.face.whole_file import replacing

if TYPE_CHECKING:
    from tillage.core.step import Fitted


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model.")],
    onnx: Annotated[Path | None, typer.Option("--onnx", metavar="FILE", help="Where the ONNX graph goes.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Where a folder of Hugging Face's layout goes, of an encoder."),
    ] = None,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as an ONNX graph, whose inputs are the columns that it reads, or as a folder of its weights."""
    from tillage.core.errors import UsageError
    from tillage.flow.results import load_fitted

    screen = Screen(as_json)
    if (onnx is None) == (folder is None):
        raise UsageError("A model is written as a graph or as a folder.", fix="Give --onnx FILE or --folder DIR.")
    if onnx is not None and onnx.is_dir():
        raise UsageError(f"'{onnx}' is a folder.", fix=f"Name a file in it: --onnx {onnx / f'{model}.onnx'}")
    with open_project(plan, ran=True) as project:
        known("model", model, project.plan.models)
        fitted = load_fitted(project.store, model, project.registry)
        latest = project.store.latest(model)
        assert latest is not None  # it has a result
        facts = {"model": model, "version": str(latest.version), "digest": str(latest.facts.get("digest", ""))}
        files = _graph(fitted, model, onnx, facts) if onnx is not None else _folder(fitted, model, folder or Path())
        table = project.plan.models[model].table
        held = [recorded(project, model, "onnx" if onnx is not None else "folder", path) for path in files]
    for path, data in files.items():
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        screen.line(f"Written: {path}")
    ports = _ports(screen, files[onnx], table) if onnx is not None else {}
    if not all(held):
        screen.say("The store may not be written here, so `forget` will not know of this copy.")
    screen.result(
        {
            "schema": "tillage.export/1",
            **facts,
            "version": latest.version,
            "table": table,
            "files": [str(path) for path in files],
            **ports,
        }
    )


def _graph(fitted: Fitted, model: str, onnx: Path, facts: Mapping[str, str]) -> dict[Path, bytes]:
    """The graph, and the files that it cannot do without."""
    from tillage.core.errors import UsageError
    from tillage.onnx.graph import checked

    write = getattr(fitted, "onnx", None)
    if write is None:
        raise UsageError(
            f"'{model}' is a {type(fitted).__name__}, of which there is no ONNX graph.",
            fix="docs/serving.md says which models have one; use it through `tillage score` or `tillage serve`.",
        )
    files = {onnx: checked(write({f"tillage.{name}": value for name, value in facts.items()}))}
    for name, data in getattr(fitted, "beside_onnx", dict)().items():
        files[onnx.with_name(f"{onnx.stem}.{name}")] = data
    _make(onnx.parent, "--onnx")
    return files


def _folder(fitted: Fitted, model: str, folder: Path) -> dict[Path, bytes]:
    """The files of the folder."""
    from tillage.core.errors import UsageError

    write = getattr(fitted, "folder", None)
    if write is None:
        raise UsageError(
            f"'{model}' is a {type(fitted).__name__}, of which there is no folder.",
            fix="An entity_recognizer has one; others: --onnx FILE.",
        )
    files = {folder / name: data for name, data in write().items()}
    _make(folder, "--folder")
    return files


def _ports(screen: Screen, graph: bytes, table: str) -> dict[str, list[dict[str, Any]]]:
    """The graph's inputs and outputs, told."""
    from tillage.onnx.graph import ports_of

    inputs, outputs = ports_of(graph)
    screen.table(
        ["input", "type", "shape", "meaning"],
        [[port.name, port.kind.lower(), " x ".join(map(str, port.shape)), port.meaning] for port in inputs],
    )
    screen.line(f"Outputs: {', '.join(port.name for port in outputs)}")
    screen.line(f"Columns are those of '{table}': what its steps do to them is not in the graph.")
    return {
        side: [{"name": p.name, "type": p.kind.lower(), "shape": list(p.shape)} for p in ports]
        for side, ports in (("inputs", inputs), ("outputs", outputs))
    }


def _make(folder: Path, option: str) -> None:
    from tillage.core.errors import UsageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder '{folder}' cannot be made: {error.strerror}.", fix=f"Name another one with {option}."
        ) from error
