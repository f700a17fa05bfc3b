"""Images and sounds as bytes in a column: read into arrays, measured, hashed, and written again."""

from tillage.media.bytes import each
from tillage.media.hashes import band_values, dhash, phash
from tillage.media.image import decode_image, encode_image, gray, shrunk
from tillage.media.mel import MelSpectrum
from tillage.media.quality import clipped_share, sharpness
from tillage.media.sound import Sound, decode_sound, encode_sound, resampled, trimmed

__all__ = [
    "MelSpectrum",
    "Sound",
    "band_values",
    "clipped_share",
    "decode_image",
    "decode_sound",
    "dhash",
    "each",
    "encode_image",
    "encode_sound",
    "gray",
    "phash",
    "resampled",
    "sharpness",
    "shrunk",
    "trimmed",
]
