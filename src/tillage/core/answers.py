"""The columns that a model adds to rows: its answer, and how sure a classifier is of it.

They belong to no room: learners write them, scoring, serving and evaluating read them.
"""

from __future__ import annotations

PREDICTION = "prediction"
"""The class as text, a number, or marked spans as JSON; null where the model has no answer."""

CONFIDENCE = "confidence"
"""Of a classifier: the share that it gives to its answer, 0 to 1."""
