"""The trivial model behind an application of Starlette's or FastAPI's alone, as one writes it in ten lines.

No token, no limits, no types of columns, no log, no ids: what is left is to read a request and write its answer, which
the machine of the hour makes dear or cheap. `python plain_server.py starlette|fastapi` prints its address as JSON and
serves `POST /v1/models/bare` until it is told to end.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import uvicorn


def answered(body: dict[str, Any]) -> dict[str, Any]:
    """The answers to the rows of a request."""
    return {"predictions": [{"prediction": row["size"] * 2} for row in body["rows"]]}


def starlette() -> Any:
    """The application of Starlette."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def predict(request: Request) -> JSONResponse:
        return JSONResponse(answered(await request.json()))

    return Starlette(routes=[Route("/v1/models/{name}", predict, methods=["POST"])])


def fastapi() -> Any:
    """The application of FastAPI."""
    from fastapi import FastAPI

    app = FastAPI()

    async def predict(name: str, body: dict[str, Any]) -> dict[str, Any]:
        return answered(body)

    app.post("/v1/models/{name}")(predict)
    return app


def main() -> None:
    """Serve."""
    app = {"starlette": starlette, "fastapi": fastapi}[sys.argv[1]]()
    # Named as TCP, since asyncio sends at once only then: else head and body of an answer wait for one another.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        print(json.dumps({"address": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
