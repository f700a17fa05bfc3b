"""Pictures and sounds as documents: a row is a path, its measures, and the plain values as bytes.

`pixels`: RGB, three bytes a pixel, row by row, so `numpy.frombuffer(p, "u1").reshape(height, width, 3)`;
`audio`: float32, so `numpy.frombuffer(a, "<f4").reshape(samples, channels)`. No format of files is used for them: what
a compressor makes of the same pixels differs between its versions and processors, and a digest must not.
Files are decoded in one process of its own for all of them (`decoder`), which costs 0.2 s to start and 0.1 ms a file.
Extras: `pip install tillage[image]`, `pip install tillage[audio]`.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from pathlib import Path
from threading import Lock, Timer
from typing import Any

import polars as pl

from tillage.collect import decoder
from tillage.collect.content import Content
from tillage.collect.document import DocumentReader
from tillage.collect.piece import Way
from tillage.collect.unpack import Unreadable
from tillage.core.errors import Unavailable
from tillage.guard.child import bare_environment, end

WALL_SECONDS = 60.0
"""What a file may take by the clock, which is what a decoder that sleeps would spend."""

PICTURE: dict[str, pl.DataType] = {
    "path": pl.String(),
    "width": pl.Int64(),
    "height": pl.Int64(),
    "pixels": pl.Binary(),
}
SOUND: dict[str, pl.DataType] = {
    "path": pl.String(),
    "sample_rate": pl.Int64(),
    "channels": pl.Int64(),
    "samples": pl.Int64(),
    "audio": pl.Binary(),
}
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg"}
SOUND_SUFFIXES = {".wav", ".wave", ".flac"}
_PICTURE_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_LIBRARIES = {"PIL": ("Pillow", "image"), "soundfile": ("soundfile", "audio"), "_soundfile": ("soundfile", "audio")}


def is_picture(head: bytes) -> bool:
    """Whether a file that begins so is a picture."""
    return head.startswith(_PICTURE_MAGIC) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


def is_sound(head: bytes) -> bool:
    """Whether a file that begins so is a sound that is read."""
    return head.startswith(b"fLaC") or (head.startswith(b"RIFF") and head[8:12] == b"WAVE")


def picture_reader(content: Content, path: str, way: Way) -> DocumentReader:
    """The reader of one picture."""

    def read(data: bytes) -> dict[str, Any]:
        told, pixels = _decoder.ask({"kind": "picture", "max_pixels": way.max_pixels}, data)
        return {"path": path, **told, "pixels": pixels}

    return DocumentReader(content, "image", PICTURE, read)


def sound_reader(content: Content, path: str, way: Way) -> DocumentReader:
    """The reader of one sound."""

    def read(data: bytes) -> dict[str, Any]:
        told, audio = _decoder.ask({"kind": "sound", "sample_rate": way.sample_rate}, data)
        return {"path": path, **told, "audio": audio}

    return DocumentReader(content, "audio", SOUND, read)


class Decoder:
    """The process that decodes; started when it is first needed, and again after a file that ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()

    def ask(self, order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """The values and the bytes of a file; raises Unreadable for a bad one, Unavailable without its library."""
        with self._lock:
            answer = self._tried(order, data) or self._tried(order, data)  # it may have been ended by something else
        if answer is None:
            raise Unreadable(
                "decoder_ended", "The file ended the process that decodes: it took too much time or memory."
            )
        told, made = answer
        if "missing" in told:
            library, extra = _LIBRARIES.get(told["missing"], (told["missing"], "image"))
            raise Unavailable(
                f"Files of this kind need the library {library}.", fix=f"Install it: pip install 'tillage[{extra}]'"
            )
        if "refused" in told:
            raise Unreadable(*told["refused"])
        return told, made

    def _tried(self, order: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes] | None:
        process = self._started()
        watch = Timer(WALL_SECONDS, process.kill)
        watch.start()
        try:
            return self._exchange(process, {**order, "size": len(data)}, data)
        except (OSError, EOFError, ValueError):
            self._end()
            return None
        finally:
            watch.cancel()

    def _exchange(
        self, process: subprocess.Popen[bytes], order: dict[str, Any], data: bytes
    ) -> tuple[dict[str, Any], bytes]:
        if process.stdin is None or process.stdout is None:
            raise TypeError("the process was started without pipes")
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.write(data)
        process.stdin.flush()
        line = process.stdout.readline()
        told = json.loads(line) if line else None
        if told is None:
            raise EOFError
        size = told.pop("size")
        made = process.stdout.read(size)
        if len(made) < size:
            raise EOFError
        return told, made

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        command = [sys.executable, "-P", "-W", "ignore", str(Path(decoder.__file__))]
        self._process = subprocess.Popen(  # noqa: S603 - our own command, and no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=bare_environment()
        )
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        end(self._process)
        self._process = None

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()


_decoder = Decoder()
atexit.register(_decoder.close)
