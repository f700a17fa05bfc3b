"""Encoders written from their weights: against NumPy by the book, and folders that must be refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tests.text import tiny_encoder
from tillage.core.errors import BadData, Denied, InputMissing, TillageError
from tillage.text.encoder import Network, Tokens
from tillage.text.pretrained import Pretrained, read_safetensors
from tillage.text.transformer import Shape, quantized, write_graph

TEXTS = ["a small, calm sea", "", "\u53d1\u70e7 big things", "never heard of it " * 30]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_encoder.write(tmp_path / "model")


def network(folder: Path, most: int = 40, int8: bool = False, **how: Any) -> Network:
    model = Pretrained(folder)
    given = {"pooling": "mean", **how}
    weights = Shape(model.config()).weights(model.weights())
    return Network(
        write_graph(model.config(), quantized(weights) if int8 else weights, **given), Tokens(model.tokenizer(), most)
    )


def by_the_book(folder: Path, text: str, most: int = 40) -> Any:
    config, weights = json.loads((folder / "config.json").read_text()), read_safetensors(folder / "model.safetensors")
    tokens = Tokens((folder / "tokenizer.json").read_text(), most).cut([text])[0]
    return tiny_encoder.vectors(config, weights, tokens)


def test_words_are_cut_by_the_model_s_own_vocabulary(folder: Path) -> None:
    tokens = Tokens((folder / "tokenizer.json").read_text(), 6)
    named = dict(enumerate(tiny_encoder.SPECIAL + tiny_encoder.WORDS))
    cut = [[named[n] for n in found] for found in tokens.cut(["Seas, \u53d1?", "a a a a a a a"])]
    assert cut == [["[CLS]", "sea", "##s", ",", "\u53d1", "[SEP]"], ["[CLS]", "a", "a", "a", "a", "[SEP]"]]


@pytest.mark.parametrize("text", TEXTS)
def test_vectors_are_those_of_the_book(folder: Path, text: str) -> None:
    found = by_the_book(folder, text)
    assert np.abs(network(folder).run([text])[0] - found.mean(axis=0)).max() < 1e-5
    assert np.abs(network(folder, pooling="cls").run([text])[0] - found[0]).max() < 1e-5
    scaled = network(folder, normalize=True).run([text])[0]
    assert np.abs(scaled - found.mean(axis=0) / np.linalg.norm(found.mean(axis=0))).max() < 1e-5


def test_a_head_gives_logits(folder: Path) -> None:
    random = np.random.default_rng(0)
    matrix, bias = random.normal(size=(16, 3)), random.normal(size=3)
    wanted = by_the_book(folder, TEXTS[0]).mean(axis=0) @ matrix + bias
    assert np.abs(network(folder, head=(matrix, bias)).run([TEXTS[0]])[0] - wanted).max() < 1e-5


def test_eight_bits_are_near(folder: Path) -> None:
    whole, small = network(folder, normalize=True), network(folder, normalize=True, int8=True)
    near = (whole.run(TEXTS) * small.run(TEXTS)).sum(axis=1)
    assert near.min() > 0.99
    assert not np.array_equal(whole.run(TEXTS), small.run(TEXTS))


def test_no_text_s_numbers_depend_on_those_beside_it(folder: Path) -> None:
    for how in ({}, {"int8": True}):
        found = network(folder, **how)
        alone = np.concatenate([found.run([text]) for text in TEXTS])
        assert np.array_equal(found.run(TEXTS), alone)
        assert np.array_equal(found.run([*TEXTS[::-1], *TEXTS])[4:], alone)
    assert network(folder).run([]).shape == (0, 16)


def test_padding_does_not_show_where_a_mask_says_what_it_is(folder: Path) -> None:
    model = Pretrained(folder)
    graph = write_graph(model.config(), model.weights(), pooling="mean", masked=True)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    cut = Tokens(model.tokenizer(), 40).cut(TEXTS)
    longest = max(map(len, cut))
    ids = np.array([found + [0] * (longest - len(found)) for found in cut])
    mask = np.array([[1] * len(found) + [0] * (longest - len(found)) for found in cut])
    vectors = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    assert np.abs(vectors - network(folder).run(TEXTS)).max() < 1e-5


def test_old_names_and_prefixes_of_weights_are_known(folder: Path) -> None:
    wanted = network(folder).run(TEXTS)
    weights = read_safetensors(folder / "model.safetensors")
    renamed = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): values
        for name, values in weights.items()
    }
    tiny_encoder.write_safetensors(folder / "model.safetensors", {**renamed, "cls.predictions.bias": np.zeros(3)})
    assert np.array_equal(network(folder).run(TEXTS), wanted)


def test_weights_in_several_files_and_other_types(folder: Path) -> None:
    wanted = network(folder).run(TEXTS)
    weights = read_safetensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(weights)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, some in parts.items():
        tiny_encoder.write_safetensors(folder / file, {name: weights[name] for name in some})
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert np.array_equal(network(folder).run(TEXTS), wanted)


def test_halves_are_read(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 0.0, 1e-3], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    half = values.astype("<f2").tobytes()
    header = {
        "b": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        "h": {"dtype": "F16", "shape": [4], "data_offsets": [8, 16]},
        "i": {"dtype": "I64", "shape": [0], "data_offsets": [16, 16]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text + upper + half)
    found = read_safetensors(tmp_path / "x")
    assert set(found) == {"b", "h"}
    assert np.allclose(found["b"].ravel(), values, rtol=1e-2)
    assert np.allclose(found["h"], values, rtol=1e-3)


# ---- folders


def test_a_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carries_a_model"
    tiny_encoder.write(package / "weights")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert Pretrained.find("package:carries_a_model").folder == package / "weights"


def test_the_digest_follows_the_content(folder: Path) -> None:
    before = Pretrained(folder).digest()
    assert Pretrained(tiny_encoder.write(folder.with_name("same"))).digest() == before
    assert Pretrained(tiny_encoder.write(folder.with_name("other"), seed=1)).digest() != before
    (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Normalize"}]')
    assert Pretrained(folder).digest() != before


def test_what_a_folder_says_of_pooling_is_followed(folder: Path) -> None:
    assert Pretrained(folder).pooling() == ("mean", False)
    modules = [{"type": f"x.{kind}", "path": kind} for kind in ("Transformer", "Pooling", "Normalize")]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "Pooling").mkdir()
    for told in ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {"pooling_mode": "cls"}):
        (folder / "Pooling" / "config.json").write_text(json.dumps(told))
        assert Pretrained(folder).pooling() == ("cls", True)
    (folder / "Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(BadData, match="max_tokens"):
        Pretrained(folder).pooling()
    (folder / "modules.json").write_text('[{"type": "x.Dense"}]')
    with pytest.raises(BadData, match="Dense"):
        Pretrained(folder).pooling()


def test_tokens_that_a_model_was_made_for(folder: Path) -> None:
    assert Pretrained(folder).max_tokens() == 40
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    assert Pretrained(folder).max_tokens() == 12
    assert Pretrained(tiny_encoder.write(folder.with_name("r"), "roberta")).max_tokens() == 39


def test_pickled_weights_are_refused_unread(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Denied, match=r"pickled \(pytorch_model.bin\)"):
        Pretrained.find(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(InputMissing, match="no weights"):
        Pretrained.find(str(folder))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputMissing, match=name):
        Pretrained.find(str(folder))


def test_paths_that_lead_out_are_refused(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(Denied, match="leads out"):
        Pretrained.find("../model", root)
    (root / "linked").symlink_to(folder)
    with pytest.raises(Denied, match="leads out"):
        Pretrained.find("linked", root)
    with pytest.raises(InputMissing, match="nothing is downloaded"):
        Pretrained.find("sentence-transformers/all-MiniLM-L6-v2", root)
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(secret)
    with pytest.raises(Denied, match="leads out"):
        Pretrained.find(str(folder)).config()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../secret.json"}}')
    (folder / "model.safetensors").unlink()
    with pytest.raises(Denied, match="leads out"):
        Pretrained(folder).weights()


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [99999], "data_offsets": [0, 399996]}}',
        b"[" * 100_000,
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(BadData, match="damaged"):
        read_safetensors(tmp_path / "x")


def test_weights_cut_short_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for size in (0, 5, 40, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(BadData, match="damaged"):
            read_safetensors(path)


def test_another_architecture_is_refused(folder: Path) -> None:
    for more in ({"model_type": "gpt2"}, {"hidden_act": "swish"}, {"position_embedding_type": "relative_key"}):
        config = {**json.loads((folder / "config.json").read_text()), **more}
        with pytest.raises(BadData, match="not known here"):
            Shape(config)
    with pytest.raises(BadData, match=r"lack encoder\.layer\.1"):
        write_graph(tiny_encoder.config("bert", 16, 2, 2), tiny_encoder.weights("bert", 16, 1, 0), pooling="mean")


def test_no_json_and_no_tokenizer_are_refused(folder: Path) -> None:
    for text in ("{", "[]", "[" * 100_000):
        (folder / "config.json").write_text(text)
        with pytest.raises(TillageError, match=r"config.json"):
            Pretrained(folder).config()
    with pytest.raises(BadData, match="tokenizer"):
        Tokens('{"model": 1}', 8)
