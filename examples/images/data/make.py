"""Write `digits.zip` and `new/` anew, from the digits that come with scikit-learn; README.md says whose they are.

Usage: python make.py
"""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from sklearn.datasets import load_digits

from tillage.media import encode_image

NEW = 5
"""The last pictures, which stay out of the archive, to be asked for."""


def main() -> None:
    """A PNG a digit: grey, 8 by 8; its ink from 0 to 16 becomes light from 0 to 255. A folder a class."""
    here, digits = Path(__file__).parent, load_digits()
    pixels = np.rint(digits.images * 255 / 16).astype(np.uint8)
    (here / "new").mkdir(exist_ok=True)
    with ZipFile(here / "digits.zip", "w", ZIP_STORED) as archive:
        for n, (picture, label) in enumerate(zip(pixels, digits.target, strict=True)):
            data = encode_image(picture[:, :, None])
            if n < len(pixels) - NEW:
                archive.writestr(ZipInfo(f"{label}/{n:04}.png"), data)
            else:
                (here / "new" / f"{n:04}.png").write_bytes(data)


if __name__ == "__main__":
    main()
