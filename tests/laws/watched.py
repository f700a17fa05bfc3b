"""A full run under an audit hook: what is compiled, executed, unpickled or started from data is told on stderr.

`python watched.py WARM FOLDER`: everything is imported by a run of WARM first, since imports execute code, too.
"""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import CodeType
from typing import Any

FORBIDDEN = {"pickle.find_class", "marshal.loads", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"}
found: list[str] = []
armed = False


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    if not armed:
        return
    if event == "import":
        found.append(f"import {arguments[0]}")  # all that runs is there: what comes now comes of data
    elif event in FORBIDDEN:
        found.append(f"{event} {arguments!r:.200}")
    elif event == "compile":
        found.append(f"compile {arguments[0]!r:.200}")
    elif event == "exec":
        code = arguments[0]
        found.append(f"exec {code.co_filename if isinstance(code, CodeType) else code!r:.200}")


def everything(folder: str) -> None:
    from tests.flow.world import digests
    from tillage.face.rooms import project
    from tillage.store.verify import verify

    with project(Path(folder)) as p:
        digests(p, p.run())
        data = Path(folder) / "data" / "base.csv"
        data.write_text(data.read_text(encoding="utf-8") + "999,ant __import__('os'),Ulm,0.5,1\n", encoding="utf-8")
        digests(p, p.run())
        for model in p.plan.models:
            p.model(model).apply(p.read("clean"))
            p.report(model)
        assert not verify(p.store).findings


def main(warm: str, folder: str, planted: str = "") -> None:
    global armed  # noqa: PLW0603 - a hook cannot be taken away again
    sys.addaudithook(listen)
    everything(warm)
    armed = True
    everything(folder)
    if planted:
        vars(builtins)["eval"](planted)  # the hook itself is tried
    armed = False
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
