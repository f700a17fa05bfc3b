"""What the server answers: people's JSON under /v1, the Open Inference Protocol under /v2, labels, numbers, its own
description. Every name is looked up among what is served; no route takes a path, a URL or code.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from json import loads
from math import isfinite
from typing import Any

from starlette.routing import Match, Route

from tillage.core.errors import BadData, Unavailable, UnknownName, unknown_name
from tillage.flow.prediction_table import SHADOW as SHADOW_IDS
from tillage.flow.prediction_table import text
from tillage.flow.score import Answers
from tillage.flow.scored import added
from tillage.guard.paths import checked_name
from tillage.serve.batches import Batches
from tillage.serve.bodies import Columns, Where, columns_of, in_rows, loaded, require_text, rows_of
from tillage.serve.door import BODY, JSON, SAFE, WHO, Scope, Whole, json
from tillage.serve.metrics import CONTENT_TYPE, Metrics
from tillage.serve.open_inference import HEADER, asked, field_of, metadata, replied
from tillage.serve.openapi import document
from tillage.serve.pins import audit, pinned
from tillage.serve.predictions import PredictionLog
from tillage.serve.refusal import Refused
from tillage.serve.routing import SHADOW, Routed
from tillage.serve.service import Loaded, Served, Unfit
from tillage.serve.threads import Threads, ended
from tillage.serve.tracing import SEEN, Seen
from tillage.serve.unpacking import FEW_HEADS, refused_among, too_large, without
from tillage.serve.worker import ALL_LOOK, ALL_NUMBERS, Work

MOST_LABELS = 1000
"""Labels of one request."""

LONGEST_LABEL = 65_536
"""Characters of a label: spans of a long text are some thousands."""

OF_LATE = 10_000
"""Requests whose predictions are held in memory, to tell live whether the labels that come agree."""

MOST_SHADOWS = 32
"""Requests that wait for the answers of shadows; further ones are passed over."""

STEM = 24
"""Digits of an id that are those of the request; the others are those of the row."""

_ID = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger("tillage.serve")

Handler = Callable[[Scope], Awaitable[Whole]]


class Application:
    """The routes, and what they stand on."""

    def __init__(
        self,
        services: Mapping[str, Routed],
        predictions: PredictionLog,
        metrics: Metrics,
        version: str,
        work: Work | None = None,
    ) -> None:
        """`version`: of Tillage, which the server says on request; `work`: where this is one of several workers."""
        self.work = work
        self.services, self.predictions, self.metrics, self.version = services, predictions, metrics, version
        self.batches = {(name, arm.route): Batches() for name, routed in services.items() for arm in routed.arms}
        self.aside = Threads(4, "aside")
        """For looks at the store, changes of a version (one at a time each), heads of many files."""
        self.changing = asyncio.Lock()
        """Held while a service changes to another version."""
        self.shadows: set[asyncio.Task[None]] = set()
        self.of_late: OrderedDict[str, tuple[str, int, list[Any]]] = OrderedDict()
        """Service, version and predictions of classes, by the stem of their ids; no model is held by it."""
        self.draining = False
        """No new work: the server is going down."""
        routes: list[tuple[str, str, Handler]] = [
            ("POST", "/v1/services/{name}", self.predict),
            ("POST", "/v1/models/{name}", self.predict),
            ("POST", "/v2/models/{name}/infer", self.infer),
            ("POST", "/v2/models/{name}/versions/{version}/infer", self.infer),
            ("POST", "/v1/services/{name}/rollback", self.rollback),
            ("POST", "/v1/models/{name}/rollback", self.rollback),
            ("POST", "/feedback", self.feedback),
            ("GET", "/v1/services", self.list_services),
            ("GET", "/v2", self.describe_server),
            ("GET", "/v2/health/live", self.live),
            ("GET", "/v2/health/ready", self.ready),
            ("GET", "/v2/models/{name}", self.describe),
            ("GET", "/v2/models/{name}/ready", self.describe_ready),
            ("GET", "/v2/models/{name}/versions/{version}", self.describe),
            ("GET", "/v2/models/{name}/versions/{version}/ready", self.describe_ready),
            ("GET", "/openapi.json", self.openapi),
            ("GET", "/metrics", self.numbers),
        ]
        self._routes = [(Route(path, handler, methods=[method]), handler) for method, path, handler in routes]
        self._direct: dict[str, tuple[Handler, dict[str, str], str]] = {
            f"{stem}/{name}{rest}": (handler, {"name": name}, f"{stem}/{{name}}{rest}")
            for stem, rest, handler in (
                ("/v1/services", "", self.predict),
                ("/v1/models", "", self.predict),
                ("/v2/models", "/infer", self.infer),
            )
            for name in services
        }
        """The routes of predictions, found by one look-up."""

    async def __call__(self, scope: Scope) -> Whole:
        """Find the route, and answer; Refused when there is none."""
        direct = self._direct.get(scope["path"])
        if direct is not None and scope["method"] == "POST":
            handler, scope["path_params"], route = direct
            if (seen := scope[SEEN]) is not None:
                seen.route = route
            return await handler(scope)
        allowed: set[str] = set()
        for known, handler in self._routes:
            match, found = known.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                if (seen := scope[SEEN]) is not None:
                    seen.route = known.path
                return await handler(scope)
            if match is Match.PARTIAL:
                allowed |= known.methods or set()
        if allowed:
            methods = ", ".join(sorted(allowed))
            raise Refused(405, f"Method Not Allowed; allowed: {methods}. See /openapi.json.", allow=methods)
        raise Refused(404, "Not Found. See /openapi.json.")

    def close(self) -> bool:
        """Let go of the threads; whether none of them works any more."""
        return ended([self.aside, *(batches.threads for batches in self.batches.values())])

    # ---- predictions

    def _served(self, scope: Scope) -> Routed:
        name = scope["path_params"]["name"]
        try:
            found = self.services.get(checked_name(name))
        except ValueError:
            raise Refused(400, "A name is of small letters, digits, - and _, 64 at most.", field="name") from None
        if found is None:
            raise Refused(404, unknown_name("service or model", name, self.services))
        wanted = scope["path_params"].get("version")
        if wanted is not None and wanted != str(found.own.now.version):
            raise Refused(404, f"'{name}' answers with version {found.own.now.version}, and with no other.")
        return found

    async def predict(self, scope: Scope) -> Whole:
        """`POST /v1/services/NAME`: rows in, a prediction or the reason why there is none for each."""
        rows = rows_of(loaded(scope[BODY]))
        given, ids, now = await self._answer(scope, self._served(scope), rows, in_rows)
        sure, said = given.confidences, given.predictions
        if now.task == "token_classification":  # a table holds spans as JSON text, an answer as JSON
            said = [None if spans is None else loads(spans) for spans in said]
        made: list[dict[str, Any]] = []
        for at, (name, prediction, error) in enumerate(zip(ids, said, given.errors, strict=True)):
            if error is not None:
                made.append({"id": name, "error": error})
            elif sure is None:
                made.append({"id": name, "prediction": prediction})
            else:
                made.append({"id": name, "prediction": prediction, "confidence": sure[at]})
                if now.hand_over is not None:
                    made[-1]["hand_over"] = now.hand_over.of(sure[at])
            if given.more and error is None:
                made[-1] |= {column: values[at] for column, values in given.more.items()}
        return json({"model": now.model_name, "version": now.version, "predictions": made})

    async def infer(self, scope: Scope) -> Whole:
        """`POST /v2/models/NAME/infer`: tensors in, tensors out."""
        served = self._served(scope)
        length = next((v for n, v in scope["headers"] if n == HEADER.lower().encode()), None)
        header, now = None if length is None else length.decode("latin-1"), served.own.now
        wanted = asked(scope[BODY], header, now.raw, added(now.model))
        given, ids, now = await self._answer(scope, served, wanted.rows, field_of(wanted.rows))
        turned = [f"row {at}: {error}" for at, error in enumerate(given.errors) if error is not None]
        if turned:
            more = f" ({len(turned)} rows in all)" if len(turned) > 1 else ""
            raise Refused(422, f"No prediction for {turned[0]}{more}.", field="inputs")
        body, split = replied(served.own.name, now, wanted, given, ids)
        if split is None:
            return body, JSON
        kind = (b"content-type", b"application/octet-stream")
        return body, (kind, (HEADER.lower().encode(), b"%d" % split), *SAFE)

    async def _answer(
        self, scope: Scope, routed: Routed, rows: list[dict[str, Any]], where: Where
    ) -> tuple[Answers, list[str], Loaded]:
        """The answers to rows, the id of each, and who gave them; they are in the log."""
        began = time.perf_counter()
        columns = columns_of(rows, routed.own.now.schema, routed.needed, where)
        require_text(columns, where)
        served = _speaking(routed, columns)
        now = served.now
        large = await self._too_large(columns, raw) if (raw := routed.own.now.raw) else {}
        some = without(columns, large) if large else columns
        try:
            if len(large) == len(rows):
                given = Answers([], None, [])
            else:
                given = await self.batches[served.name, now.route].answer(now, some, len(rows) - len(large))
        except (BadData, UnknownName) as error:
            raise Refused(400, error.message) from error
        given = refused_among(given, large) if large else given
        ids = self.predictions.ids.new(len(rows))
        seconds = time.perf_counter() - began
        self.predictions.add(now, columns, given, ids, seconds)
        turned = len(given.errors) - given.errors.count(None)
        self.metrics.answered(served.name, len(rows), turned, seconds)
        if (seen := scope[SEEN]) is not None:
            _tell(seen, now, len(rows), turned, seconds)
        if turned < len(rows):
            served.record(columns, given.errors)
        if now.hand_over is not None:
            over = [now.hand_over.of(c) for c in given.confidences or [None] * len(ids)]
            self.metrics.handed(served.name, over.count(True))
        if now.task == "classification":
            self.of_late[ids[0][:STEM]] = now.service, now.version, given.predictions
            if len(self.of_late) > OF_LATE:
                self.of_late.popitem(last=False)
        if routed.shadow is not None and not routed.shadow.silent:
            self._shadow(routed.shadow, columns, given, ids, passed_over=bool(large))
        return given, ids, now

    async def _too_large(self, columns: Columns, raw: Sequence[str]) -> dict[int, str]:
        """The rows whose pictures or sounds are too large, and why; the heads of many are read in a thread."""
        if len(columns[raw[0]]) <= FEW_HEADS:
            return too_large(columns, raw)
        return await self.aside.do(too_large, columns, raw)

    def _shadow(self, served: Served, columns: Columns, given: Answers, ids: list[str], *, passed_over: bool) -> None:
        """Let a shadow answer too, behind the answer's back; where it does not keep up, it is counted as such."""
        if passed_over or len(self.shadows) >= MOST_SHADOWS:
            self.metrics.shadowed(served.name, "passed over", len(ids))
            return
        task = asyncio.create_task(self._beside(served, columns, given, ids))
        self.shadows.add(task)
        task.add_done_callback(self.shadows.discard)

    async def _beside(self, served: Served, columns: Columns, given: Answers, ids: list[str]) -> None:
        began, now = time.perf_counter(), served.now
        try:
            other = await self.batches[served.name, SHADOW].answer(now, columns, len(ids))
        except Exception:  # whatever it is, nobody waits for it
            log.exception("the shadow of %s failed", served.name)
            self.metrics.shadowed(served.name, "failed", len(ids))
            return
        names = [f"{int(name, 16) + SHADOW_IDS:032x}" for name in ids]
        self.predictions.add(now, columns, other, names, time.perf_counter() - began)
        same = sum(a == b for a, b in zip(given.predictions, other.predictions, strict=True))
        self.metrics.shadowed(served.name, "same", same)
        self.metrics.shadowed(served.name, "other", len(ids) - same)
        served.record(columns, other.errors)

    async def rollback(self, scope: Scope) -> Whole:
        """`POST /v1/services/NAME/rollback`: hold the service at a version, or (null) let it follow the newest."""
        served = self._served(scope).own
        value = loaded(scope[BODY])
        version = value.get("version")
        if isinstance(version, float) and version.is_integer():  # 1.0 is a whole number in JSON
            version = int(version)
        if value.keys() != {"version"} or not (version is None or (type(version) is int and version > 0)):
            raise Refused(400, "It must be the number of a version, or null for the newest.", field="version")
        before = served.now.version
        async with self.changing:
            try:
                served.now = await self.aside.do(served.held_at, version)
                served.silent = False
            except Unfit as why:
                raise Refused(409, f"Version {version} does not answer: {why}.", field="version") from None
        who = str(scope.get(WHO, "token"))
        line = partial(audit, service=served.name, version=version, before=before)
        await self.aside.do(line, served.project.store.root, who, "rollback")
        if self.work is not None:
            with suppress(Unavailable):  # the keeper is gone, and the server ends
                await asyncio.wrap_future(self.work.keeper.ask(ALL_LOOK))
        told = {"model": served.now.model_name, "version": served.now.version, "held": version is not None}
        return json({"service": served.name, **told})

    async def feedback(self, scope: Scope) -> Whole:
        """`POST /feedback`: true labels by the ids of predictions; durable when it answers."""
        value = loaded(scope[BODY])
        many = value.get("feedback", [value])
        if not isinstance(many, list) or not 1 <= len(many) <= MOST_LABELS:
            raise Refused(400, f"It must be a list of 1 to {MOST_LABELS:,} objects of id and label.", field="feedback")
        labels = [self._label(one, f"feedback[{at}]." if "feedback" in value else "") for at, one in enumerate(many)]
        try:
            await asyncio.wrap_future(self.predictions.label(labels))
        except Unavailable as error:
            log.error("feedback refused: %s", error)
            raise Refused(503, "Labels cannot be kept now.", retry_after=30) from error
        self.metrics.labelled(len(labels))
        self.compare(labels)
        if self.work is not None:
            with suppress(Unavailable):
                self.work.labelled(labels)
        return json({"accepted": len(labels)})

    def compare(self, labels: Sequence[Sequence[Any]]) -> None:
        """Tell the numbers whether predictions of late were what their labels say."""
        for name, label in labels:
            self._compare(name, label)

    def _compare(self, name: str, label: Any) -> None:
        """Tell the numbers whether a prediction of late was what its label says."""
        service, version, predictions = self.of_late.get(name[:STEM], ("", 0, ()))
        at = int(name[STEM:], 16)
        if at < len(predictions) and predictions[at] is not None:
            self.metrics.compared(service, version, text(predictions[at]) == text(label))

    def _label(self, one: Any, where: str) -> tuple[str, Any]:
        if not isinstance(one, dict) or one.keys() != {"id", "label"}:
            raise Refused(400, "It must be an object of id and label.", field=where.rstrip(".") or "feedback")
        name, label = one["id"], one["label"]
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise Refused(400, "It must be the id of a prediction: 32 hexadecimal digits.", field=f"{where}id")
        if not self.predictions.ids.given(name):
            raise Refused(404, "It is no id that this project gave to a prediction.", field=f"{where}id")
        if label is None or isinstance(label, list | dict) or (isinstance(label, float) and not isfinite(label)):
            raise Refused(400, "It must be a text, a finite number, true or false.", field=f"{where}label")
        if len(text(label) or "") > LONGEST_LABEL:
            raise Refused(400, f"It has more than {LONGEST_LABEL:,} characters.", field=f"{where}label")
        require_text({"label": [label]}, lambda _, column: f"{where}{column}")
        return name, label

    # ---- descriptions

    async def list_services(self, scope: Scope) -> Whole:
        """`GET /v1/services`: what can be asked, and what a row must bring."""
        made = [
            {
                "name": name,
                "model": routed.own.now.model_name,
                "version": routed.own.now.version,
                "columns": {c: str(t) for c, t in routed.own.now.schema.items()},
                "needed": list(routed.needed),
                "passed_over": list(routed.own.now.way.passed_over),
                "hand_over": over.told() if (over := routed.own.now.hand_over) is not None else None,
                "held": pinned(routed.own.project.store, name) is not None,
                "beside": [
                    {"route": arm.route, "model": arm.now.model_name, "version": arm.now.version}
                    for arm in routed.arms[1:]
                ],
            }
            for name, routed in self.services.items()
        ]
        return json({"services": made})

    async def describe_server(self, scope: Scope) -> Whole:
        """`GET /v2`."""
        return json({"name": "tillage", "version": self.version, "extensions": ["binary_tensor_data"]})

    async def live(self, scope: Scope) -> Whole:
        """`GET /v2/health/live`."""
        return json({"live": True})

    async def ready(self, scope: Scope) -> Whole:
        """`GET /v2/health/ready`: 503 from the moment the server is told to end."""
        if self.draining:
            raise Refused(503, "The server is going down.", retry_after=10)
        return json({"ready": True})

    async def describe(self, scope: Scope) -> Whole:
        """`GET /v2/models/NAME`."""
        served = self._served(scope).own
        return json(metadata(served.name, served.now))

    async def describe_ready(self, scope: Scope) -> Whole:
        """`GET /v2/models/NAME/ready`."""
        served = self._served(scope).own
        if self.draining:
            raise Refused(503, "The server is going down.", retry_after=10)
        if served.silent:
            raise _silence()
        return json({"name": served.name, "ready": True})

    async def openapi(self, scope: Scope) -> Whole:
        """`GET /openapi.json`."""
        return json(document(self.services, self.version))

    async def numbers(self, scope: Scope) -> Whole:
        """`GET /metrics`: of all workers, where there are several."""
        found = self.own_numbers()
        if self.work is not None:
            with suppress(Unavailable):
                found = await asyncio.wrap_future(self.work.keeper.ask(ALL_NUMBERS, found))
        return found, ((b"content-type", CONTENT_TYPE.encode()), *SAFE)

    def own_numbers(self) -> bytes:
        """The numbers of this process, for Prometheus."""
        for name, routed in self.services.items():
            self.metrics.answers(name, routed.own.now.version)
        self.metrics.unlogged(self.predictions.log.unlogged)
        return self.metrics.text()


def _speaking(routed: Routed, columns: Columns) -> Served:
    """Who answers a request; Refused (503) where its version was erased, and there is no other yet."""
    served = routed.choose(columns)
    served = routed.own if served.silent else served
    if served.silent:
        raise _silence()
    return served


def _silence() -> Refused:
    why = "The model was erased with rows that it had learnt from, and has no other version yet."
    return Refused(503, why, retry_after=30)


def _tell(seen: Seen, now: Loaded, rows: int, turned_away: int, seconds: float) -> None:
    """What a trace says of an answer: who gave it, and to how many rows."""
    ended = time.time_ns()
    seen.answering = ended - int(seconds * 1e9), ended
    seen.about = {
        "tillage.service": now.service,
        "tillage.model": now.model_name,
        "tillage.version": now.version,
        "tillage.rows": rows,
        "tillage.rows_turned_away": turned_away,
    }
    if now.route:
        seen.about["tillage.route"] = now.route
