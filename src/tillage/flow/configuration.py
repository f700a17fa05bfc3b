"""From `tillage.yaml` to a Plan and back; everything that is wrong is said at once, with its place.

YAML becomes nodes with places (`flow.positions`), nodes become parts (`flow.reading`), and here the parts become a
plan. No data is read, so columns are not checked here. The way back is `flow.writing`.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tillage.core.errors import ConfigurationError, InputMissing, Problem
from tillage.core.step import Fold, Map, Source, Step
from tillage.flow.following import identified
from tillage.flow.parameters import make, nearest
from tillage.flow.plan import Canary, Card, Evaluation, Model, Plan, Service, Split, Table
from tillage.flow.positions import MAX_BYTES, Node, Place, read, too_large
from tillage.flow.reading import Reading, as_name, capital
from tillage.flow.registry import Registry
from tillage.flow.stages import beside_of, needed_tables

STORE = ".tillage"
"""The folder of the store, beside the plan, unless the plan names another."""

_PLAN = ("project", "store", "tables", "models", "services")
_TABLE = (
    "collect", "from", "key", "subject", "steps", "score", "expect", "profile", "reports", "fit_on", "max_quarantine"
)  # fmt: skip
MODEL_KEYS = ("learn", "from", "split", "test_from", "fit_on", "evaluate", "card", "track")
_SERVICE = ("model", "from")
_SERVICE_MORE = ("keep", "redact", "hand_over", "canary", "shadow")
_REDACT = "redact"
"""The step that kept values may pass."""
_CANARY = ("model", "share", "by")


class _Form(BaseModel):
    """Settings that are plain values, with their bounds."""

    model_config = ConfigDict(extra="forbid")


class _TableForm(_Form):
    subject: str | None = Field(None, min_length=1)
    max_quarantine: float = Field(0.01, ge=0, le=1)
    fit_on: dict[str, int] = {}


class _ModelForm(_Form):
    fit_on: int | None = Field(None, ge=1)
    track: Literal["tensorboard", "mlflow", "wandb"] | None = None


class _SplitForm(_Form):
    test: float = Field(0.2, gt=0, lt=1)
    group: str | None = Field(None, min_length=1)
    seed: int = 0
    like: str | None = Field(None, min_length=1)


class _EvaluationForm(_Form):
    linear: bool = True
    explain: bool = True
    robustness: bool = False
    folds: int | None = Field(None, ge=2, le=20)
    time: str | None = Field(None, min_length=1)
    favourable: str | None = Field(None, min_length=1)


class _CardForm(_Form):
    intended_use: str = Field("", min_length=1)
    out_of_scope: str = Field("", min_length=1)
    limitations: str = Field("", min_length=1)
    licence: str = Field("", min_length=1)


class _CanaryForm(_Form):
    share: float = Field(0.1, gt=0, lt=1)
    by: str = ""


class _HandOverForm(_Form):
    precision: float = Field(0.95, gt=0, lt=1)


class _LeakForm(_Form):
    similarity: float = Field(1.0, ge=0.1, le=1)


def load(path: Path, registry: Registry) -> Plan:
    """The plan in the file `path` (or in `tillage.yaml` of that folder), whose paths are relative to its folder.

    Raises InputMissing without a file, ConfigurationError with every problem of the plan.
    """
    path = path / "tillage.yaml" if path.is_dir() else path
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise InputMissing(f"There is no plan at {path}.", fix="Run `tillage try FILE --target COLUMN`.") from None
    if len(data) > MAX_BYTES:  # it was cut there, perhaps within a character
        raise too_large(str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem("The plan must be UTF-8 text.", str(path), line, 1)
        raise ConfigurationError([problem], fix="Save it with the encoding UTF-8.") from None
    return parse(text, path.parent.absolute(), registry, str(path))


def parse(text: str, root: Path, registry: Registry, file: str = "tillage.yaml") -> Plan:
    """The plan that `text` describes, for the folder `root`; `file` is its name in messages.

    >>> parse("project: empty", Path("/data"), Registry({})).store.as_posix()
    '/data/.tillage'
    >>> parse("porject: empty", Path("/data"), Registry({}))
    Traceback (most recent call last):
    ...
    tillage.core.errors.ConfigurationError: tillage.yaml:1:1  The plan has no 'porject'. Did you mean 'project'?
    """
    tree, problems = read(text, file)
    reader = _PlanReading(registry.within(root), file, problems)
    plan = reader.plan(tree, root)
    if reader.problems:
        raise ConfigurationError(sorted(dict.fromkeys(reader.problems), key=lambda p: (p.line, p.column, p.message)))
    return plan


class _PlanReading(Reading):
    """The parts of a plan, and what they say of each other."""

    def plan(self, tree: Node, root: Path) -> Plan:
        given = self.fields(tree, "the plan", _PLAN)
        project = self.name(given["project"], "project") if "project" in given else folder_name(root)
        store = self.text(given["store"], "'store'") if "store" in given else STORE
        if store and "://" in store:
            self.wrong(f"'store' must be a folder, got '{store}'.", given["store"].place)
        tables = self.named(given, "tables", "table")
        models = self.named(given, "models", "model")
        services = self.named(given, "services", "service")
        self.one_name_each(given, tables, models, services)
        read_tables = {name: self.table(name, node, tables, models) for name, node in tables.items()}
        read_models = {name: self.model(name, node, tables) for name, node in models.items()}
        self.referred(tables, read_tables)
        self.circles(tables, read_tables, read_models)
        return Plan(
            project=project or "",
            root=root,
            store=root / (store or STORE),
            tables={name: table for name, table in read_tables.items() if table},
            models=self.alike({name: model for name, model in read_models.items() if model}, models),
            services={n: s for n, node in services.items() if (s := self.service(n, node, tables, models))},
            file=self.file,
        )

    def named(self, given: dict[str, Node], section: str, what: str) -> dict[str, Node]:
        if section not in given:
            return {}
        parts = self.fields(given[section], f"'{section}'", None)
        keys = given[section].keys
        for name in parts:
            self.name(Node(name, keys[name], name), what)
        return parts

    def one_name_each(self, given: dict[str, Node], *sections: dict[str, Node]) -> None:
        """Commands take names, so a name may mean one thing only."""
        first: dict[str, str] = {}
        for what, section in zip(("table", "model", "service"), sections, strict=True):
            for name in section:
                if name in first:
                    place = given[what + "s"].keys[name]
                    self.wrong(f"'{name}' is already the name of a {first[name]}; a {what} needs another.", place)
                first.setdefault(name, what)

    # ---- tables

    def table(self, name: str, node: Node, tables: dict[str, Node], models: dict[str, Node]) -> Table | None:
        what = f"table '{name}'"
        given = self.fields(node, what, _TABLE)
        if ("collect" in given) == ("from" in given):
            said = "has both 'collect' and 'from': keep one" if given.get("from") else "needs 'collect' or 'from'"
            self.wrong(f"{what[0].upper()}{what[1:]} {said}.", node.place)
        settings = self.form(_TableForm, given, node, what)
        source = self.source(given["collect"], what) if "collect" in given else None
        if "key" in given and "collect" not in given:
            self.wrong(f"'key' of {what} belongs to the table that collects; rows keep their ids.", node.keys["key"])
        own = self.names(given["key"], f"'key' of {what}") if "key" in given else ()
        source, key = identified(source, own)
        steps = self.steps(given["steps"], what) if "steps" in given else ()
        score = self.reference(given["score"], "model", models, f"'score' of {what}") if "score" in given else None
        return Table.model_construct(
            name=name,
            source=source,
            key=key,
            subject=settings.subject,
            inputs=self.inputs(given["from"], what, tables, steps) if "from" in given else (),
            steps=tuple(step for step in steps if step is not None),
            score=score or "",
            expect=self.check("expect", given, what),
            profile=self.check("profile", given, what),
            reports=self.reports(given["reports"], what) if "reports" in given else (),
            fit_on=self.pins(given["fit_on"], settings.fit_on, steps, what) if settings.fit_on else {},
            max_quarantine=settings.max_quarantine,
        )

    def source(self, node: Node, what: str) -> Source | None:
        name, value, place = self.named_step(node, f"'collect' of {what}", "a source")
        if name is None:
            return None
        made = self.step(name, value, place, ("source",), "source")
        return made if isinstance(made, Source) else None

    def steps(self, node: Node, what: str) -> tuple[Step | None, ...]:
        """The steps in order; None stands for one that is wrong."""
        if not isinstance(node.value, tuple):
            self.wrong(f"'steps' of {what} must be a list, got {node.written()}.", node.place)
            return ()
        found: list[Step | None] = []
        for item in node.value:
            name, value, place = self.named_step(item, f"a step of {what}", "one step")
            step = None if name is None else self.step(name, value, place, ("step",), "step")
            if step is not None and found and type(step).ports != ("rows",):
                ports = ", ".join(type(step).ports)
                self.wrong(f"'{name}' takes several tables ({ports}), so it must be the first step of {what}.", place)
            found.append(step)
        return tuple(found)

    def inputs(
        self, node: Node, what: str, tables: dict[str, Node], steps: tuple[Step | None, ...]
    ) -> tuple[tuple[str, str], ...]:
        """(port, table) for each table. A list fills the ports of the first step in order; where that has one port

        only, the tables are stacked, and each is a port of its own name.
        """
        where = f"'from' of {what}"
        first = steps[0] if steps else None
        wanted = type(first).ports if first is not None else ("rows",)
        if isinstance(node.value, dict):
            given = list(node.value)
            items = tuple(node.value.values())
        else:
            items = node.value if isinstance(node.value, tuple) else (node,)
            given = [str(item.value) for item in items] if len(items) > 1 else ["rows"]
            if len(wanted) > 1:
                given = [*wanted, *given[len(wanted) :]][: len(items)]
            for at, item in enumerate(items):
                if item.value in [earlier.value for earlier in items[:at]] and len(wanted) == 1:
                    self.wrong(f"{where} has '{item.value}' twice.", item.place)
        names = [self.reference(item, "table", tables, where) for item in items]
        if not items:
            self.wrong(f"{where} must not be empty.", node.place)
        elif (len(wanted) > 1 or isinstance(node.value, dict)) and (first is not None or not steps):
            self.ports(given, wanted, first, node.place, where)
        return tuple((port, name) for port, name in zip(given, names, strict=False) if name is not None)

    def ports(self, given: list[str], wanted: tuple[str, ...], first: Step | None, place: Place, where: str) -> None:
        if sorted(given) != sorted(wanted):
            example = ", ".join(f"{port}: TABLE" for port in wanted)
            who = f"'{type(first).name()}'" if first is not None else "a table without such a step"
            self.wrong(f"{capital(where)} must give {who} its inputs: from: {{{example}}}.", place)

    def check(self, name: str, given: dict[str, Node], what: str) -> Fold | None:
        """The Fold behind `expect: [...]` or `profile: true`."""
        if name not in given:
            return None
        node = given[name]
        if name == "profile" and isinstance(node.value, bool):
            if not node.value:
                return None
            node = Node(None, node.place)
        elif not isinstance(node.value, dict | tuple) or not node.value:
            wanted = "true or false" if name == "profile" else "a list of checks"
            self.wrong(f"'{name}' of {what} must be {wanted}, got {node.written()}.", node.place)
            return None
        try:
            cls = self.registry.expect if name == "expect" else self.registry.profile
        except ConfigurationError as error:
            self.wrong(error.message, node.place)
            return None
        made = self.build(cls, node, node.place)
        return made if isinstance(made, Fold) else None

    def reports(self, node: Node, what: str) -> tuple[Fold, ...]:
        """The Folds that tell numbers about a table, one of each kind."""
        if not isinstance(node.value, tuple):
            self.wrong(f"'reports' of {what} must be a list, got {node.written()}.", node.place)
            return ()
        found: dict[str, Fold] = {}
        for item in node.value:
            name, value, place = self.named_step(item, f"a report of {what}", "one report")
            made = None if name is None else self.step(name, value, place, ("report",), "report")
            if isinstance(made, Fold) and found.setdefault(made.name(), made) is not made:
                self.wrong(f"'{name}' stands twice among the reports of {what}.", place)
        return tuple(found.values())

    def pins(self, node: Node, pins: dict[str, int], steps: tuple[Step | None, ...], what: str) -> dict[str, int]:
        fitted = {self.registry.name_of(type(s)): s for s in steps if s is not None and not isinstance(s, Map)}
        found: dict[str, int] = {}
        for given, version in pins.items():
            name = self.own_spelling(given)
            if version < 1:
                self.wrong(
                    f"'fit_on.{given}' of {what} must be a version, at least 1, got {version}.", node.value[given].place
                )
            if name in fitted:
                found[name] = version
            elif None not in steps:
                self.wrong(
                    nearest(f"No fitted step of {what} is called '{given}'.", given, list(fitted)), node.keys[given]
                )
        return found

    def circles(self, nodes: dict[str, Node], tables: dict[str, Table | None], models: dict[str, Model | None]) -> None:
        """Report each circle of tables once, at the `from` of its first table."""
        graph = {name: needed_tables(table, models) for name, table in tables.items() if table}
        while True:
            try:
                TopologicalSorter(graph).prepare()
                return
            except CycleError as error:
                circle = error.args[1][:0:-1]  # each made from the next
                start = min(circle, key=list(nodes).index)
                at = circle.index(start)
                ring = [*circle[at:], *circle[:at], start]
                made = all((t := tables[a]) and b in dict(t.inputs).values() for a, b in pairwise(ring))
                how = "are made from each other" if made else "are made from each other, or refer to each other,"
                scored = [t.score for a in ring[:-1] if (t := tables[a]) and t.score]
                how += f" and the model '{scored[0]}'," if scored and not made else ""
                self.wrong(f"Tables {how} in a circle: {' <- '.join(ring)}.", self.waits(nodes, tables, *ring[:2]))
                graph[start] = []

    def waits(self, nodes: dict[str, Node], tables: dict[str, Table | None], name: str, other: str) -> Place:
        """Where a table says that it needs the other."""
        table = tables[name]
        named = [b for b in beside_of(table) if b.table == other] if table is not None else []
        made = table is not None and other in dict(table.inputs).values()
        if not made and not named:
            return nodes[name].find(("score",)).place
        return nodes[name].find(("from",) if made else ("expect", *named[0].place)).place

    def referred(self, nodes: dict[str, Node], tables: dict[str, Table | None]) -> None:
        """Report each table that is referred to and that there is not."""
        for name, table in tables.items():
            for beside in beside_of(table) if table is not None else ():
                if beside.table is not None and beside.table not in nodes:
                    said = f"'references' of table '{name}': no table is called '{beside.table}'."
                    self.wrong(
                        nearest(said, beside.table, list(nodes)), nodes[name].find(("expect", *beside.place)).place
                    )

    # ---- models and services

    def model(self, name: str, node: Node, tables: dict[str, Node]) -> Model | None:
        what = f"model '{name}'"
        given = self.fields(node, what, None)
        for key in ("learn", "from"):
            if key not in given:
                self.wrong(f"{capital(what)} needs '{key}'.", node.place)
        settings = self.form(_ModelForm, given, node, what)
        table = self.reference(given["from"], "table", tables, f"'from' of {what}") if "from" in given else None
        test = None
        if "test_from" in given:
            test = self.reference(given["test_from"], "table", tables, f"'test_from' of {what}")
            if test is not None and test == table:
                self.wrong(f"'test_from' of {what} must be another table than 'from'.", given["test_from"].place)
        split = self.split(given["split"], what, "test_from" in given) if "split" in given else Split()
        learner = self.learner(node, given, what) if "learn" in given else None
        if settings.track is not None and learner is not None and not getattr(type(learner), "tells_steps", False):
            told = [name for name in self.registry.learners if getattr(self.registry.find(name), "tells_steps", False)]
            self.wrong(
                f"'track' of {what}: {type(learner).name()} does not learn step by step; {' and '.join(told)} do.",
                given["track"].place,
            )
        if learner is None or table is None:
            return None
        return Model.model_construct(
            name=name,
            learner=learner,
            table=table,
            split=split,
            test_table=test,
            fit_on=settings.fit_on,
            evaluation=self.evaluation(given["evaluate"], what, learner) if "evaluate" in given else Evaluation(),
            card=self.card(given["card"], what, tables) if "card" in given else Card(),
            track=settings.track,
        )

    def card(self, node: Node, what: str, tables: dict[str, Node]) -> Card:
        where = f"'card' of {what}"
        given = self.fields(node, where, Card.model_fields)
        form = self.form(_CardForm, given, node, where)
        lists = {key: self.texts(given[key], f"'{key}' of {where}") for key in ("authors", "language") if key in given}
        licences = {}
        said = f"'licences' of {where}"
        for table, item in self.fields(given["licences"], said, tables).items() if "licences" in given else ():
            licences[table] = self.text(item, f"'{table}' of {said}") or ""
        return Card(licences=licences, **lists, **form.model_dump())

    def evaluation(self, node: Node, what: str, learner: Step) -> Evaluation:
        where = f"'evaluate' of {what}"
        given = self.fields(node, where, Evaluation.model_fields)
        form = self.form(_EvaluationForm, given, node, where)
        lists = {key: self.names(given[key], f"'{key}' of {where}") for key in ("slices", "sensitive") if key in given}
        for key, other in (("sensitive", "favourable"), ("favourable", "sensitive")):
            if key in given and other not in given:
                self.wrong(f"'{key}' of {where} needs '{other}' beside it.", node.keys[key])
        if form.robustness and getattr(learner, "task", "") == "token_classification":
            self.wrong(
                f"'robustness' of {where} is not measured of marked texts: a text that is spoilt has its spans "
                "elsewhere.",
                node.keys["robustness"],
            )
        if "sensitive" in given and getattr(learner, "task", "classification") != "classification":
            self.wrong(
                f"'sensitive' of {where} is of classes; of other models 'slices' tell.",
                node.keys["sensitive"],
            )
        if form.time is not None and form.folds is None:
            self.wrong(f"'time' of {where} orders folds, so it needs 'folds' (5, say).", node.keys["time"])
        return Evaluation(**lists, **form.model_dump())

    def learner(self, node: Node, given: dict[str, Node], what: str) -> Step | None:
        name, value, place = self.named_step(given["learn"], f"'learn' of {what}", "one learner")
        cls = None if name is None else self.find(name, place, ("learner",), "learner")
        if cls is None:
            return None
        flat = {key: item for key, item in given.items() if key not in MODEL_KEYS}
        if value.value is None:
            value = Node({}, place)
        if not isinstance(value.value, dict):
            self.wrong(f"{cls.__name__} needs its parameters by name.", value.place)
            return None
        for key in flat.keys() & value.value.keys():
            self.wrong(f"'{key}' of {what} stands here and under 'learn': keep one.", node.keys[key])
        keys = {**node.keys, **value.keys}
        made = make(cls, Node({**flat, **value.value}, place, keys=keys), self.file)
        if isinstance(made, list):
            self.problems += made
            return None
        return made

    def split(self, node: Node, what: str, has_test_table: bool) -> Split:
        where = f"'split' of {what}"
        given = self.fields(node, where, ("test", "group", "seed", "leak", "like"))
        rest = "test_from" if has_test_table else "like" if "like" in given else None
        for key in given.keys() - {"leak", rest} if rest else ():
            self.wrong(f"'{key}' of {where} means nothing beside '{rest}': keep one.", node.keys[key])
        form = self.form(_SplitForm, given, node, where)
        leak = self.leak(given["leak"], where) if "leak" in given else 1.0
        return Split(test=form.test, group=form.group, seed=form.seed, leak=leak, like=form.like)

    def alike(self, models: dict[str, Model], nodes: dict[str, Node]) -> dict[str, Model]:
        """The models, each split that is `like` another's with its settings."""
        made = dict(models)
        for name, model in models.items():
            if model.split.like is None:
                continue
            node = nodes[name].value["split"].value["like"]
            other = self.reference(node, "model", nodes, f"'like' of 'split' of model '{name}'")
            base = models.get(other or "")
            if base is None:
                continue
            if base.split.like is not None or base.test_table is not None or base is model:
                said = "is tested on a table of its own" if base.test_table else "is itself like another"
                self.wrong(f"Model '{name}' cannot be split like '{other}', which {said}.", node.place)
                continue
            split = base.split.model_copy(update={"leak": model.split.leak, "like": other})
            made[name] = model.model_copy(update={"split": split})
        return made

    def leak(self, node: Node, where: str) -> float | None:
        if isinstance(node.value, bool):
            return 1.0 if node.value else None
        if isinstance(node.value, dict):
            given = self.fields(node, f"'leak' of {where}", ("similarity",))
            return self.form(_LeakForm, given, node, f"'leak' of {where}").similarity
        hint = f" Did you mean {{similarity: {node.raw}}}?" if isinstance(node.value, float) else ""
        self.wrong(
            f"'leak' of {where} must be true, false or {{similarity: ...}}, got {node.written()}.{hint}", node.place
        )
        return None

    def service(self, name: str, node: Node, tables: dict[str, Node], models: dict[str, Node]) -> Service | None:
        what = f"service '{name}'"
        given = self.fields(node, what, (*_SERVICE, *_SERVICE_MORE))
        for key in _SERVICE:
            if key not in given:
                self.wrong(f"{capital(what)} needs '{key}'.", node.place)
        model = self.reference(given["model"], "model", models, f"'model' of {what}") if "model" in given else None
        table = self.reference(given["from"], "table", tables, f"'from' of {what}") if "from" in given else None
        keep = self.names(given["keep"], f"'keep' of {what}") if "keep" in given else ()
        redact = self.redact(given["redact"], keep, what) if "redact" in given else None
        canary = self.canary(given["canary"], what, model, models) if "canary" in given else None
        shadow = self.beside(given["shadow"], f"'shadow' of {what}", model, models) if "shadow" in given else None
        if not (model and table):
            return None
        over = None
        if "hand_over" in given:
            where = f"'hand_over' of {what}"
            over = self.form(
                _HandOverForm, self.fields(given["hand_over"], where, ("precision",)), given["hand_over"], where
            ).precision
        return Service(
            name=name,
            model=model,
            table=table,
            keep=keep,
            redact=redact,
            hand_over=over,
            canary=canary,
            shadow=shadow or "",
        )

    def redact(self, node: Node, keep: tuple[str, ...], what: str) -> Map | None:
        """The step behind `redact: true`, or behind its parameters."""
        where = f"'redact' of {what}"
        if isinstance(node.value, bool):
            if not node.value:
                return None
            node = Node(None, node.place)
        elif not isinstance(node.value, dict):
            self.wrong(
                f"{where} must be true or the parameters of the step {_REDACT}, got {node.written()}.", node.place
            )
            return None
        made = self.step(_REDACT, node, node.place, ("step",), "step")
        if not isinstance(made, Map):
            return None
        for column in made.needs() if keep else ():
            if column not in keep:
                self.wrong(nearest(f"{where} names '{column}', which 'keep' does not.", column, list(keep)), node.place)
        if not keep:
            self.wrong(f"{where} is of what the log keeps, and 'keep' names no column.", node.place)
        return made

    def beside(self, node: Node, where: str, own: str | None, models: dict[str, Node]) -> str | None:
        """The name of a model that stands beside a service's own."""
        name = self.reference(node, "model", models, where)
        if name is not None and name == own:
            self.wrong(f"{capital(where)} must be another model than the service's own.", node.place)
        return name

    def canary(self, node: Node, what: str, own: str | None, models: dict[str, Node]) -> Canary | None:
        where = f"'canary' of {what}"
        given = self.fields(node, where, _CANARY)
        if "model" not in given:
            if isinstance(node.value, dict):
                self.wrong(f"{capital(where)} needs 'model'.", node.place)
            return None
        form = self.form(_CanaryForm, {k: v for k, v in given.items() if k != "model"}, node, where)
        name = self.beside(given["model"], f"'model' of {where}", own, models)
        return Canary(model=name, share=form.share, by=form.by) if name else None


def folder_name(root: Path) -> str:
    """The name of a project whose plan gives none: that of its folder."""
    return as_name(root.resolve().name) or "project"
