"""Bytes that are no picture, or no sound."""

from __future__ import annotations


class Unreadable(ValueError):
    """The bytes are no image, or no sound, that can be read."""


class TooLarge(Unreadable):
    """An image of more pixels than are unpacked."""
