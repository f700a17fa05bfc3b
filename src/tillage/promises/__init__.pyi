from .forgetting import estimate as estimate
from .forgetting import forget as forget
from .forgetting import release_object as release_object
from .receipt import faulty_receipts as faulty_receipts
from .receipt import receipts as receipts
from .receipt import verify_receipt as verify_receipt
from .tracing import Node as Node
from .tracing import trace as trace

__all__: list[str]
