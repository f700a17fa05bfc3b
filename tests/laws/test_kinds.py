"""The laws of the kinds, over every step that any room exports and over the reference steps; found by discovery."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.collect.site import Page, article, site
from tests.laws import reference as kinds
from tests.laws.frames import EMPTY, frames, reference
from tests.text import tiny_encoder
from tillage.augment import AddAudioNoise, AddImageNoise, CropImage, FlipImage, ShiftAudio
from tillage.collect import Files, Kafka, Mqtt, Predictions, Sql, Web
from tillage.core.step import Algebraic, Fit, Fitted, Fold, Group, Map, MultiPass, Sharded, Source, Step, Whole
from tillage.evaluate import (
    BaselineModel,
    ClassificationReport,
    NaiveBaseline,
    RegressionReport,
    TokenClassificationBaseline,
    TokenClassificationBaselineModel,
    TokenClassificationReport,
)
from tillage.face.rooms import registry
from tillage.flow.following import Following
from tillage.flow.laws import LAWS, check_step, laws_of
from tillage.flow.score import Answers
from tillage.flow.variants import variants
from tillage.learn import (
    EntityRecognizer,
    FineTunedClassifier,
    Forecaster,
    GaussianNaiveBayes,
    ImageClassifier,
    LinearDiscriminant,
    LogisticRegression,
    NaiveBayes,
    Ridge,
    StructuredPerceptron,
    TabularClassifier,
    TabularRegressor,
    TextClassifier,
)
from tillage.prepare import (
    Aggregate,
    Dates,
    DropImageDuplicates,
    EmbedText,
    ImageQuality,
    KeepFirst,
    LogMel,
    RecognizeEntities,
    ResampleAudio,
    TrimSilence,
)
from tillage.privacy import Anonymize
from tillage.serve.linkage import Linkage
from tillage.serve.predictions import PredictionLog
from tillage.store import Store

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


@dataclass(frozen=True)
class Case:
    """A step, and what the reference frame must bring besides."""

    step: Step
    bring: Callable[[pl.DataFrame], Any] = lambda rows: rows
    drawn: int = 8
    """Hypothesis frames; few where a step trains."""


def judged_classes(rows: pl.DataFrame) -> pl.DataFrame:
    """What a report asks of rows besides a target that is a class."""
    return rows.with_columns(prediction=pl.col("city"), baseline=pl.lit("Ulm"), confidence=pl.lit(0.75))


def judged_numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """The same for a target that is a number."""
    return rows.with_columns(prediction=pl.col("n") * 0.5, baseline=pl.lit(1.0))


def spans(rows: pl.DataFrame) -> pl.DataFrame:
    """The first word of each text as a span, called a town; texts without a city were looked at by nobody."""
    first = pl.col("text").fill_null("").str.extract(r"^(\S+)").str.len_chars()
    found = (
        pl.when(first.is_null())
        .then(pl.lit("[]"))
        .otherwise(pl.concat_str(pl.lit("[[0, "), first, pl.lit(', "Ulm"]]')))
    )
    return rows.with_columns(spans=pl.when(pl.col("city").is_not_null()).then(found))


def judged_spans(rows: pl.DataFrame) -> pl.DataFrame:
    """The same for a target of spans."""
    return spans(rows).with_columns(prediction=pl.lit('[[0, 1, "Ulm"], [2, 3, "Ulm"]]'), baseline=pl.lit("[]"))


def timed(rows: pl.DataFrame) -> pl.DataFrame:
    """A column of times, some of which are another day elsewhere."""
    day = pl.col("day").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
    return rows.with_columns(seen=day + pl.duration(hours=pl.col("n") % 24))


def pictures(rows: pl.DataFrame) -> pl.DataFrame:
    """The texts as pictures of their bytes; some are not as large as they say, and some are null."""
    made = [
        None
        if text is None
        else b"no picture"
        if text == "a"
        else (text.encode("utf-8", "replace") * 20 + bytes(72))[:72]
        for text in rows["text"]
    ]
    return rows.with_columns(pixels=pl.Series(made, dtype=pl.Binary), width=pl.lit(6), height=pl.lit(4))


def sounds(rows: pl.DataFrame) -> pl.DataFrame:
    """The texts as sounds of their bytes; some are not as long as they say, some silence, some null."""
    made = []
    for text in rows["text"]:
        data = ((text or "").encode("utf-8", "replace") * 20)[:60] or b"\x80"
        samples = np.resize(np.frombuffer(data, dtype=np.uint8).astype("<f4") / 128 - 1, (400, 2))
        made.append(None if text is None else b"no sound" if text == "a" else samples.tobytes())
    audio = pl.Series(made, dtype=pl.Binary)
    return rows.with_columns(audio=audio, sample_rate=pl.lit(8000), channels=pl.lit(2), samples=pl.lit(400))


def trained(step: Any, bring: Callable[[pl.DataFrame], Any] = lambda rows: rows) -> Any:
    rows = bring(reference(60))
    return step.compute({"rows": rows}) if isinstance(step, Whole) else step.finish(step.update(step.start(), rows))


ENCODER = tiny_encoder.write(Path(mkdtemp(prefix="tillage-encoder-")))
TAGGER = tiny_encoder.write_tagger(Path(mkdtemp(prefix="tillage-tagger-")), ["O", "B-A", "I-A", "B-B", "I-B"])
WEIGHED = StructuredPerceptron(input="text", epochs=2, validation=0.2)
BAYES = NaiveBayes(input="text", target="city")
TEXTS = TextClassifier(input="text", target="city")
CLASSES = TabularClassifier(target="city", input=("text", "x", "n", "day"), model="boosted_trees", trees=5)
COLUMNS = ("text", "x", "city", "day")
RIDGE = Ridge(target="n", input=COLUMNS, levels=4)
GAUSSIAN = GaussianNaiveBayes(target="city", input=("text", "x", "n", "day"), levels=4)
DISCRIMINANT = LinearDiscriminant(target="city", input=("text", "x", "n", "day"), levels=4)
LOGISTIC = LogisticRegression(target="city", input=("text", "x", "n", "day"), levels=4)
AHEAD = Forecaster(target="x", time="n", series="city", known=("text",), lags=(1, 3), trees=5, leaves=4)
NUMBERS = TabularRegressor(target="n", input=("text", "x", "city", "day"), model="boosted_trees", trees=5)

FINE = FineTunedClassifier(
    input="text", target="city", model=str(ENCODER), epochs=1, max_tokens=20, precision="float32", validation=0.2
)
NAMES = EntityRecognizer(input="text", model=str(ENCODER), epochs=1, max_tokens=20, precision="float32", validation=0.2)
IMAGES = ImageClassifier(
    target="city", epochs=1, width=4, batch=16, precision="float32", validation=0.2, resolution=9, flip=("vertical",)
)
DEEP: dict[str, Case] = {}
"""What needs PyTorch, which comes with a lock of its own."""
if importlib.util.find_spec("torch"):
    DEEP = {
        "entity_recognizer": Case(NAMES, spans, drawn=1),
        "entity_recognizer_model": Case(trained(NAMES, spans), drawn=3),
        "fine_tuned_classifier": Case(FINE, drawn=1),
        "fine_tuned_classifier_model": Case(trained(FINE), drawn=3),
        "image_classifier": Case(IMAGES, pictures, drawn=1),
        "image_classifier_model": Case(trained(IMAGES, pictures), pictures, drawn=3),
    }

GIVEN: dict[str, Case] = {
    **DEEP,
    "structured_perceptron": Case(WEIGHED, spans, drawn=2),
    "structured_perceptron_model": Case(trained(WEIGHED, spans), drawn=4),
    "naive_bayes": Case(BAYES),
    "naive_bayes_model": Case(trained(BAYES)),
    "ridge": Case(RIDGE),
    "ridge_model": Case(trained(RIDGE)),
    "gaussian_naive_bayes": Case(GAUSSIAN),
    "gaussian_naive_bayes_model": Case(trained(GAUSSIAN)),
    "linear_discriminant": Case(DISCRIMINANT),
    "linear_discriminant_model": Case(trained(DISCRIMINANT)),
    "logistic_regression": Case(LOGISTIC, drawn=2),
    "logistic_regression_model": Case(trained(LOGISTIC), drawn=4),
    "forecaster": Case(AHEAD, drawn=2),
    "forecaster_model": Case(trained(AHEAD), drawn=4),
    "text_classifier": Case(TEXTS, drawn=2),
    "text_classifier_model": Case(trained(TEXTS), drawn=4),
    "tabular_classifier": Case(CLASSES, drawn=2),
    "tabular_classifier_model": Case(trained(CLASSES), drawn=4),
    "tabular_regressor": Case(NUMBERS, drawn=2),
    "tabular_regressor_model": Case(trained(NUMBERS), drawn=4),
    "naive_baseline": Case(NaiveBaseline(target="city")),
    "baseline_model": Case(BaselineModel(state={"task": "classification", "target": "city", "value": "Ulm"})),
    "dates": Case(Dates(columns=("seen",), parts=("day", "hour", "is_weekend"), time_zone="Asia/Shanghai"), timed),
    "embed_text": Case(EmbedText(column="text", model=str(ENCODER), max_tokens=20)),
    "recognize_entities": Case(RecognizeEntities(column="text", model=str(TAGGER), max_tokens=20)),
    "flip_image": Case(FlipImage(directions=("horizontal", "vertical"), copies=2), pictures),
    "crop_image": Case(CropImage(copies=2, least=0.4), pictures),
    "add_image_noise": Case(AddImageNoise(copies=2), pictures),
    "add_audio_noise": Case(AddAudioNoise(copies=2), sounds),
    "shift_audio": Case(ShiftAudio(copies=2, most=0.5), sounds),
    "image_quality": Case(
        ImageQuality(min_sharpness=9, min_brightness=9, max_brightness=240, max_clipped=0.9), pictures
    ),
    "drop_image_duplicates": Case(DropImageDuplicates(distance=6, keep=KeepFirst(first="day")), pictures),
    "resample_audio": Case(ResampleAudio(rate=16_000), sounds),
    "trim_silence": Case(TrimSilence(below=1, seconds="left"), sounds),
    "log_mel": Case(LogMel(rate=8_000, bands=4, frames="frames"), sounds),
    "classification_report": Case(
        ClassificationReport(target="city", slices=("n",), sensitive=("day",), favourable="Ulm"),
        judged_classes,
        drawn=3,
    ),
    "token_classification_baseline": Case(TokenClassificationBaseline(target="spans", input="text"), spans),
    "token_classification_baseline_model": Case(
        TokenClassificationBaselineModel(state={"input": "text", "phrases": {"A": ["a", "\u53d1\u70e7"]}})
    ),
    "token_classification_report": Case(
        TokenClassificationReport(target="spans", group="city", slices=("n",)), judged_spans, drawn=3
    ),
    "regression_report": Case(RegressionReport(target="n", features=("city",), slices=("x",)), judged_numbers, drawn=3),
}
"""Steps without an `example()` of their own: they learn, judge what a model added, need times, media or a model."""

EXCLUDED: dict[str, str] = {
    "files": "a Source reads folders, not frames: test_files faces it",
    "kafka": "a Source reads topics, not frames: test_topics_of_kafka faces it",
    "mqtt": "a Source reads topics, not frames: test_topics_of_mqtt faces it",
    "predictions": "a Source reads what a server answered: test_a_server faces it",
    "sql": "a Source reads databases, not frames: test_databases faces it",
    "web": "a Source reads sites, not frames: test_sites faces it",
}
SOURCES = set(EXCLUDED)
if not DEEP:
    EXCLUDED |= {
        f"{name}{model}": "PyTorch is not here"
        for name in ("entity_recognizer", "fine_tuned_classifier", "image_classifier")
        for model in ("", "_model")
    }
"""Steps that no frame can face, each with its reason."""

REFERENCE: dict[str, Case] = {
    f"reference.{cls.__name__}": Case(cls.example())
    for cls in (kinds.Words, kinds.Drift, kinds.Centred, kinds.Ranked, kinds.Joined)
}

IN_PARTS: dict[str, Case] = {
    "aggregate not in parts": Case(
        Aggregate(by=("city",), columns={"texts": "n_unique(text)", "days": "n_unique(day)"})
    )
}
"""A Group that works in parts, with parameters by which it cannot."""
BY_MEDIANS: dict[str, Case] = {
    "anonymize by medians": Case(
        Anonymize.model_validate({**Anonymize.example().model_dump(), "method": "mondrian", "suppress": 0.05})
    )
}
"""A step whose other method takes no `suppress`, so that neither can be had of the other by one parameter."""
IN_SHARDS: dict[str, Case] = {}
"""Learners again, in shards; and the models that these give."""
for _name, _case in list(GIVEN.items()):
    if isinstance(_case.step, Sharded):
        _step = type(_case.step).model_validate({**_case.step.model_dump(), "shards": 2, "slices": 2})
        IN_SHARDS[f"{_name} in shards"] = Case(_step, _case.bring, drawn=2)
        IN_SHARDS[f"{_name}_model in shards"] = Case(trained(_step, _case.bring), _case.bring, drawn=2)

MODELS: dict[str, Case] = {}
"""Learners of tables again, a case a family of models; and the models that these give."""
for _model in ("auto", "linear", "random_forest", "svm", "mlp", "boosted_trees"):
    _more: dict[str, Any] = {"monotone": {"x": 1}} if _model == "boosted_trees" else {"layers": (3,)}
    for _base in (CLASSES, NUMBERS):
        _step = type(_base).model_validate({**_base.model_dump(), "model": _model, **_more})
        MODELS[f"{_base.name()} {_model}"] = Case(_step, drawn=1)
        MODELS[f"{_base.name()}_model {_model}"] = Case(trained(_step), drawn=2)

FOUND: dict[str, type[Step]] = {name: registry().find(name) for name in registry().names()}
CASES: dict[str, Case] = {
    **{name: Case(cls.example()) for name, cls in FOUND.items() if hasattr(cls, "example") and name not in EXCLUDED},
    **GIVEN,
    **REFERENCE,
    **IN_PARTS,
    **BY_MEDIANS,
    **IN_SHARDS,
    **MODELS,
}
KINDS: tuple[type[Step], ...] = (Map, Fold, Fit, Group, Whole, Source)
AGAIN = {**REFERENCE, **IN_PARTS, **BY_MEDIANS, **IN_SHARDS, **MODELS}
"""Cases of steps that are no exported ones, or stand among the cases already."""


def test_every_exported_step_is_faced_or_excluded_with_a_reason() -> None:
    assert set(FOUND) == set(CASES) - set(AGAIN) | set(EXCLUDED)
    assert not set(CASES) & set(EXCLUDED)
    assert all(reason for reason in EXCLUDED.values())
    for name in {**GIVEN, **EXCLUDED}:
        assert name in FOUND, f"{name} is exported no more: take it out"
        assert not hasattr(FOUND[name], "example"), f"{name} has an example() now: take it out"
    for name, case in CASES.items():
        assert name in AGAIN or type(case.step) is FOUND[name]


def test_the_number_of_cases() -> None:
    """A case more or fewer is said here too, so that none goes missing unseen."""
    count = {kind.__name__: sum(isinstance(case.step, kind) for case in CASES.values()) for kind in KINDS}
    deep = 6 * bool(DEEP)
    assert count == {"Map": 78 + deep, "Fold": 25, "Fit": 1, "Group": 7, "Whole": 33 + deep, "Source": 0}
    assert len(IN_SHARDS) == 8 + deep
    assert len(MODELS) == 24
    assert sum(count.values()) == len(CASES)
    assert len(FOUND) == len(CASES) - len(AGAIN) + len(EXCLUDED)
    assert sum(isinstance(c.step, Map) and c.step.makes_children for c in CASES.values()) == 14
    assert sum(isinstance(c.step, Whole) and c.step.incremental for c in CASES.values()) == 5


@pytest.mark.parametrize("name", CASES)
def test_laws(name: str) -> None:
    case = CASES[name]
    assert len(laws_of(case.step)) > 4

    @settings(max_examples=case.drawn * (25 if NIGHTLY else 1), deadline=None)
    @given(rows=frames(), seed=st.integers(0, 2**16))
    @example(rows=reference(), seed=1)
    @example(rows=EMPTY, seed=2)
    def law(rows: pl.DataFrame, seed: int) -> None:
        assert [str(b) for b in check_step(case.step, case.bring(rows), seed=seed)] == []

    law()


def test_a_join_of_two_different_tables() -> None:
    step = kinds.Joined(on="city", take=("n", "day"))
    for right in (reference(7), EMPTY):
        assert check_step(step, {"left": reference(12), "right": right}) == ()
    none_right = step.apply({"left": reference(3).with_columns(_key=1), "right": EMPTY.with_columns(_key=1)})
    assert none_right.columns[-2:] == ["right_n", "right_day"]


def test_only_what_has_one_value_cannot_be_varied() -> None:
    """The law of fingerprints varies each parameter; here is what it could not."""
    stuck = {(name, p) for name, case in CASES.items() for p, other in variants(case.step).items() if other is None}
    folders = {
        (name, "model")
        for name in ("embed_text", *CASES)
        if name.startswith(("embed_", "fine_tuned_classifier", "entity_recognizer"))
    }
    folders = {(name, p) for name, p in folders if "_model" not in name}
    folders |= {(name, "compress") for name, _ in folders if name != "embed_text"}
    folders |= {("recognize_entities", "model")}
    libraries = {
        (name, p) for name in ("find_pii", "pii_report", "redact") for p in ("phone_regions", "presidio", "spans")
    }
    tables = {name for name, case in CASES.items() if isinstance(case.step, TabularClassifier | TabularRegressor)}
    some = {name for name in tables if name in MODELS and name.endswith("boosted_trees")}
    trees_alone = {(name, "monotone") for name in tables - some} | {(name, "model") for name in some}
    nested = {(name, "tune") for name in tables}
    nested |= {(name, "thresholds") for name in tables if isinstance(CASES[name].step, TabularClassifier)}
    methods = {("anonymize", "method"), ("anonymize by medians", "suppress")}
    assert stuck == folders | libraries | trees_alone | nested | methods


def test_fingerprints_are_the_same_in_another_process() -> None:
    code = (
        "import json; from tillage.face.rooms import registry; r = registry(); "
        "print(json.dumps({n: r.find(n).example().fingerprint() for n in r.names() if hasattr(r.find(n), 'example')}))"
    )
    own = {name: case.step.fingerprint() for name, case in CASES.items() if name not in {**AGAIN, **GIVEN}}
    env = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert len(own) > 10
    assert json.loads(done.stdout) == own


FOLDER = {
    "a.csv": 'id,text,x\n1,a,0.5\n2,\u53d1\u70e7,\n3,b\n4,"c\nd",-0.0\n',
    "b/b.csv": "id,text,x\n007,,NaN\n8,e,1e3\n",
    "c.jsonl": '{"id": 9, "text": null, "x": 1}\n{"id": }\n{"id": 10, "text": "f", "x": 2.5}\n',
    "empty.csv": "id,text,x\n",
}


def test_every_source_is_faced_by_a_test_of_its_own() -> None:
    sources = {name for name, cls in FOUND.items() if issubclass(cls, Source)}
    assert sources == SOURCES
    assert {EXCLUDED[name].split(": ")[1].split(" ")[0] for name in sources} <= set(globals())


def test_files(tmp_path: Path) -> None:
    for name, text in FOLDER.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    for path in (("**/*.csv",), ("*.csv", "c.jsonl"), "c.jsonl"):
        assert check_step(Files(path=path), tmp_path) == ()
    source = Files(path="**/*")
    types = source.column_types([source.observe(tmp_path, f.path) for f in source.scan(tmp_path)])
    read = {f.path: list(source.read(tmp_path, f.path, types)) for f in source.scan(tmp_path)}
    assert {path: sum(b.rows.height for b in batches) for path, batches in read.items()} == {
        "a.csv": 3, "b/b.csv": 2, "c.jsonl": 2, "empty.csv": 0,
    }  # fmt: skip


def test_a_server(tmp_path: Path) -> None:
    """The log of a server, in two stretches, with labels and inputs that were kept."""
    assert check_step(Predictions(), tmp_path) == ()
    with closing(Store(tmp_path / ".tillage")) as store:
        log = PredictionLog(store)
        loaded: Any = SimpleNamespace(
            service="desk", model_name="m", version=1, linkage=Linkage(), keep=("text", "n"), route="", redact=None
        )
        for at in range(2):
            names = log.ids.new(3)
            columns: dict[str, list[Any]] = {"text": ["a", None, "发烧"], "n": [at, 2.5, None], "left": [1, 2, 3]}
            log.add(loaded, columns, Answers(["x", None, "y"], None, [None, "minor", None]), names, 0.1)
            log.label([(names[0], "x"), (names[0], "y")]).result(5)
            log.roll()
        log.close()
    for source in (Predictions(), Predictions(labelled=True), Predictions(service="other")):
        assert check_step(source, tmp_path) == ()
    types = Predictions().column_types([Predictions().observe(tmp_path, f.path) for f in Predictions().scan(tmp_path)])
    assert list(types.items())[-2:] == [("n", "float64"), ("text", "text")]


def test_databases(tmp_path: Path) -> None:
    """The two that are files; the laws need no server, and servers speak through the same step."""
    values = [(1, "a", 0.5), (2, None, None), (7, "发烧", -0.0)]
    with closing(sqlite3.connect(tmp_path / "a.db")) as small, small:
        small.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text, x)")
        small.executemany("INSERT INTO t VALUES (?, ?, ?)", [*values, (9, b"\xff", "mixed")])
    with closing(duckdb.connect(str(tmp_path / "b.db"))) as large:
        large.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text VARCHAR, x DOUBLE)")
        large.executemany("INSERT INTO t VALUES (?, ?, ?)", values)
    query = {"query": "SELECT * FROM t WHERE id < 9 AND text IS NOT NULL", "key": ("text",)}
    for address in ("sqlite:a.db", "duckdb:b.db"):
        for more in ({"table": "t"}, {"table": "t", "cursor": "id"}, query):
            source = Sql.model_validate({"address": address, **more})
            assert [str(b) for b in check_step(source, tmp_path)] == []


def test_sites(tmp_path: Path) -> None:
    pages = {f"/{n}": Page(article(f"Page {n}.", f"/{n + 1}")) for n in range(3)}
    with site({**pages, "/3": Page(b"\xff\xfe\x00")}) as at:
        source = Web(urls=at.url + "/0", depth=3, rate=1000, allow_private=("127.0.0.0/8",))
        assert [str(b) for b in check_step(source, tmp_path)] == []


def test_topics_of_kafka(tmp_path: Path) -> None:
    from tests.collect.cluster import cluster  # skips where the library is not installed

    with cluster() as brokers:
        brokers.send("a", {"id": 1, "n": 0.5}, b"{bad", None, {"id": 2}, b'{"id": "\xe5\x8f\x91"}')
        brokers.send("a", {"id": 3}, partition=3, key="k")
        brokers.send("b", {"id": 4, "more": [1]})
        for more in ({"topics": "a"}, {"topics": ("b", "a"), "meta": ("key", "deleted", "offset")}, {"topics": "b"}):
            source = Kafka.model_validate({"servers": brokers.servers, **more})
            assert [str(b) for b in check_step(source, tmp_path)] == []
        types = source.column_types([source.observe(tmp_path, f.path) for f in source.scan(tmp_path)])
        assert types == {"id": "int64", "more": "text"}


def test_topics_of_mqtt(tmp_path: Path) -> None:
    """Nothing is in a store here, so that the broker's messages stay what they are, however often they are read."""
    from tests.collect.mqtt_broker import broker  # skips where the library is not installed

    with broker("nats") as there:
        source = Mqtt(server=there.server, topics="a/#", session="laws", window=0.3, meta=("topic", "received"))
        source.scan(tmp_path)
        there.send("a/b", b'{"id": 1}', b"{bad", b"", b'{"id": 2, "n": 0.5}')
        end = time.monotonic() + 60  # a broker takes the time that the machine leaves it
        while not source.scan(tmp_path) or source.observe(tmp_path, "000000001")["messages"] < 4:
            assert time.monotonic() < end
        assert [str(b) for b in check_step(source, tmp_path)] == []
        source.settled(tmp_path, ["000000001"])


def test_each_kind_has_laws_and_each_law_says_what_it_is() -> None:
    assert set(LAWS) == {Step, Algebraic, MultiPass, Sharded, Following, *KINDS}
    every = [law for laws in LAWS.values() for law in laws]
    assert len({law.name for law in every}) == len(every) == 30
    assert all(law.says.endswith(".") for law in every)


def test_a_fitted_result_is_an_exported_class() -> None:
    """What a step returns can be loaded by name: its class is exported, too."""
    named = [case for name, case in CASES.items() if name not in AGAIN and not name.endswith("_report")]
    results = [trained(case.step, case.bring) for case in named if isinstance(case.step, Fold | Whole)]
    fitted = [type(result) for result in results if isinstance(result, Fitted)]
    assert len(fitted) == 26 + 3 * bool(DEEP)
    assert set(fitted) <= set(FOUND.values())
