"""`card`: a model's card and its bill of materials, for those who take it over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tillage.face.handing_out import recorded
from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen
from tillage.face.summary import show_warnings
from tillage.face.whole_file import replacing

CARD, BOM = "README.md", "bom.json"


def card(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model.")],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="Where they go. Default: card-MODEL, here.")
    ] = None,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a model's card (Hugging Face) and its bill of materials (CycloneDX 1.6): README.md and bom.json."""
    from tillage import __version__
    from tillage.promises.bill_of_materials import bill_of_materials
    from tillage.promises.card_facts import card_facts
    from tillage.promises.model_card import model_card

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        known("model", model, project.plan.models)
        facts = card_facts(project, model, __version__)
        folder = output if output is not None else Path(f"card-{model}")
        recorded(project, model, "card", folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((CARD, model_card(facts)), (BOM, bill_of_materials(facts))):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        screen.line(f"Written: {folder / name}")
    missing = [key for key in ("intended_use", "out_of_scope", "limitations") if not getattr(facts.declared, key)]
    if missing:
        screen.say(f"The plan does not say its {', '.join(missing)}: add `card: {{{missing[0]}: ...}}` to the model.")
    show_warnings(screen, facts.report["warnings"])
    screen.result(
        {
            "schema": "tillage.card/1",
            "model": model,
            "version": facts.version,
            "digest": facts.digest,
            "card": str(folder / CARD),
            "bom": str(folder / BOM),
            "missing": missing,
            "warnings": facts.report["warnings"],
        }
    )
