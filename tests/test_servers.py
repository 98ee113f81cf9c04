"""Payload servers: what they start, warm and cold, what becomes of it, and of themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hvmpi import payload_server
from hvmpi.campaign.jobs import FailureClass, Outcome
from hvmpi.campaign.paths import AttemptPaths
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.run import begin_run
from hvmpi.engine import Step, Warm, make_engine
from hvmpi.environment import child_environment
from hvmpi.execution import Execution
from hvmpi.guardian import Guardian
from hvmpi.messages import Assign, Report
from hvmpi.payload import Payload, PayloadResult
from hvmpi.servers import PayloadServer, Servers
from hvmpi.session import MARK
from hvmpi.settings import load
from tests.conftest import Place, result_of, wait_for
from tests.test_worker import Bench, bench_of

STEP = """
import ctypes, json, os, signal, subprocess, sys, tempfile, time
loaded = []

def load(*words):
    loaded.append(list(words))
    tempfile.gettempdir()

def fail():
    raise ImportError("nothing of the kind is installed")

def die():
    os._exit(3)

def hang():
    time.sleep(600)

def thread():
    import threading
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

def see(output):
    print("said")
    seen = {
        "environment": dict(os.environ),
        "argv": sys.argv[1:],
        "stdin": os.path.realpath("/proc/self/fd/0"),
        "handles": len(os.listdir("/proc/self/fd")),
        "directory": os.getcwd(),
        "temporary": tempfile.gettempdir(),
        "nice": os.nice(0),
        "umask": os.umask(0),
        "session": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "signals": [str(signal.getsignal(n)) for n in (2, 10, 13, 15, 17)],
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "flags": list(sys.flags),
        "path": sys.path[1:],
    }
    json.dump(seen, open(output, "w"))

def main(argv):
    what, *words = argv
    if what == "see":
        see(*words)
    elif what == "loaded":
        print(json.dumps(loaded), os.getppid())
    elif what == "crash":
        ctypes.string_at(0)
    elif what == "raise":
        print("half a line", end="")
        raise RuntimeError("an error")
    elif what == "leave":
        sys.exit("a complaint")
    elif what == "print":
        ctypes.CDLL(None).puts(b"from C")
        print("from Python")
        return 5
    elif what == "fail":
        fail()
    elif what == "sleep":
        subprocess.Popen(["sleep", "600"])
        open("begun", "w")
        time.sleep(600)
    return 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def paths(paths: AttemptPaths, tmp_path: Path) -> AttemptPaths:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "the_step.py").write_text(STEP)
    return paths


def step_of(paths: AttemptPaths, *words: str, load: tuple[tuple[str, ...], ...] = ()) -> Step:
    environment = {"PYTHONPATH": str(paths.tmp.parent / "modules"), "LC_ALL": "C.UTF-8"}
    argv = (sys.executable, "-P", "-m", "the_step", *words)
    return Step("a", argv, environment, warm=Warm("the_step", words, load))


def start(step: Step, paths: AttemptPaths, servers: Servers, timeout: float = 60.0) -> Execution:
    return Execution(step, paths, servers=servers, timeout=timeout)


def result(execution: Execution) -> PayloadResult:
    deadline = time.monotonic() + 60.0
    while (ended := execution.poll()) is None:
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.01)
    return ended


def log_of(paths: AttemptPaths) -> str:
    text = paths.step_log("a").read_text()
    paths.step_log("a").unlink()
    return text


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# Warm and cold


def test_a_warm_step_sees_what_a_cold_one_sees(
    paths: AttemptPaths, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    seen = []
    for _ in range(2):
        step = step_of(paths, "see", "seen.json", load=(("the_step", "load"),))
        for each in (step, replace(step, warm=None)):
            assert result(start(each, paths, servers)).exit_code == 0
            assert log_of(paths) == "said\n"
            seen.append(json.loads((paths.tmp / "seen.json").read_text()))
            assert seen[-1]["environment"].pop(MARK)
        # Another attempt, another directory.
        paths = AttemptPaths(logs=paths.logs, tmp=paths.tmp.with_name("other"))
        paths.tmp.mkdir(exist_ok=True)
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert seen[2]["temporary"] == seen[2]["directory"] == str(paths.tmp)
    assert seen[2]["directory"] != seen[0]["directory"]
    assert "OMPI_COMM_WORLD_RANK" not in seen[0]["environment"]


@pytest.mark.parametrize("what", ["crash", "raise", "leave", "print", "fail"])
def test_a_warm_step_ends_as_a_cold_one(paths: AttemptPaths, servers: Servers, what: str) -> None:
    step = step_of(paths, what, load=(("the_step", "fail"),))
    warm, said = result(start(step, paths, servers)), log_of(paths)
    cold = result(start(replace(step, warm=None), paths, servers))
    assert warm.exit_code == cold.exit_code != 0
    last = [text.splitlines()[-1:] for text in (said, log_of(paths))]
    assert last[0] == last[1]
    # A crash costs the child, not the server.
    assert result(start(step_of(paths, "loaded"), paths, servers)).exit_code == 0


def test_what_is_loaded_is_loaded_once_and_anew_where_it_changes(
    paths: AttemptPaths, servers: Servers
) -> None:
    said = []
    for call in (("load", "1"), ("load", "1"), ("again", "2"), ("load", "3")):
        module = paths.tmp.parent / "modules" / "the_step.py"
        module.write_text(STEP + "\nagain = load\n")
        step = step_of(paths, "loaded", load=(("the_step", *call),))
        assert result(start(step, paths, servers)).exit_code == 0
        loaded, _, server = log_of(paths).strip().rpartition(" ")
        said.append((json.loads(loaded), server))
    assert [loaded for loaded, _ in said] == [[["1"]], [["1"]], [["1"], ["2"]], [["3"]]]
    assert len({server for _, server in said[:3]}) == 1
    assert said[3][1] != said[0][1]


def test_another_environment_gets_another_server(paths: AttemptPaths, servers: Servers) -> None:
    step = step_of(paths, "loaded")
    others = replace(step, environment={**step.environment, "X": "1"})
    parents = []
    for each in (step, others):
        assert result(start(each, paths, servers)).exit_code == 0
        parents.append(log_of(paths))
    assert parents[0] != parents[1]


def test_what_dies_while_it_loads_is_replaced_by_programs(
    paths: AttemptPaths, servers: Servers
) -> None:
    step = step_of(paths, "print", load=(("the_step", "die"),))
    first = result(start(step, paths, servers))
    assert (first.lost, first.exit_code) == (True, -9)
    assert result(start(step, paths, servers)).exit_code == 5


def test_what_hangs_while_it_loads_is_out_of_time(paths: AttemptPaths, servers: Servers) -> None:
    step = step_of(paths, "print", load=(("the_step", "hang"),))
    ended = result(start(step, paths, servers, 0.5))
    assert (ended.timed_out, ended.lost, ended.stuck) == (True, False, False)
    assert result(start(step, paths, servers)).exit_code == 5


def test_what_has_threads_is_not_forked(paths: AttemptPaths, servers: Servers) -> None:
    step = step_of(paths, "loaded", load=(("the_step", "load"), ("the_step", "thread")))
    assert result(start(step, paths, servers)).exit_code == 0
    assert log_of(paths).startswith("[] ")


@pytest.mark.parametrize("how", ["stop", "timeout"])
def test_a_warm_step_is_ended_with_its_children(
    paths: AttemptPaths, servers: Servers, how: str
) -> None:
    execution = start(step_of(paths, "sleep"), paths, servers, 3.0 if how == "timeout" else 60.0)
    wait_for((paths.tmp / "begun").exists)
    (server,) = execution.wakes()
    family = psutil.Process(server.pid).children(recursive=True)
    assert len(family) == 2
    if how == "stop":
        execution.stop()
    ended = result(execution)
    assert (ended.stopped, ended.timed_out) == (how == "stop", how == "timeout")
    assert ended.exit_code == -signal.SIGTERM
    assert all(map(gone, family))


def test_the_memory_of_a_warm_step_is_watched(paths: AttemptPaths, servers: Servers) -> None:
    module = paths.tmp.parent / "modules" / "the_step.py"
    grows = "\ndef main(argv):\n    x = bytearray(300 << 20)\n    time.sleep(600)\n"
    module.write_text(STEP + grows)
    step = step_of(paths, "grow")
    execution = Execution(step, paths, servers=servers, timeout=60.0, memory_mb=100)
    ended = result(execution)
    assert 100 < ended.over_mb < 400
    assert "job-memory is 100 MB" in execution.lack_of_memory(ended)


# Ends

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", sys.argv[1]], {})
    os._exit(0)
os.wait()
open("begun", "w")
time.sleep(float(sys.argv[2]))
"""
"""A daemon that nothing but the kernel knows whose it is."""


def daemon(tmp_path: Path, server: PayloadServer, lasts: str) -> Payload:
    return Payload(
        (sys.executable, "-S", "-c", DAEMON, "3217", lasts),
        environment=child_environment(tmp_path, {}),
        directory=tmp_path,
        log=tmp_path / "log",
        timeout=60.0,
        server=server,
    )


def daemons() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["cmdline"] == ["sleep", "3217"] and process.info["status"] != "zombie"
    ]


@pytest.mark.parametrize("how", ["ends", "stop", "dismissed"])
def test_a_daemon_ends_with_its_payload(tmp_path: Path, how: str) -> None:
    server = PayloadServer(Guardian())
    payload = daemon(tmp_path, server, "1" if how == "ends" else "600")
    wait_for((tmp_path / "begun").exists)
    wait_for(daemons)
    if how == "dismissed":
        server.close()
    else:
        if how == "stop":
            payload.stop()
        result_of(payload)
    assert daemons() == []
    server.close()


def test_a_daemon_ends_when_the_worker_is_killed(tmp_path: Path) -> None:
    script = f"""
        import time
        from pathlib import Path
        from hvmpi.guardian import Guardian
        from hvmpi.servers import PayloadServer
        from tests.test_servers import daemon
        payload = daemon(Path({str(tmp_path)!r}), PayloadServer(Guardian()), "600")
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)]) as worker:
        wait_for((tmp_path / "begun").exists)
        wait_for(daemons)
        worker.kill()
    wait_for(lambda: not daemons(), 10.0)


def test_a_server_that_is_stopped_does_not_keep_a_payload_from_its_end(tmp_path: Path) -> None:
    server = PayloadServer(Guardian())
    payload = Payload(
        ("sleep", "600"),
        environment=child_environment(tmp_path, {}),
        directory=tmp_path,
        log=tmp_path / "log",
        timeout=60.0,
        server=server,
    )
    wait_for(lambda: payload.poll() is None and payload.pid)
    sleeper = psutil.Process(payload.pid)
    os.kill(server.pid, signal.SIGSTOP)
    payload.stop()
    ended = result_of(payload)
    assert (ended.stopped, ended.stuck) == (True, False)
    wait_for(lambda: gone(sleeper))
    assert not server.usable


def test_a_server_has_nothing_of_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PMIX_RANK", "1")
    server = PayloadServer(Guardian())
    payload = daemon(tmp_path, server, "600")
    wait_for((tmp_path / "begun").exists)
    process = psutil.Process(server.pid)
    assert process.environ().keys() <= {MARK, "PWD", "LC_CTYPE", "OLDPWD", "SHLVL", "_"}
    assert os.getsid(server.pid) == server.pid
    assert process.cwd() == "/"
    assert process.memory_info().rss < 20 << 20
    payload.stop()
    result_of(payload)
    server.close()


@pytest.mark.parametrize("program", ["no interpreter", "directory", "log"])
def test_what_cannot_be_started_is_an_error_and_the_next_one_starts(
    tmp_path: Path, program: str
) -> None:
    server = PayloadServer(Guardian())
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o700)
    given = {
        "no interpreter": (str(script), tmp_path, tmp_path / "log"),
        "directory": ("true", tmp_path / "none", tmp_path / "log"),
        "log": ("true", tmp_path, tmp_path / "none" / "log"),
    }

    def run(argv: str, directory: Path, log: Path) -> PayloadResult:
        return result_of(
            Payload(
                (argv,),
                environment=child_environment(tmp_path, {}),
                directory=directory,
                log=log,
                timeout=60.0,
                server=server,
            )
        )

    with pytest.raises(FileNotFoundError):
        run(*given[program])
    assert run("true", tmp_path, tmp_path / "log").exit_code == 0
    server.close()


def test_a_script_without_its_first_line_is_one_of_the_shell(tmp_path: Path) -> None:
    server = PayloadServer(Guardian())
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 4\n')
    script.chmod(0o700)
    payload = Payload(
        (str(script), "a word"),
        environment=child_environment(tmp_path, {}),
        directory=tmp_path,
        log=tmp_path / "log",
        timeout=60.0,
        server=server,
    )
    assert result_of(payload).exit_code == 4
    assert (tmp_path / "log").read_text() == "a word\n"
    server.close()


# With a worker


def test_a_server_that_is_killed_costs_a_lost_attempt_and_is_replaced(place: Place) -> None:
    script = (
        '[ "$2" = 2 ] || { setsid sleep 600 & echo $! > child; touch begun; wait; }; touch "$4"'
    )
    bench = bench_of(place, script)
    bench.welcome()
    bench.end.send(1, Assign(bench.job()))
    begun = bench.run.paths.attempt(0, 1).tmp / "begun"
    wait_for(lambda: [bench.worker.step()] and begun.exists())
    (server,) = bench.worker.wakes()
    family = psutil.Process(server.pid).children(recursive=True)
    assert len(family) == 2
    os.kill(server.pid, signal.SIGKILL)
    report = bench.answer()
    assert isinstance(report, Report)
    assert (report.outcome, report.failure) == (Outcome.SETUP_FAILED, FailureClass.PASSING)
    assert "was killed" in report.reason
    assert all(map(gone, family))
    assert bench.report(bench.job(0, attempt=2)).outcome is Outcome.DONE


@pytest.mark.parametrize("cold", [False, True])
def test_steps_of_ours_are_warm_unless_they_are_to_be_cold(place: Place, cold: bool) -> None:
    words = ["--engine=noop", "-n1", "-b3", f"--run-dir={place.run_dir}"]
    settings = load("generate", [*words, *(["--cold"] if cold else [])])
    engine = make_engine(settings)
    bench = Bench(begin_run(settings, engine, make_plan(settings, engine)))
    bench.welcome()
    before = set(psutil.Process().children())
    (output,) = bench.report(bench.job()).outputs
    assert (bench.run.paths.directory / output.part).read_text() == "1\n2\n3\n"
    begun = [child.cmdline() for child in set(psutil.Process().children()) - before]
    assert any("hvmpi.payload_server" in words for words in begun) == (not cold)
    assert any(payload_server.__file__ in words for words in begun) == cold
