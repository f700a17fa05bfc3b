"""Forget one row of the table `readings`, by its key, as `tillage forget` does; print the CPU seconds of that alone.

The process is as the command's: the plan is read and the store open when the clock starts, and the receipt is signed
and written when it stops. What the first forgetting of a process loads or touches for the first time is counted.

Usage: python benchmarks/forget_row.py FOLDER KEY
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as `tillage forget` does, before Polars loads

import tillage.face.main  # noqa: F401  (the settings of the command's process)
from tillage.face.opening import open_project


def main() -> None:
    """Print what the forgetting cost; SystemExit when not exactly one record went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("key")
    given = parser.parse_args()
    with open_project(given.folder, ran=True) as project:
        begun = time.process_time()
        from tillage.promises import forget

        told, receipt = forget(project, "readings", key=[given.key])
        print(json.dumps({"cpu": time.process_time() - begun, "records": told["records"], "number": receipt["number"]}))
    if told["records"] != 1:
        raise SystemExit("one record was to go")


if __name__ == "__main__":
    main()
