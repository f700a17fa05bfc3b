"""A transformers pipeline behind FastAPI, as a first script puts it there: what the figure of serving texts is beside.

`python pipeline_server.py MODEL` prints its address as JSON, and serves `POST /predict` with `{"texts": [...]}` until
it is told to end. One thread a request, and PyTorch with one inside it, so that two cores answer two requests at once.
"""

from __future__ import annotations

import json
import socket
import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline


class Asked(BaseModel):
    """The body of a request."""

    texts: list[str]


def main() -> None:
    """Load, and serve."""
    folder = sys.argv[1]
    torch.set_num_threads(1)
    network = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    asked = pipeline("text-classification", model=network, tokenizer=AutoTokenizer.from_pretrained(folder))
    app = FastAPI()

    @app.post("/predict")
    def predict(body: Asked) -> list[dict[str, object]]:
        return list(asked(body.texts, truncation=True, max_length=128))

    predict(Asked(texts=["what is made at first use"]))
    # Named as TCP, since asyncio sends at once only then: else head and body of an answer wait for one another.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        print(json.dumps({"address": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    main()
