"""A server of two workers is one server: one log, one number, one version after a rollback, one end in good order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve import running
from tests.serve.clients import ROW, asked, end_under_load, load, nothing_old_was_lost, nothing_was_dropped
from tests.serve.running import LEARNER, Server, lay, stored, tillage, until
from tests.serve.test_routing import PLAN
from tillage.serve.metrics import Metrics, summed


def workers_of(server: Server) -> list[int]:
    """The processes that answer."""
    told = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)], capture_output=True, text=True, check=False
    ).stdout
    return [int(line.split()[0]) for line in told.splitlines() if "serving_worker" in line]


def numbers(server: Server) -> dict[str, float]:
    from prometheus_client.parser import text_string_to_metric_families

    _, text, _ = server.ask("GET", "/metrics")
    return {
        s.name + str(sorted(s.labels.items())): s.value
        for f in text_string_to_metric_families(text.decode())
        for s in f.samples
    }


def spent(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "PLAN", PLAN)
        return lay(tmp_path_factory.mktemp("workers"))


@pytest.fixture
def folder(laid: Path, tmp_path: Path) -> Path:
    """The project, for a server of its own."""
    return Path(shutil.copytree(laid, tmp_path / "own", ignore=shutil.ignore_patterns("locks", "predictions")))


@pytest.fixture(scope="module")
def served(laid: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = Path(shutil.copytree(laid, tmp_path_factory.mktemp("served") / "own"))
    with Server(folder, "--workers", "2") as server:
        yield server
        assert server.end() == 0


def test_both_answer_and_their_numbers_and_their_log_are_one(served: Server) -> None:
    before = numbers(served)
    pids = workers_of(served)
    assert len(pids) == 2
    had = {pid: spent(pid) for pid in pids}
    with load(served, 4) as clients:
        until(lambda: all(spent(pid) - had[pid] > 0.03 for pid in pids))
        assert [client.failed for client in clients] == [[]] * 4
    given = {v["predictions"][0]["id"] for client in clients for _, v in client.told}
    name = "tillage_predictions_total[('service', 'desk')]"
    assert numbers(served)[name] - before.get(name, 0) == len(given), "whichever is asked"
    assert numbers(served)["tillage_request_seconds_count[('service', 'desk')]"] >= len(given)
    assert numbers(served)["tillage_model_version[('service', 'desk')]"] == 1
    assert numbers(served)["tillage_predictions_unlogged[]"] == 0
    until(lambda: given <= set(stored(served.folder)["id"]), 3)


def test_a_label_is_kept_by_whichever_worker_it_comes_to(served: Server) -> None:
    labelled = {}
    for n in range(40):  # a connection each: some labels come to the worker that did not answer
        [made] = served.predict(ROW)["predictions"]
        status, value, _ = served.ask("POST", "/feedback", {"id": made["id"], "label": n})
        assert (status, value) == (200, {"accepted": 1})
        labelled[made["id"]] = str(n)
    there = dict(stored(served.folder).select("id", "label").rows())  # at once: what a label is of stands before it
    assert {name: there[name] for name in labelled} == labelled


def test_canary_and_shadow_are_of_each_worker(served: Server) -> None:
    told = {}
    for n in range(60):
        answer = served.predict({"size": 1.0, "text": f"person {n}"}, name="split")
        told[n] = answer["model"]
    assert set(told.values()) == {"double", "triple"}
    for n in range(0, 60, 5):
        assert served.predict({"size": 1.0, "text": f"person {n}"}, name="split")["model"] == told[n]
    made = [served.predict(ROW, name="behind")["predictions"][0]["id"] for _ in range(20)]
    shadows = {f"{int(name, 16) + (1 << 31):032x}" for name in made}
    until(lambda: shadows <= set(stored(served.folder)["id"]))


def test_swaps_and_rollbacks_reach_all_before_they_are_told(folder: Path) -> None:
    with Server(folder, "--workers", "2") as server:
        with load(server, 3) as clients:
            plan = folder / "tillage.yaml"
            plan.write_text(plan.read_text().replace("factor: 2", "factor: 3"))
            tillage(folder, "run", "double")
            until(lambda: bool(clients[0].told) and all(c.told[-1][1]["version"] == 2 for c in clients if c.told))
            for n in range(6):
                version = 1 + n % 2
                status, _, _ = server.ask("POST", "/v1/services/desk/rollback", {"version": version})
                assert status == 200
                for _ in range(8):  # a connection each
                    assert server.predict(ROW)["version"] == version
            tillage(folder, "rollback", "desk", "--to", "1")
            until(lambda: {server.predict(ROW)["version"] for _ in range(8)} == {1})
        assert [client.failed for client in clients] == [[]] * 3
        answers = {(v["version"], v["predictions"][0]["prediction"]) for c in clients for _, v in c.told}
        assert answers == {(1, 5.0), (2, 7.5)}, "each reply is of one version"
        assert server.said().count("split: version 2 of double answers now") == 1, "not once for each worker"
        assert server.end() == 0


def test_sigterm_under_load_drops_nothing(folder: Path) -> None:
    with Server(folder, "--workers", "2") as server:
        with load(server, 4) as clients:
            until(lambda: asked(clients) > 60)
            end_under_load(server)
        nothing_was_dropped(clients, folder)
        assert not list((folder / ".tillage" / "predictions").iterdir())
    assert json.loads(tillage(folder, "verify", "--json"))["ok"]


@pytest.mark.parametrize("whole", [True, False])
def test_kill_9_loses_no_acknowledged_label_and_nothing_older_than_a_second(whole: bool, folder: Path) -> None:
    with Server(folder, "--workers", "2") as server:
        with load(server, 3, labels=True) as clients:
            until(lambda: asked(clients) > 20)
            time.sleep(1.6)
            pids = workers_of(server)
            killed = time.monotonic()
            if whole:
                os.kill(server.process.pid, signal.SIGKILL)
                server.process.wait()
                until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 12)  # they end with it
            else:
                os.kill(pids[0], signal.SIGKILL)
                until(lambda: len(set(workers_of(server)) - set(pids)) == 1)  # it is started again
                until(lambda: server.ask("GET", "/v2/health/ready")[0] == 200)
        if not whole:
            assert server.predict(ROW)["predictions"][0]["prediction"] == 5.0
            assert "is started again" in server.said()
            time.sleep(1.4)
        assert nothing_old_was_lost(clients, folder, killed)


SLOW = """
import os, pathlib, sys
if "tillage.face.serving_worker" in sys.orig_argv:
    pathlib.Path(f"{os.getpid()}.worker").touch()
    while len(found := [int(path.stem) for path in pathlib.Path().glob("*.worker")]) < 2:
        time.sleep(0.01)
    if os.getpid() == min(found):
        time.sleep(3)
"""
"""Worker 1 is behind the other."""


@pytest.mark.parametrize("more", ["", SLOW])
def test_what_cannot_be_served_is_said_once(more: str, folder: Path) -> None:
    (folder / "own.py").write_text(LEARNER + more)
    tillage(folder, "run")
    with pytest.raises(AssertionError, match="more than --memory 10") as error:
        tillage(folder, "serve", "--port", "0", "--workers", "2", "--memory", "20")
    assert str(error.value).count("more than --memory") == 1


def test_numbers_of_workers_are_summed_as_their_kinds_want_it() -> None:
    one, two = Metrics(), Metrics()
    for metrics, rows, version in ((one, 2, 1), (two, 5, 3)):
        metrics.answered("desk", rows, 1, 0.002 * rows)
        metrics.answers("desk", version)
        metrics.unlogged(9)
    two.refused(404)
    lines = dict(line.rpartition(" ")[::2] for line in summed([one.text(), two.text()], {}).decode().splitlines())
    assert float(lines['tillage_predictions_total{service="desk"}']) == 5
    assert float(lines['tillage_request_seconds_count{service="desk"}']) == 2
    assert float(lines['tillage_request_seconds_bucket{le="0.005",service="desk"}']) == 1
    assert float(lines['tillage_model_version{service="desk"}']) == 3
    assert float(lines['tillage_refused_total{status="404"}']) == 1
    made = [float(v) for k, v in lines.items() if k.startswith("tillage_predictions_created")]
    assert made == [min(_created(one), _created(two))]
    told = summed([one.text(), two.text()], {"tillage_predictions_unlogged": 4}).decode()
    assert "tillage_predictions_unlogged 4" in told
    heads = [line for line in told.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def _created(metrics: Metrics) -> float:
    lines = metrics.text().decode().splitlines()
    return float(next(line for line in lines if line.startswith("tillage_predictions_created{")).split()[-1])
