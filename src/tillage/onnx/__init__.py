"""Models as ONNX: graphs written operator by operator, and what runs them. Knows nothing of rows, texts or pictures."""

from tillage.onnx.graph import Graph, Port, checked, ports_of
from tillage.onnx.session import onnx_session

__all__ = ["Graph", "Port", "checked", "onnx_session", "ports_of"]
