"""Options that every command has, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", metavar="PATH", help="The plan, or its folder. Default: tillage.yaml here or above."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for another run on the same tables instead of exiting 75.")]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=0,
        metavar="N",
        help="Processes for steps that are slow Python; plain expressions run faster on threads.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Threads. Default: the processors that may be used."),
]
