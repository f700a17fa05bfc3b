"""Tillage: one plan from raw data to a deployed model and round again, with the thread held.

    import tillage as tl

    notes = tl.collect.files("data/*.csv", key="id")
    clean = notes | tl.prepare.Normalize(columns=["text"])
    model = tl.learn.TextClassifier(input="text", target="disease").fit(clean)
    model.predict({"text": "fever and a stiff neck"})

The rooms are imported when they are first used: `import tillage` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tillage import augment, collect, evaluate, govern, learn, prepare, privacy
    from tillage.face.rooms import project
    from tillage.flow.pipeline import Rows
    from tillage.flow.plan import Evaluation, Split

__version__ = "0.1.0"

__all__ = [
    "Evaluation",
    "Rows",
    "Split",
    "augment",
    "collect",
    "evaluate",
    "govern",
    "learn",
    "prepare",
    "privacy",
    "project",
]

_ROOMS = ("augment", "collect", "evaluate", "govern", "learn", "prepare", "privacy")
_NAMES = {
    "Evaluation": "tillage.flow.plan",
    "Rows": "tillage.flow.pipeline",
    "Split": "tillage.flow.plan",
    "project": "tillage.face.rooms",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"tillage.{name}")
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'tillage' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
