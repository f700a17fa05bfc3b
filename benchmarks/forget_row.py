"""Forget one row of the table `readings`, by its key, as `tillage forget` does; print the CPU seconds of that alone.

The process is as it starts: what the first forgetting of a process makes libraries load, or touches for the first time,
is counted, up to where the receipt is signed and kept. So is loading the modules that only this command needs, which is
told besides. Reading the plan and opening the store are not.

Usage: python benchmarks/forget_row.py FOLDER KEY
"""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib import import_module
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as `tillage forget` does, before Polars loads

import tillage.face.main  # noqa: F401 - what it sets for the process of a command
from tillage.face.opening import open_project


def main() -> None:
    """Print what the forgetting cost; SystemExit when not exactly one record went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("key")
    given = parser.parse_args()
    with open_project(given.folder, ran=True) as project:
        opened = time.process_time()
        forget = import_module("tillage.promises.forgetting").forget
        begun = time.process_time()
        told, receipt = forget(project, "readings", key=[given.key])
        ended = time.process_time()
    print(json.dumps({"cpu": ended - opened, "loading": begun - opened, "receipt": receipt["number"]}))
    if told["records"] != 1:
        raise SystemExit("one record was to go")


if __name__ == "__main__":
    main()
