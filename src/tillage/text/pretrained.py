"""Pretrained encoders of text as they lie in a folder: configuration, tokenizer, weights; read as data, never as code.

A folder of Hugging Face's layout: `config.json`, `tokenizer.json`, `model.safetensors` (one file, or several with an
index). Files of pickled weights (`pytorch_model.bin`) are refused, since to open one is to run it, and nothing is
fetched from anywhere. What a folder says of pooling, in the manner of sentence-transformers, is followed.
Cost: weights are mapped from the file, so they cost nothing until used; the digest reads them once a process, 0.06 CPU
seconds for 90 MB.
"""

from __future__ import annotations

import importlib.util
import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tillage.core.errors import BadData, Denied, InputMissing

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]
Pooling = Literal["mean", "cls"]

PACKAGE = "package:"
"""How a model begins that an installed Python package carries."""

_NEEDED = ("config.json", "tokenizer.json")
_LARGEST_JSON = 1 << 27
_LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header, as the format's own reader bounds it."""
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""What weights are kept as; others (position_ids are whole numbers) are no weights."""


@dataclass(frozen=True)
class Pretrained:
    """A folder with an encoder; what it holds is read when it is asked for.

    >>> Pretrained.find("package:numpy")
    Traceback (most recent call last):
    tillage.core.errors.InputMissing: The package 'numpy' carries no model: no folder of it holds config.json and ...
    """

    folder: Path

    @classmethod
    def find(cls, model: str, root: Path | None = None) -> Pretrained:
        """The model of a folder (relative ones lie below `root`, by default the current folder) or of a package.

        Raises InputMissing when there is none, or a file of it is missing, Denied for a relative path that leads out,
        and for weights that are there as pickles alone.
        """
        folder = _of_package(model.removeprefix(PACKAGE)) if model.startswith(PACKAGE) else _of_path(model, root)
        for name in _NEEDED:
            if not (folder / name).is_file():
                raise InputMissing(
                    f"The model folder {folder} has no {name}.",
                    fix="Save the model and its fast tokenizer into it by `save_pretrained`, or copy the whole folder.",
                )
        found = cls(folder)
        found.weight_files()
        return found

    def read(self, name: str) -> bytes:
        """A small file of the folder; raises InputMissing, Denied for a link out of the folder, BadData for size."""
        path = self._path(name)
        if path.stat().st_size > _LARGEST_JSON:
            raise BadData(
                f"{path} has {path.stat().st_size:,} bytes, too many for what it is.", fix="Look at the file."
            )
        return path.read_bytes()

    def json(self, name: str) -> dict[str, Any]:
        """The object in a file of JSON; raises BadData when it is none."""
        try:
            value = json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise BadData(f"{self.folder / name} is no JSON: {error}.", fix="Copy the file anew.") from error
        if not isinstance(value, dict):
            raise BadData(f"{self.folder / name} holds no JSON object.", fix="Copy the file anew.")
        return value

    def config(self) -> dict[str, Any]:
        """What `config.json` says."""
        return self.json("config.json")

    def tokenizer(self) -> str:
        """The fast tokenizer as its own JSON."""
        return self.read("tokenizer.json").decode("utf-8", "replace")

    def weight_files(self) -> list[str]:
        """The names of the files of weights; raises InputMissing when there are none, Denied for pickles alone."""
        if (self.folder / "model.safetensors").is_file():
            return ["model.safetensors"]
        index = "model.safetensors.index.json"
        if (self.folder / index).is_file():
            named = self.json(index).get("weight_map")
            if isinstance(named, dict) and named and all(isinstance(name, str) for name in named.values()):
                return sorted(set(named.values()))
            raise BadData(f"{self.folder / index} names no weights.", fix="Copy the file anew.")
        pickled = sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for p in self.folder.glob(pattern))
        if pickled:
            raise Denied(
                f"The weights in {self.folder} are pickled ({pickled[0]}): to open them would run what is inside.",
                fix="Where you trust them, load the model in Python and `save_pretrained(safe_serialization=True)`.",
            )
        raise InputMissing(
            f"The model folder {self.folder} has no weights (model.safetensors).", fix="Copy the whole folder."
        )

    def weights(self) -> Arrays:
        """Name to array of float32, a view of the file where it holds that type; raises BadData for a broken file."""
        found: Arrays = {}
        for name in self.weight_files():
            found.update(read_safetensors(self._path(name)))
        return found

    def digest(self) -> str:
        """SHA-256 over the files that make the vectors: an edit of any of them is another model."""
        return _digest(self.folder, tuple(self._stamps()))

    def pooling(self) -> tuple[Pooling, bool]:
        """How the vectors of words become that of a text, and whether it is put to length 1; `mean`, not, unless said.

        Raises BadData for modules of sentence-transformers that change the vector in another way.
        """
        if not (self.folder / "modules.json").is_file():
            return "mean", False
        modules = json.loads(self.read("modules.json"))
        kinds = [str(m.get("type", "")).rpartition(".")[2] for m in modules if isinstance(m, dict)]
        if other := [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]:
            raise BadData(
                f"The model in {self.folder} ends in a layer that is not known here: {other[0]}.",
                fix="Take a model of a transformer, pooling and normalisation.",
            )
        way: Pooling = "mean"
        for module in modules:
            if str(module.get("type", "")).endswith("Pooling"):
                way = _pooling(self.json(f"{module.get('path', '')}/config.json"), self.folder)
        return way, "Normalize" in kinds

    def max_tokens(self) -> int:
        """Tokens of a text that the model was made for; what is beyond is cut off."""
        config = self.config()
        most = int(config.get("max_position_embeddings", 512))
        if str(config.get("model_type")) not in ("bert", "distilbert"):
            most -= int(config.get("pad_token_id") or 0) + 1
        if (self.folder / "sentence_bert_config.json").is_file():
            most = min(most, int(self.json("sentence_bert_config.json").get("max_seq_length") or most))
        return most

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise Denied(
                f"{name!r} of the model folder {self.folder} leads out of it.",
                fix="Copy the folder with its links followed: cp -rL.",
            )
        if not path.is_file():
            raise InputMissing(f"The model folder {self.folder} has no {name}.", fix="Copy the whole folder.")
        return path

    def _stamps(self) -> Iterator[tuple[str, int, int]]:
        about = [n for n in ("modules.json", "sentence_bert_config.json") if (self.folder / n).is_file()]
        about += [p.relative_to(self.folder).as_posix() for p in sorted(self.folder.glob("*/config.json"))]
        for name in (*_NEEDED, *about, *self.weight_files()):
            held = self._path(name).stat()
            yield name, held.st_size, held.st_mtime_ns


def read_safetensors(path: Path) -> Arrays:
    """The floating-point arrays of a safetensors file as float32; raises BadData when it is damaged.

    The format: 8 bytes of length, a JSON header of name, type, shape and place, then the bytes of the arrays.
    Source: https://github.com/huggingface/safetensors, "Format".
    """
    try:
        with path.open("rb") as file:
            held = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        size = int.from_bytes(held[:8], "little")
        if size > min(_LARGEST_HEADER, len(held) - 8):
            raise ValueError("its header is longer than the file")
        header = json.loads(bytes(held[8 : 8 + size]))
        return {
            name: _array(held[8 + size :], entry)
            for name, entry in header.items()
            if name != "__metadata__" and entry["dtype"] in _TYPES
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData(
            f"{path} is no safetensors file, or a damaged one: {error}.", fix="Copy the file anew."
        ) from error


def safetensors(arrays: Mapping[str, Any]) -> bytes:
    """Arrays of float32 as a safetensors file, as `read_safetensors` reads it; by name, so that equal ones are equal.

    >>> found = safetensors({"a": np.zeros(2, np.float32)})
    >>> len(found) - int.from_bytes(found[:8], "little") - 8
    8
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, place = [], 0
    for name in sorted(arrays):
        raw = np.ascontiguousarray(arrays[name], dtype="<f4").tobytes()
        shape = list(np.shape(arrays[name]))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, place + len(raw)]}
        parts.append(raw)
        place += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def _array(data: memoryview, entry: Mapping[str, Any]) -> Any:
    start, end = entry["data_offsets"]
    kind = np.dtype(_TYPES[entry["dtype"]])
    shape = tuple(int(n) for n in entry["shape"])
    count = int(np.prod(shape, dtype=np.int64))
    if not 0 <= start <= end <= len(data) or min(shape, default=0) < 0 or count * kind.itemsize != end - start:
        raise ValueError("an array lies outside it")
    values = np.frombuffer(data[start:end], dtype=kind).reshape(shape)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values.astype(np.float32, copy=False)


def _of_path(model: str, root: Path | None) -> Path:
    base = Path.cwd() if root is None else root
    folder = base / model
    if not Path(model).is_absolute() and not folder.resolve().is_relative_to(base.resolve()):
        raise Denied(
            f"The model folder {model!r} leads out of {base}.", fix="Copy it inside, or name its absolute path."
        )
    if not folder.is_dir():
        raise InputMissing(
            f"There is no model folder {model!r} in {base}.",
            fix="Name a folder of Hugging Face's layout, or package:NAME for one that an installed package carries; "
            "nothing is downloaded (`hf download NAME --local-dir FOLDER` does).",
        )
    return folder


def _of_package(name: str) -> Path:
    """The one folder of a package that holds a model; the package is found, not imported."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputMissing(f"No Python package is called {name!r}.", fix=f"Install it, and write {PACKAGE}NAME.")
    home = Path(next(iter(spec.submodule_search_locations)))
    for folder in (home, *sorted(p for p in home.iterdir() if p.is_dir())):
        if all((folder / needed).is_file() for needed in _NEEDED):
            return folder
    raise InputMissing(
        f"The package '{name}' carries no model: no folder of it holds config.json and tokenizer.json.",
        fix="Name a folder instead.",
    )


def _pooling(config: Mapping[str, Any], folder: Path) -> Pooling:
    told = {name.removeprefix("pooling_mode_"): on for name, on in config.items() if name.startswith("pooling_mode_")}
    chosen = [name for name, on in told.items() if on is True] or [str(config.get("pooling_mode", "mean"))]
    known: dict[str, Pooling] = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(chosen) != 1 or chosen[0] not in known:
        raise BadData(
            f"The model in {folder} pools by {' and '.join(chosen)}, which is not known here.",
            fix="Say `pooling: mean` or `pooling: cls`.",
        )
    return known[chosen[0]]


@lru_cache(maxsize=16)
def _digest(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Kept while sizes and times of the files stand as they stood."""
    whole = sha256()
    for name, size, _ in stamps:
        whole.update(f"{name}\n{size}\n".encode())
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()
