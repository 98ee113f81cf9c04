"""Whether a host is fit for a chain: CVMFS answers, releases set up, there is room and memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import psutil

from hvmpi.athena.chain import Chain
from hvmpi.athena.script import SETUP_FAILED, StepScript, atlas_container, site_binds
from hvmpi.athena.tags import Tag
from hvmpi.engine import Check
from hvmpi.files import write_private
from hvmpi.guardian import Guardian, telling
from hvmpi.hosts import usable_cores
from hvmpi.session import end_session
from hvmpi.settings import Settings

__all__ = ["examine"]

_Ended = tuple[int | None, str]
"""An exit code, None if it took too long, and what was said."""
_Run = Callable[[Sequence[str], dict[str, str], float], _Ended]

_ANSWER_S = 20.0
_PAUSE_S = 0.02


def examine(
    settings: Settings,
    chain: Chain,
    environment: Callable[[Tag, Path], dict[str, str]],
    timeout: float,
) -> Iterator[Check]:
    """Look at this host, at all things at once.

    Parameters
    ----------
    settings : Settings
    chain : Chain
    environment : callable
        Gives the environment of a step of a tag in a directory.
    timeout : float
        Seconds in which all must have been looked at.

    Yields
    ------
    Check
    """
    deadline = time.monotonic() + timeout
    site = settings.site
    scratch = Path(settings.tmp_dir or settings.run_dir)
    there = next(path for path in (scratch, *scratch.parents) if path.exists())
    images = {tag.container: tag for tag in chain.tags if tag.container}
    guardian = Guardian()
    listening = guardian.listen()

    def run(argv: Sequence[str], environment: dict[str, str], seconds: float) -> _Ended:
        return _run(argv, environment, seconds, guardian, listening)

    looks: list[Callable[[], Check]] = [
        *(partial(_answers, directory, deadline, run) for directory in site.cvmfs),
        *([partial(_readable, site.setup_script)] if site.setup_script else []),
        *(
            partial(_container, tag.container, settings, environment(tag, there).get("PATH"))
            for tag in images.values()
        ),
    ]
    room = _room(scratch, there, site.scratch_gb)
    yield from (room, _cores(settings, chain), _memory(settings, chain))
    with contextlib.ExitStack() as stack:
        if room.good:
            directory = tempfile.TemporaryDirectory(
                prefix=".hvmpi-preflight-", dir=there, ignore_cleanup_errors=True
            )
            place = Path(stack.enter_context(directory))
            looks += (
                partial(_release, tag, settings, environment, place, deadline, run)
                for tag in _releases(chain)
            )
        yield from _at_once(looks)


def _at_once(looks: Sequence[Callable[[], Check]]) -> Iterator[Check]:
    """Look at all things at once, in threads that keep no process from its end."""

    def settle(future: Future[Check], look: Callable[[], Check]) -> None:
        try:
            future.set_result(look())
        except Exception as error:
            future.set_exception(error)

    futures: list[Future[Check]] = [Future() for _ in looks]
    for pair in zip(futures, looks, strict=True):
        threading.Thread(target=settle, args=pair, daemon=True).start()
    yield from (future.result() for future in futures)


def _releases(chain: Chain) -> Sequence[Tag]:
    """Give a tag for each release with its container and transforms."""
    seen: dict[tuple[str, str, str], Tag] = {}
    for tag in chain.tags:
        seen.setdefault((tag.release, tag.container, tag.transform), tag)
    return list(seen.values())


def _answers(directory: str, deadline: float, run: _Run) -> Check:
    name = f"directory {directory}"
    # A file system that hangs holds whoever asks it: another process asks.
    left = min(_ANSWER_S, max(deadline - time.monotonic(), 0.1))
    code, _ = run(["ls", "--", directory], dict(os.environ), left)
    if code is None:
        return Check(name, False, f"does not answer in {left:.0f} s; see that it is mounted")
    if code:
        return Check(name, False, "cannot be listed; see that it is mounted")
    return Check(name, True, "answers")


def _readable(script: str) -> Check:
    good = os.access(script, os.R_OK)
    return Check(f"setup-script {script}", good, "there" if good else "cannot be read")


def _container(image: str, settings: Settings, path: str | None) -> Check:
    name, runtime = f"container {image}", settings.site.container_runtime
    if atlas_container(settings.site):
        return Check(name, True, "started by atlasLocalSetup.sh")
    found = shutil.which(runtime, path=path)
    if found is None:
        why = f"there is no container runtime {runtime!r} in {path}; install it, or give its path"
        return Check(name, False, why)
    if image.startswith("/") and not Path(image).exists():
        return Check(name, False, "the image is not there")
    return Check(name, True, f"{found}")


def _release(
    tag: Tag,
    settings: Settings,
    environment: Callable[[Tag, Path], dict[str, str]],
    place: Path,
    deadline: float,
    run: _Run,
) -> Check:
    name = f"release {tag.release}"
    folder = place / f"{tag.name}.scripts"
    directory = place / tag.name
    for path in (folder, directory):
        path.mkdir()
    script = StepScript(
        name=tag.name,
        title=f"is {tag.release} there?",
        directory=directory,
        folder=folder,
        release=tag.release,
        argv=(tag.transform,),
        environment=environment(tag, directory),
        site=settings.site,
        container=tag.container,
        binds=(str(place), *site_binds(settings.site)),
        only_set_up=True,
    )
    for path, text in script.files().items():
        write_private(path, text)
    left = max(deadline - time.monotonic(), 0.1)
    code, said = run(script.command, dict(script.environment), left)
    failed = directory / SETUP_FAILED
    if code is None:
        return Check(name, False, f"was not set up in {left:.0f} s")
    if failed.is_file():
        return Check(name, False, failed.read_text(errors="replace").strip())
    if code:
        last = said.strip().splitlines()[-1:] or [""]
        return Check(name, False, f"its set-up ended with code {code}: {last[0]}")
    return Check(name, True, f"set up, with {tag.transform}")


def _run(
    argv: Sequence[str],
    environment: dict[str, str],
    seconds: float,
    guardian: Guardian,
    listening: int,
) -> _Ended:
    """Run a command, of which nothing is left whatever becomes of this process."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*telling(), *argv],
            env=environment,
            stdin=listening,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        guardian.opened(process.pid)
        deadline = time.monotonic() + seconds
        # As long as we do not wait for it, the session's number is no other's.
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (over := os.waitid(os.P_PID, process.pid, how)) is None:
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE_S)
        end_session(process.pid)
        guardian.closed(process.pid)
        # One that hangs in a file system cannot be waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        output.seek(0)
        said = output.read().decode(errors="replace")
        return None if over is None else process.returncode, said


def _room(scratch: Path, there: Path, needed_gb: float) -> Check:
    if not os.access(there, os.W_OK):
        return Check("scratch", False, f"{there} cannot be written")
    free = shutil.disk_usage(there).free / 1e9
    found = f"{scratch}, {free:.1f} GB free"
    if free < needed_gb:
        return Check("scratch", False, f"{found}, {needed_gb:g} are needed (scratch-gb)")
    return Check("scratch", True, found)


def _most_cores(chain: Chain) -> int:
    return max(tag.cores for tag in chain.tags)


def _cores(settings: Settings, chain: Chain) -> Check:
    have, needed = usable_cores(), _most_cores(chain)
    may = min(have, settings.host_cores or have)
    found = f"{have} usable" + (f", {settings.host_cores} may be used" if may < have else "")
    if may < needed:
        return Check("cores", False, f"{found}, a job needs {needed}")
    return Check("cores", True, found)


def _memory(settings: Settings, chain: Chain) -> Check:
    have = psutil.virtual_memory().total / 1e9
    needed = settings.site.memory_gb * _most_cores(chain)
    found = f"{have:.1f} GB"
    if have < needed:
        return Check("memory", False, f"{found}, a job needs {needed:g} (memory-gb)")
    return Check("memory", True, found)
