"""The key of a store, and the mark by which it is known for the one that the row_ids were made with."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from pathlib import Path

from tillage.core.errors import Denied
from tillage.core.keys import Keyring
from tillage.store.catalog import Catalog

KEY_MARK = "key"
"""Names in the catalog what tells the project's key from another: 128 bits made of it, by a name no table can have."""

_OTHER_KEY = "Set TILLAGE_KEY to the key that the store was made with, or restore its key file; or start a new store."


def opened(path: Path, catalog: Catalog) -> Keyring:
    """The project's key, once it is known to be the one that this store's row_ids were made with.

    Under another key every row that is read again would get another id, and stand in its table twice.
    """
    known = catalog.meta(KEY_MARK)
    if known is not None and not path.exists() and not os.environ.get("TILLAGE_KEY"):
        raise Denied(f"The key of this store is gone: there is no {path}, and TILLAGE_KEY is not set.", fix=_OTHER_KEY)
    keys = Keyring.open(path)
    mark = hmac.digest(keys.subkey("seed"), b"\0mark", sha256).hex()[:32]
    if known is None:
        catalog.set_meta(KEY_MARK, mark)
    elif known != mark:
        where = "TILLAGE_KEY" if os.environ.get("TILLAGE_KEY") else path
        raise Denied(f"The key in {where} is not the one that this store was made with.", fix=_OTHER_KEY)
    return keys
