"""`serve`: the services of a plan behind HTTP, until it is told to end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tillage.face.opening import open_project
from tillage.face.options import AsJson, PlanFile
from tillage.face.screen import Screen

PORT = 8700


def serve(
    *,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: any that is free.")] = PORT,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="TILLAGE_TOKEN",
            metavar="TEXT",
            help="What requests must bring; better by TILLAGE_TOKEN, which no list of processes shows. "
            "Default: one made by chance, kept in the store.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Another name that requests may be addressed to; repeated."),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option("--memory", min=1, metavar="MB", help="A model that takes the server beyond this is refused."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=1, max=64, metavar="N", help="Processes that answer, each with the models in its memory."
        ),
    ] = 1,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Speak HTTPS: certificate and chain, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, PEM.")] = None,
    otel: Annotated[
        str | None,
        typer.Option(
            "--otel",
            metavar="URL",
            help="Send traces there (OTLP over HTTP). Default: OTEL_EXPORTER_OTLP_ENDPOINT, where that is set.",
        ),
    ] = None,
    plan: PlanFile = None,
    as_json: AsJson = False,
) -> None:
    """Answer requests with the models of the plan; Ctrl-C or SIGTERM ends it in good order."""
    from tillage import __version__
    from tillage.core.errors import Unavailable, UsageError
    from tillage.flow.writing import to_yaml
    from tillage.serve.certificate import refuse_keys
    from tillage.serve.keeper import serve_by_workers
    from tillage.serve.server import refuse_open
    from tillage.serve.server import serve as answer
    from tillage.serve.tokens import FILE, chosen_token, kept_token
    from tillage.serve.tracing import Traces, endpoint_of

    screen = Screen(as_json)
    refuse_open(host, token)
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together.")
    tls = (tls_cert, tls_key) if tls_cert is not None and tls_key is not None else None
    if tls is not None:
        refuse_keys(tls)
    traces, endpoint = None, endpoint_of(otel)
    try:
        traces = Traces(endpoint, __version__) if endpoint else None
    except Unavailable as error:
        if otel is not None:
            raise
        screen.say(f"The environment says where to send traces, and none are sent. {error}")
    with open_project(plan, ran=True) as project:
        known = chosen_token(token) if token is not None else kept_token(project.store.root)
        shown = "$TILLAGE_TOKEN" if token is not None else f"$(cat {project.store.root / FILE})"

        def listening(address: str, names: list[str]) -> None:
            first = next(iter(project.plan.services), names[0])
            kind = "services" if first in project.plan.services else "models"
            screen.line(f"{address}  serves {', '.join(names)}")
            screen.line(f'Ask:  curl -H "Authorization: Bearer {shown}" {address}/v1/services')
            screen.line(f'Then: POST {address}/v1/{kind}/{first}  with  {{"rows": [{{...}}]}}')
            screen.result({"schema": "tillage.serve/1", "address": address, "names": names})

        if workers > 1:
            told = {
                "plan": to_yaml(project.plan, project.registry),
                "root": str(project.plan.root),
                "store": str(project.plan.store),
                "token": known,
                "hosts": [host, *(allow_host or ())],
                "tls": [str(path) for path in tls] if tls is not None else None,
                "memory": memory // workers if memory is not None else None,
                "otel": endpoint if traces is not None else "",
            }
            if traces is not None:
                traces.close()  # those of this process: it answers no request
            code = serve_by_workers(
                project,
                [sys.executable, "-m", "tillage.face.serving_worker"],
                told,
                workers=workers,
                host=host,
                port=port,
                tls=tls is not None,
                note=screen.say,
                listening=listening,
            )
            raise typer.Exit(code)
        answer(
            project,
            host=host,
            port=port,
            token=known,
            version=__version__,
            hosts=allow_host or (),
            tls=tls,
            memory=memory,
            traces=traces,
            note=screen.say,
            listening=listening,
        )
