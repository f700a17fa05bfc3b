"""`token` and `rollback`: who may ask a server, and which version of a model answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tillage.face.opening import known, open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen

if TYPE_CHECKING:
    from tillage.serve.scoped_tokens import Token

WHO = "command line"

token = typer.Typer(help="Tokens for some of what a server does: new, list, revoke.", no_args_is_help=True)


@token.command("new")
def new_token(
    *,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="SCOPE", help="predict, feedback or admin; may be repeated.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="SPAN", help="After 12h, 30d, 4w. Default: never.")
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Whose it is, for the list.")] = "",
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this once; a running server knows it at the next request."""
    from tillage.serve import scoped_tokens
    from tillage.serve.pins import audit

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        text, kept = scoped_tokens.new_token(project.store.root, tuple(scope or ()), expires, name)
        audit(project.store.root, WHO, "token new", token=kept.id, scopes=list(kept.scopes))
    screen.line(text)
    screen.say(f"For {', '.join(kept.scopes)}; {_until(kept)}. It is kept as a digest: nobody can show it again.")
    screen.result({"schema": "tillage.token/1", "token": text, **_told(kept)})


@token.command("list")
def list_tokens(*, plan: PlanFile = None, as_json: AsJson = False) -> None:
    """The tokens there are: id, scopes, expiry."""
    from tillage.serve.scoped_tokens import read_tokens

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        every = read_tokens(project.store.root)
    if every:
        screen.table(["id", "scopes", "name", "made", ""], [
            [t.id, ", ".join(t.scopes), t.name, t.created, _until(t)] for t in every
        ])  # fmt: skip
    screen.result({"schema": "tillage.tokens/1", "tokens": [_told(t) for t in every]})


@token.command("revoke")
def revoke_token(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `tillage token list` prints it.")],
    *,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Take a token away; a running server refuses it from the next request on."""
    from tillage.serve import scoped_tokens
    from tillage.serve.pins import audit

    screen = Screen(as_json)
    with open_project(plan, ran=True) as project:
        gone = scoped_tokens.revoke_token(project.store.root, identity)
        audit(project.store.root, WHO, "token revoke", token=gone.id)
    screen.line(f"Revoked: {gone.id}")
    screen.result({"schema": "tillage.token/1", "revoked": True, **_told(gone)})


def rollback(
    *,
    service: Annotated[str, typer.Argument(help="The service, or the model under its own name.")],
    to: Annotated[
        int | None, typer.Option("--to", min=1, metavar="N", help="The version. Default: the one before.")
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="Let it follow the newest version again.")] = False,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Hold a service at an earlier version of its model; a running server answers with it within seconds."""
    from tillage.core.errors import GateFailed, UsageError
    from tillage.serve.pins import audit, pin
    from tillage.serve.routing import services_of
    from tillage.serve.service import Unfit

    screen = Screen(as_json)
    if newest and to is not None:
        raise UsageError("Give --to or --newest, not both.")
    with open_project(plan, ran=True) as project:
        every = {**project.plan.services, **project.plan.models}
        known("service or model", service, every)
        if newest:
            pin(project.store, service, None)
            version = None
        else:
            served = services_of(project, screen.say)[service].own
            version = to if to is not None else _before(served.earlier(), service)
            try:
                served.held_at(version)
            except Unfit as why:
                message = f"Version {version} of '{service}' does not answer: {why}."
                raise GateFailed(message, fix="Nothing was changed; name another version with --to.") from None
        audit(project.store.root, WHO, "rollback", service=service, version=version)
    held = f"is held at version {version}" if version is not None else "follows the newest version"
    screen.line(f"'{service}' {held}.")
    screen.result({"schema": "tillage.rollback/1", "service": service, "version": version})


def _before(earlier: list[int], service: str) -> int:
    from tillage.core.errors import InputMissing

    if not earlier:
        raise InputMissing(f"No earlier version of '{service}' is kept.", fix="`tillage show` prints those that are.")
    return earlier[-1]


def _until(kept: Token) -> str:
    if kept.expires is None:
        return "without an end"
    end = datetime.fromtimestamp(kept.expires, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"expired {end}" if kept.expired() else f"until {end}"


def _told(kept: Token) -> dict[str, Any]:
    return {
        "id": kept.id,
        "scopes": list(kept.scopes),
        "name": kept.name,
        "created": kept.created,
        "expires": kept.expires,
    }
