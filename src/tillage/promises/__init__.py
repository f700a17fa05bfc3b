"""What the joined line lets its owner ask: where a row came from, where it went, and that it be forgotten."""

from tillage.flow.receipt import public_key
from tillage.promises.forget import estimate, forget, release_object
from tillage.promises.receipt import receipts, verify_receipt
from tillage.promises.trace import Node, trace

__all__ = [
    "Node",
    "estimate",
    "forget",
    "public_key",
    "receipts",
    "release_object",
    "trace",
    "verify_receipt",
]
