"""The server's life: it opens its socket last, changes to newer versions while it answers, and leaves in good order.

SIGTERM: not ready from that moment, what is under way is finished, the log is brought into the table, exit 0 within
ten seconds. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from tillage.core.errors import TillageError, Unavailable, UsageError
from tillage.flow.run import Project
from tillage.serve.application import Application
from tillage.serve.bringing import Bringing
from tillage.serve.certificate import keep
from tillage.serve.door import Door, is_loopback
from tillage.serve.memory import Budget
from tillage.serve.metrics import Metrics
from tillage.serve.predictions import PredictionLog
from tillage.serve.protocol import MOST_CONNECTIONS, config, watch
from tillage.serve.routing import services_of
from tillage.serve.scoped_tokens import Tokens
from tillage.serve.service import Loaded, Served, Unfit
from tillage.serve.tracing import Traces
from tillage.serve.worker import NOTE, READY, Work
from tillage.store.locks import hold

LOOK = 1.0
"""Seconds between two looks for a newer version."""

LEAD = 0.5
"""Seconds for which a server that is told to end still takes connections, saying that it is not ready."""

WAITING = 1024
"""Connections that may wait to be taken."""

LOCK = "@serve"
ALONE = "A project has one server: ask that one, or end it first."

log = logging.getLogger("tillage.serve")


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signals: it would raise them again at the end, and die of SIGTERM."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(
    project: Project,
    *,
    host: str,
    port: int,
    token: str,
    version: str,
    hosts: Sequence[str] = (),
    tls: tuple[Path, Path] | None = None,
    memory: int | None = None,
    traces: Traces | None = None,
    note: Callable[[str], None],
    listening: Callable[[str, list[str]], None],
) -> None:
    """Serve every service and model of a project until SIGTERM or Ctrl-C.

    `version`: of Tillage; `memory`: megabytes that the process may hold; `tls`: the files of a certificate with its
    chain, and of its key; `hosts`: more names that requests may be addressed to; `traces`: is told of each request.
    `listening` is told the address and the names once requests are taken. Raises Locked while another server runs on
    the store, Unavailable when the port is taken.
    """
    with hold(project.store.root / "locks", [LOCK], fix=ALONE):
        services = services_of(project, note, Budget(memory))
        with bound(host, port) as listener:
            bringing = Bringing()
            predictions = PredictionLog(project.store, bringing)
            application = Application(services, predictions, Metrics(), version)
            door = Door(application, token, (host, *hosts), application.metrics.refused, _tokens(project), traces)
            address = address_of(listener, tls=tls is not None)
            try:
                asyncio.run(_live(door, application, listener, lambda: listening(address, list(services)), note, tls))
            finally:
                bringing.end()
                ended = _closed(application, traces)
    if not ended:
        _leave(note)


def work(
    project: Project,
    *,
    channel: int,
    listener: int,
    token: str,
    version: str,
    hosts: Sequence[str],
    tls: tuple[Path, Path] | None,
    memory: int | None,
    traces: Traces | None,
) -> int:
    """Serve as one worker of several, until SIGTERM or until the keeper is gone; the exit code.

    `channel` and `listener`: the descriptors of the socket to the keeper and of that which listens. What cannot be
    served is told to the keeper: every worker meets it, and it is to be said once.
    """
    own = Work(socket.socket(fileno=channel))

    def note(text: str) -> None:
        with contextlib.suppress(Unavailable):
            own.keeper.tell(NOTE, text.encode())

    def ready(names: Iterable[str]) -> None:
        own.keeper.tell(READY, json.dumps(list(names)).encode())

    ended = True
    try:
        services = services_of(project, note, Budget(memory))
        application = Application(services, PredictionLog(project.store, log=own.log_of), Metrics(), version, own)
        door = Door(application, token, hosts, application.metrics.refused, _tokens(project), traces)
        try:
            asyncio.run(_live(door, application, _Listener(fileno=listener), lambda: ready(services), note, tls))
        finally:
            ended = _closed(application, traces)
    except TillageError as error:
        note(str(error))
        return error.exit_code
    finally:
        own.keeper.close()
    if not ended:
        _leave(lambda _: None)
    return 0


def _tokens(project: Project) -> Tokens:
    return Tokens(project.store.root)


def _closed(application: Application, traces: Traces | None) -> bool:
    """Let go of threads, log and traces; whether nothing is worked on any more."""
    ended = application.close()
    application.predictions.close()
    if traces is not None:
        traces.close()
    return ended


def address_of(listener: socket.socket, *, tls: bool) -> str:
    """Where a server is reached that listens there."""
    at, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{at}]' if ':' in at else at}:{port}"


def _leave(note: Callable[[str], None]) -> None:
    """End the process, all that is kept being kept: Python's own end would wait for threads that nobody waits for."""
    note("What was still worked on is given up.")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def refuse_open(host: str, token: str | None) -> None:
    """Raise UsageError for an address that others reach, unless a token was chosen.

    >>> refuse_open("0.0.0.0", None)
    Traceback (most recent call last):
    tillage.core.errors.UsageError: 0.0.0.0 can be reached from other machines, and no token was given. ...
    """
    if token is None and not is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, and no token was given.",
            fix="Choose one with --token or TILLAGE_TOKEN, or stay on 127.0.0.1.",
        )


class _Listener(socket.socket):
    """A listening socket whose connections are taken one at a time: between them requests are answered, and where
    several processes listen each has its share. asyncio would take as many at once as may wait, and says so here."""

    def listen(self, backlog: int = 0) -> None:
        """It does: how many may wait was said by who made it."""


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket; Unavailable when it cannot be had."""
    name = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
        listener = _Listener(family, kind, protocol)  # without its protocol asyncio would not set TCP_NODELAY
    except OSError as error:
        raise Unavailable(f"{host} is no address of this machine: {error.strerror}.", fix="Use 127.0.0.1.") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            socket.socket.listen(listener, WAITING)
        except OSError as error:
            why = f"{host}:{port} cannot be listened on: {error.strerror}."
            raise Unavailable(why, fix="Choose another --port; 0 takes any that is free.") from error
        yield listener


def _more_files() -> None:
    """As many connections as the guard allows need as many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def endings() -> tuple[signal.Signals, ...]:
    """The signals that end a server in good order: SIGHUP, of a terminal that is closed, too, unless it is ignored, as
    nohup has it."""
    closed = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGTERM, signal.SIGINT, *closed)


async def _live(
    door: Door,
    application: Application,
    listener: socket.socket,
    listening: Callable[[], None],
    note: Callable[[str], None],
    tls: tuple[Path, Path] | None,
) -> None:
    _more_files()
    more: dict[str, Any] = {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]} if tls else {}
    server = _Uvicorn(uvicorn.Config(**{**config(door), **more}, lifespan="off", log_level="error"))
    loop = asyncio.get_running_loop()

    def end() -> None:
        if application.draining:
            server.should_exit = server.force_exit = True
        application.draining = True
        loop.call_later(LEAD, setattr, server, "should_exit", True)

    for number in endings():
        loop.add_signal_handler(number, end)
    if application.work is not None:
        _join(application, application.work, note, end)
    # What is there now stays; to look through it again and again would cost as much as the requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    beside = [
        asyncio.create_task(_tend(application, note)),
        asyncio.create_task(watch(server.server_state.connections)),
    ]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if tls and server.config.ssl is not None:
        beside.append(asyncio.create_task(keep(tls, server.config.ssl, note)))
    if server.started:
        listening()
    try:
        await serving
    finally:
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _join(application: Application, own: Work, note: Callable[[str], None], end: Callable[[], None]) -> None:
    """Let a worker do what its keeper asks of it: in the event loop, whose thread is another one."""
    loop = asyncio.get_running_loop()
    looks = set[asyncio.Task[None]]()

    def call(what: Callable[..., object], *given: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the worker ends
            loop.call_soon_threadsafe(what, *given)

    async def look(done: Callable[[], None]) -> None:
        try:
            await _look_at_all(application, note, {})
        except Exception:  # the next look comes within a second
            log.exception("a look for other versions failed; the server goes on")
        finally:
            done()

    def begin(done: Callable[[], None]) -> None:
        task = asyncio.create_task(look(done))
        looks.add(task)
        task.add_done_callback(looks.discard)

    def leave() -> None:
        """At once, as after a second signal: what is answered from now on would stand in no log."""
        for _ in range(2):
            end()

    own.left = lambda: call(leave)
    own.look = lambda done: call(begin, done)
    own.compare = lambda labels: call(application.compare, labels)
    own.numbers = application.own_numbers


async def _tend(application: Application, note: Callable[[str], None]) -> None:
    """Look for newer versions, and roll the log, as long as the server lives."""
    told: dict[str, str] = {}
    while True:
        await asyncio.sleep(LOOK)
        try:
            await _look_at_all(application, note, told)
            await application.aside.do(application.predictions.tend)
        except Exception:  # the server goes on answering with what it has
            log.exception("tending failed; the server goes on")


async def _look_at_all(application: Application, note: Callable[[str], None], told: dict[str, str]) -> None:
    """Change to newer versions where there are any. `told`: by service, what the look before found in its way."""
    for served in [arm for routed in application.services.values() for arm in routed.arms]:
        name = f"{served.name} ({served.route})" if served.route else served.name
        # asked first: whatever was erased by then has its newer version, if it comes to have one
        before, erased = served.now, await application.aside.do(served.erased)
        epoch, newer = await application.aside.do(_look, served)
        if served.forgot(epoch):
            application.of_late.clear()
        if newer:
            await renew(application, served, note)
        elif not served.waits:
            told.pop(name, None)
        elif served.waits == told.get(name):  # two looks: a run may be in the middle of it
            note(f"{name}: {served.waits}")
            told[name] = ""
        elif name not in told:
            told[name] = served.waits
        silent = erased and served.now is before
        if silent and not served.silent:
            note(f"{name}: version {served.now.version} was erased, and nothing answers in its place.")
        served.silent = silent


def _look(served: Served) -> tuple[str | None, bool]:
    """What the catalog says now: the epoch, and whether there is a version to change to. Off the event loop, since
    whoever writes to the catalog holds it until the disk has it."""
    return served.epoch(), served.newer()


async def renew(application: Application, served: Served, note: Callable[[str], None]) -> None:
    """Load and try the newest version; it answers from now on, or never."""
    async with application.changing:
        await _renew(application, served, note)


async def _renew(application: Application, served: Served, note: Callable[[str], None]) -> None:
    wanted = await application.aside.do(served.wanted)
    number = wanted.version if wanted is not None else 0
    try:
        fresh: Loaded = await application.aside.do(served.prepare)
    except Unfit as why:
        served.refused_version = number
        application.metrics.unfit(served.name)
        note(f"{served.name}: version {number} does not answer: {why}. Version {served.now.version} goes on.")
        return
    served.now, served.silent = fresh, False
    note(f"{served.name}: version {fresh.version} of {fresh.model_name} answers now.")
