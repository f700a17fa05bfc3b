"""The Open Inference Protocol, asked by someone else's client (tritonclient) and by hand where that one never errs."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from tests.serve.running import Server
from tillage.flow.prediction_table import read_predictions
from tillage.serve import open_inference
from tillage.serve.open_inference import asked
from tillage.serve.refusal import Refused
from tillage.store import Store


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    from tritonclient.http import InferenceServerClient

    with InferenceServerClient(f"127.0.0.1:{server.port}") as made:
        yield made


def tensors(binary: bool) -> list[Any]:
    from tritonclient.http import InferInput

    size = InferInput("size", [3], "FP64")
    size.set_data_from_numpy(np.array([1.5, 2.0, 4.0]), binary_data=binary)
    text = InferInput("text", [3], "BYTES")
    text.set_data_from_numpy(np.array(["één", "two", "三"], dtype=object), binary_data=binary)
    ident = InferInput("id", [3], "INT64")
    ident.set_data_from_numpy(np.array([1, 2, 3]), binary_data=binary)
    return [size, text, ident]


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("received", [True, False, None])
def test_tritonclient_asks_and_understands(server: Server, client: Any, sent: bool, received: bool | None) -> None:
    from tritonclient.http import InferRequestedOutput

    names = ("prediction", "inference_id")
    outputs = None if received is None else [InferRequestedOutput(n, binary_data=received) for n in names]
    answer = client.infer(
        "desk", tensors(sent), outputs=outputs, request_id="mine", headers={"Authorization": f"Bearer {server.token}"}
    )
    assert answer.as_numpy("prediction").tolist() == [3.0, 4.0, 8.0]
    assert answer.as_numpy("confidence") is None
    head = answer.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == ("desk", "1", "mine")
    names_given = [n.decode() if isinstance(n, bytes) else n for n in answer.as_numpy("inference_id")]
    assert len(set(names_given)) == 3
    status, _, _ = server.ask("POST", "/feedback", {"id": names_given[0], "label": 3})
    assert status == 200
    store = Store(server.folder / ".tillage")
    told = {row["id"]: row["label"] for row in read_predictions(store).to_dicts()}
    store.close()
    assert told.get(names_given[0], "3") == "3"  # a prediction may wait a second for its group


def test_tritonclient_finds_its_way(server: Server, client: Any) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("desk", headers=headers)
    assert client.is_model_ready("double", "1", headers=headers)
    assert not client.is_model_ready("desk", "9", headers=headers)
    assert client.get_server_metadata(headers=headers)["extensions"] == ["binary_tensor_data"]
    told = client.get_model_metadata("desk", headers=headers)
    assert {(t["name"], t["datatype"]) for t in told["inputs"]} >= {
        ("size", "FP64"),
        ("text", "BYTES"),
        ("id", "INT64"),
    }
    assert "y" not in {t["name"] for t in told["inputs"]}
    assert told["versions"] == ["1"]


def test_a_row_without_a_prediction_is_the_answer_of_the_whole_request(server: Server, client: Any) -> None:
    from tritonclient.utils import InferenceServerException

    given = tensors(True)
    given[0].set_data_from_numpy(np.array([1.0, -2.0, 3.0]))
    with pytest.raises(InferenceServerException, match="No prediction for row 1: negative"):
        client.infer("desk", given, headers={"Authorization": f"Bearer {server.token}"})
    with pytest.raises(InferenceServerException, match="token"):
        client.infer("desk", given)


def body(**changes: Any) -> bytes:
    tensor = {"name": "size", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0], **changes}
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b'{"inputs": []}', "inputs"),
        (b'{"inputs": [5]}', "inputs[0]"),
        (body(name=5), "inputs[0].name"),
        (body(datatype="FP8"), "inputs[0].datatype"),
        (body(shape=[2.0]), "inputs[0].shape"),
        (body(shape=[-2]), "inputs[0].shape"),
        (body(shape=[True, 1]), "inputs[0].shape"),
        (body(shape=[2, 2]), "inputs[0].shape"),
        (body(shape=[1 << 40]), "inputs[0].shape"),
        (body(shape=[3]), "inputs[0].data"),
        (body(data="x"), "inputs[0].data"),
        (body(data=[[1.0], 2.0]), "inputs[0].data"),
        (body(parameters={"binary_data_size": 16}), "inputs[0].parameters.binary_data_size"),
        (body(parameters={"binary_data_size": -1}), "inputs[0].parameters.binary_data_size"),
        (body()[:-1] + b', "id": 5}', "id"),
        (body()[:-1] + b', "outputs": [{"name": "weights"}]}', "outputs[0].name"),
        (body()[:-1] + b', "outputs": 5}', "outputs[0].name"),
        (body()[:-1] + b', "outputs": [{"name": "prediction"}, {"name": "prediction"}]}', "outputs[1].name"),
        (body()[:-1] + b', "id": "\\ud800"}', "id"),
    ],
)
def test_a_bad_request_is_told_with_its_field(data: bytes, field: str) -> None:
    with pytest.raises(Refused) as caught:
        asked(data, None)
    assert (caught.value.status, caught.value.field) == (400, field)


@pytest.mark.parametrize(
    ("kind", "raw", "rows"),
    [
        ("FP64", b"\0" * 15, 2),
        ("BYTES", struct.pack("<I", 5) + b"abc", 1),
        ("BYTES", struct.pack("<I", 0xFFFFFFFF), 1),
        ("BYTES", struct.pack("<I", 1) + b"\xff", 1),
        ("BYTES", b"", 1),
    ],
)
def test_binary_tensors_that_lie_are_refused(kind: str, raw: bytes, rows: int) -> None:
    head = json.dumps({"inputs": [{"name": "a", "shape": [rows], "datatype": kind,
                                   "parameters": {"binary_data_size": len(raw)}}]}).encode()  # fmt: skip
    with pytest.raises(Refused) as caught:
        asked(head + raw, str(len(head)))
    assert caught.value.status == 400
    for length in ("-1", "x", str(len(head) + len(raw) + 1), "٣", "", "9" * 5_000, "0" * 5_000):
        with pytest.raises(Refused):
            asked(head + raw, length)
    with pytest.raises(Refused, match="follow the last tensor"):
        asked(body() + b"more", str(len(body())))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("INT8", [-128, 127, None], [128, -129, 1.0, True, "1"]),
        ("UINT64", [0, 2**64 - 1, None], [-1, 2**64, 0.5]),
        ("BOOL", [True, False, 0, 1, None], [2, -1, 1.0, "true"]),
        ("FP32", [1.5, 7, None], [True, "1.5"]),
        ("BYTES", ["", "\u4e09", None], [1, True, 1.5]),
    ],
)
def test_values_in_json_are_of_the_datatype_of_their_tensor(kind: str, good: list[Any], bad: list[Any]) -> None:
    def sent(data: list[Any]) -> list[Any]:
        tensor = {"name": "a", "shape": [len(data)], "datatype": kind, "data": data}
        return [row["a"] for row in asked(json.dumps({"inputs": [tensor]}).encode(), None).rows]

    assert sent(good) == good
    for one in bad:
        with pytest.raises(Refused, match=f"It is no value of {kind}") as told:
            sent([good[0], one])
        assert told.value.field == "inputs[0].data[1]"


def test_binary_and_json_are_the_same_request() -> None:
    text = [b"a", "三".encode()]
    raw = b"".join(struct.pack("<I", len(t)) + t for t in text)
    head = json.dumps({"inputs": [{"name": "t", "shape": [2, 1], "datatype": "BYTES",
                                   "parameters": {"binary_data_size": len(raw)}}]}).encode()  # fmt: skip
    plain = {"inputs": [{"name": "t", "shape": [2, 1], "datatype": "BYTES", "data": [["a"], ["三"]]}]}
    assert asked(head + raw, str(len(head))).rows == asked(json.dumps(plain).encode(), None).rows == [
        {"t": "a"}, {"t": "三"}
    ]  # fmt: skip


def test_what_follows_the_last_row_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of zeros holds an empty element every four bytes: millions, of which one was announced."""

    class Counted(struct.Struct):
        asked = 0

        def unpack_from(self, *given: Any) -> Any:
            self.asked += 1
            return super().unpack_from(*given)

    counted = Counted("<I")
    monkeypatch.setattr(open_inference, "_LENGTH", counted)
    told = {"binary_data_size": 4000}
    head = json.dumps({"inputs": [{"name": "t", "shape": [1], "datatype": "BYTES", "parameters": told}]}).encode()
    with pytest.raises(Refused, match="does not hold 1 elements"):
        asked(head + bytes(4000), str(len(head)))
    assert counted.asked == 1
