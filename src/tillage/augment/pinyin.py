"""Characters that sound alike, as they are mixed up when Chinese is typed by its sound. Extra: `tillage[chinese]`.

Of the 3,755 common characters (GB 2312, level 1), each in its chief reading without its tone; read once, in 0.1 s.
Source: pypinyin (github.com/mozillazg/python-pinyin, MIT).
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache

from tillage.core.errors import Unavailable

_NEAR = ((r"^([zcs])h", r"\1"), (r"^n", "l"), (r"(?<=[aei])ng$", "n"))
"""Sounds that much of China does not tell apart: zh and z, n and l, -ang and -an."""


def common_characters() -> list[str]:
    """The 3,755 characters of GB 2312's first level.

    >>> len(common_characters()), common_characters()[0]
    (3755, '啊')
    """
    pairs = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return [c for pair in pairs if (c := pair.decode("gb2312", "ignore"))]


@lru_cache(maxsize=2)
def sounds_like(*, near: bool) -> dict[str, str]:
    """Each common character to the others of its sound, or with `near` of nearly its sound.

    Raises Unavailable when pypinyin is not installed.
    """
    try:
        import pypinyin
    except ImportError:
        raise Unavailable(
            "Slips of pinyin need the library pypinyin, which is not installed.",
            fix="Install it: pip install 'tillage[chinese]'; or leave 'pinyin' out of `slips`.",
        ) from None
    groups: dict[str, list[str]] = defaultdict(list)
    for character in common_characters():
        sound = pypinyin.lazy_pinyin(character)[0]
        for pattern, other in _NEAR if near else ():
            sound = re.sub(pattern, other, sound)
        groups[sound].append(character)
    return {c: "".join(o for o in group if o != c) for group in groups.values() for c in group if len(group) > 1}
