"""HTML pages as documents: path, title, main text, language; see `extract` for what the main text is."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from tillage.collect.content import Content
from tillage.collect.document import DocumentReader
from tillage.collect.extract import main_text
from tillage.collect.piece import Limits
from tillage.collect.unpack import Unreadable

LARGEST = 16 << 20
"""Bytes of one page."""

SCHEMA = dict.fromkeys(("path", "title", "text", "language"), pl.String())
PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*(?:<!doctype\s+html|<html)\b",
    re.IGNORECASE | re.DOTALL,
)
"""How a page shows itself."""


def page_reader(content: Content, path: str, charset: str, limits: Limits) -> DocumentReader:
    """The reader of one page; `charset`: its encoding where the plan declares one."""

    def read(data: bytes) -> dict[str, Any]:
        article = main_text(data, charset=charset)
        if len(article.text.encode()) > limits.max_field:
            raise Unreadable("field_too_long", f"The text is longer than max_field ({limits.max_field:,} bytes).")
        return {"path": path, "title": article.title, "text": article.text, "language": article.language}

    return DocumentReader(content, "html", SCHEMA, read, LARGEST)
