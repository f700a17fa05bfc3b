"""`export`: a model as a file that others run without us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tillage.face.handing_out import recorded
from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen
from tillage.face.whole_file import replacing


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model.")],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="Where the ONNX graph goes.")],
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a model as an ONNX graph, whose inputs are the columns that it reads, as they stand."""
    from tillage.core.errors import UsageError
    from tillage.flow.results import load_fitted
    from tillage.onnx.graph import checked, ports_of

    screen = Screen(as_json)
    if onnx.is_dir():
        raise UsageError(f"'{onnx}' is a folder.", fix=f"Name a file in it: --onnx {onnx / f'{model}.onnx'}")
    with open_project(plan, ran=True) as project:
        known("model", model, project.plan.models)
        fitted = load_fitted(project.store, model, project.registry)
        write = getattr(fitted, "onnx", None)
        if write is None:
            raise UsageError(
                f"'{model}' is a {type(fitted).__name__}, of which there is no ONNX graph.",
                fix="docs/serving.md says which models have one; use it through `tillage score` or `tillage serve`.",
            )
        latest = project.store.latest(model)
        assert latest is not None  # it has a result
        facts = {"model": model, "version": str(latest.version), "digest": str(latest.facts.get("digest", ""))}
        files = {onnx: checked(write({f"tillage.{name}": value for name, value in facts.items()}))}
        for name, data in getattr(fitted, "beside_onnx", dict)().items():
            files[onnx.with_name(f"{onnx.stem}.{name}")] = data
        _make(onnx.parent)
        table = project.plan.models[model].table
        held = [recorded(project, model, "onnx", path) for path in files]
    for path, data in files.items():
        with replacing(path) as temporary:
            temporary.write_bytes(data)
        screen.line(f"Written: {path}")
    inputs, outputs = ports_of(files[onnx])
    screen.table(
        ["input", "type", "shape", "meaning"],
        [[port.name, port.kind.lower(), " x ".join(map(str, port.shape)), port.meaning] for port in inputs],
    )
    screen.line(f"Outputs: {', '.join(port.name for port in outputs)}")
    screen.line(f"Columns are those of '{table}': what its steps do to them is not in the graph.")
    if not all(held):
        screen.say("The store may not be written here, so `forget` will not know of this copy.")
    screen.result(
        {
            "schema": "tillage.export/1",
            **facts,
            "version": latest.version,
            "table": table,
            "files": [str(path) for path in files],
            "inputs": [{"name": p.name, "type": p.kind.lower(), "shape": list(p.shape)} for p in inputs],
            "outputs": [{"name": p.name, "type": p.kind.lower(), "shape": list(p.shape)} for p in outputs],
        }
    )


def _make(folder: Path) -> None:
    from tillage.core.errors import UsageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder '{folder}' cannot be made: {error.strerror}.", fix="Name another file with --onnx."
        ) from error
