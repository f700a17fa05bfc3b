"""Models as ONNX: graphs written operator by operator, and what runs them. Knows nothing of rows, texts or pictures."""
