"""The key of a store, and the mark by which it is known for the one that the row_ids were made with."""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from pathlib import Path

from tillage.core.errors import Denied, VerifyFailed
from tillage.core.keys import Keyring
from tillage.store.catalog import Catalog

KEY_MARK = "key"
"""Names in the catalog what tells the project's key from another: 128 bits made of it, by a name no table can have."""

_OTHER_KEY = "Set TILLAGE_KEY to the key that the store was made with, or restore its key file; or start a new store."


def _refuse_orphans(root: Path, catalog: Catalog) -> None:
    """A catalog that knows nothing beside objects is not the one that they were written under.

    To begin anew would lose every version, and all marks of who was forgotten: they would come back unnoticed.
    """
    if not any((root / "objects").glob("*/*")) or catalog.rows("SELECT 1 FROM versions LIMIT 1"):
        return
    raise VerifyFailed(
        f"The catalog {catalog.path} is empty or new, but there are objects beside it: it was lost.",
        fix="Restore it from a copy. Or move the folder away and run again: then its versions, and who was forgotten, "
        "are not known any more.",
    )


def opened(path: Path, catalog: Catalog) -> Keyring:
    """The project's key, once it is known to be the one that this store's row_ids were made with.

    Under another key every row that is read again would get another id, and stand in its table twice.
    """
    known = catalog.meta(KEY_MARK)
    if known is None:
        _refuse_orphans(path.parent, catalog)
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
