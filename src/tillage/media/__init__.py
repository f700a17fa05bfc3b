"""Images and sounds as bytes in a column: read into arrays, measured, hashed, and written again."""

from tillage.media.columns import SHAPE, SIZE, Pictures, Shape, Size, Sounds
from tillage.media.hashes import band_values, dhash, phash
from tillage.media.image import decode_image, encode_image, gray, opaque, resized
from tillage.media.mel import MelSpectrum
from tillage.media.quality import clipped_share, sharpness
from tillage.media.sound import Sound, decode_sound, encode_sound, resampled, trimmed
from tillage.media.unreadable import TooLarge, Unreadable

__all__ = [
    "SHAPE",
    "SIZE",
    "MelSpectrum",
    "Pictures",
    "Shape",
    "Size",
    "Sound",
    "Sounds",
    "TooLarge",
    "Unreadable",
    "band_values",
    "clipped_share",
    "decode_image",
    "decode_sound",
    "dhash",
    "encode_image",
    "encode_sound",
    "gray",
    "opaque",
    "phash",
    "resampled",
    "resized",
    "sharpness",
    "trimmed",
]
