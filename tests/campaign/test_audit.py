"""What `verify` proves: whatever of a finished run is changed, it names."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Answer, Place, RunOnDisk, clean_environment, noop, shell, wait_for

WORDS = ("run", "-b4", "-n2", "--job-size=2")
SCRIPT = 'seq "$1" $(($1 + $2 - 1)) > "$3"; echo "$1" > "$4"'
"""A payload that writes its numbers to its training file, and something as AOD."""

Entry = dict[str, Any]
Change = Callable[[RunOnDisk], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunOnDisk]:
    """Jobs 0 and 3 generate; 1, 2, 4 and 5 have a training file and an AOD each; 6 merges."""
    place = Place(tmp_path_factory.mktemp("audit"), clean_environment())
    words = ("{first_event}", "{events}", "{train}", "{output}")
    command = noop("/bin/sh", "-c", SCRIPT, "sh", *words)
    assert place.hvmpi(*WORDS, *command, f"--run-dir={place.run_dir}").code == 0
    yield place.run()
    place.leave()


@pytest.fixture
def run(place: Place, finished: RunOnDisk) -> RunOnDisk:
    """A copy of it that a test may spoil."""
    return RunOnDisk(shutil.copytree(finished.directory, place.run_dir / finished.timestamp))


def change(kind: str, number: int, edit: Callable[[Entry], object]) -> Change:
    """Edit the line of this kind and number; take it out where `edit` gives nothing back."""

    def carry_out(run: RunOnDisk) -> None:
        lines = [json.loads(line) for line in run.journal.read_text().splitlines()]
        row = [row for row, line in enumerate(lines) if line["type"] == kind][number]
        lines[row : row + 1] = edit(lines[row])  # type: ignore[call-overload]
        run.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))

    return carry_out


def setting(**values: object) -> Callable[[Entry], list[Entry]]:
    return lambda entry: [{**entry, **values}]


def without(product: str) -> Callable[[Entry], list[Entry]]:
    return lambda e: [{**e, "outputs": [row for row in e["outputs"] if row[0] != product]}]


def twice(entry: Entry) -> list[Entry]:
    return [entry, entry]


def gone(_: Entry) -> list[Entry]:
    return []


def added(name: str) -> Change:
    return lambda run: (run.directory / name).write_text("1\n") and None


def text(name: str, before: str, after: str) -> Change:
    def carry_out(run: RunOnDisk) -> None:
        path = run.directory / name
        old = path.read_text()
        assert before in old
        path.chmod(0o644)
        path.write_text(old.replace(before, after, 1))

    return carry_out


MANIFEST = "evnt/304795.4.1.evnt.txt.json"
CASES: dict[str, tuple[Change, str]] = {
    "no training file": (change("accepted", 1, without("train")), "names no train of it"),
    "no AOD": (change("accepted", 1, without("aod")), "names no aod of it"),
    "no event file": (change("accepted", 0, without("evnt")), "job 0 is done, .* no evnt of it"),
    "no merged file": (change("accepted", -1, without("merged")), "names no merged of it"),
    "fewer events": (change("accepted", 1, setting(events_out=1)), "done with 1 events of 2"),
    "another's file": (
        change("accepted", 2, lambda e: [{**e, "outputs": [[*e["outputs"][0][:2],
            e["outputs"][0][2].replace("2.2", "2.0"), *e["outputs"][0][3:]], *e["outputs"][1:]]}]),
        r"aod/304795.4.1.2.0.aod.txt is named as made by job 1 and by job 2",
    ),
    "a file of nobody's": (added("train/a.train.txt"), "a.train.txt is not of this run, .* away"),
    "a job's name": (added("aod/304795.4.1.2.0.train.txt"), "is called after job 1, and no line"),
    "a manifest of nobody's": (added("evnt/a.evnt.txt.json"), "a.evnt.txt.json is not of this"),
    "no first line": (change("run_begun", 0, gone), "line 1 of the journal .* not run_begun"),
    "begun twice": (change("run_begun", 0, twice), "line 2 .* begins a second time"),
    "accepted twice": (change("accepted", 1, twice), "attempt 1 was accepted before"),
    "published twice": (change("published", 1, twice), "none of its attempts was accepted"),
    "another attempt": (
        change("published", 1, setting(attempt=7)),
        r"line \d+ .* attempt 7 of job 1 is published, and attempt 1 was accepted",
    ),
    "other counts": (
        change("ended", 0, setting(done=6, left=1)),
        "ended with 6 jobs done, 0 failed and 1 left, the lines before it tell of 7, 0 and 0",
    ),
    "fewer events than planned": (
        change("event_file", 0, setting(events=3)),
        "line .* has 3 events, its generation jobs have 4",
    ),
    "a merge of fewer": (
        change("jobs", -1, setting(events=6, job_size=6)),
        "the jobs have 8 events, and the merge of their training files is planned for 6",
    ),
    "no manifest": (lambda run: (run.directory / MANIFEST).unlink(), "the manifest of an event"),
    "another manifest": (text(MANIFEST, '"events": 4', '"events": 5'), "says events 5, .* says 4"),
    "other settings in it": (
        text(MANIFEST, '"settings_hash": "', '"settings_hash": "0'),
        "tell of different settings",
    ),
    "edited settings": (
        text("settings.toml", "seed = 1\n", "seed = 2\n"),
        "settings.toml of run .* is not what the run was begun with",
    ),
    "no settings": (
        lambda run: (run.directory / "settings.toml").unlink(),
        "settings.toml' of the run cannot be read",
    ),
    "bad settings": (text("settings.toml", "seed = 1", "seed = ["), "settings.toml' is not TOML"),
    "no journal": (lambda run: run.journal.unlink(), "journal.jsonl' cannot be read"),
    "a bad line": (text("journal.jsonl", '{"type":"plan', "x"), r"line \d+ of the journal"),
    "a directory": (
        lambda run: (run.directory / "lock.json").mkdir(),
        "lock.json' cannot be read",
    ),
}  # fmt: skip


def verified(place: Place, run: RunOnDisk) -> tuple[Answer, list[str]]:
    answer = place.hvmpi("verify", run.timestamp)
    return answer, [line for line in answer.out.splitlines() if line.startswith("fault: ")]


def test_nothing_is_wrong_with_a_run_that_nobody_touched(place: Place, run: RunOnDisk) -> None:
    answer, faults = verified(place, run)
    assert (answer.code, faults, answer.err) == (0, [], "")


@pytest.mark.parametrize("case", CASES)
def test_what_was_changed_is_named(place: Place, run: RunOnDisk, case: str) -> None:
    spoil, sentence = CASES[case]
    spoil(run)
    answer, faults = verified(place, run)
    assert (answer.code, answer.err) == (1, "")
    assert any(re.search(sentence, fault) for fault in faults), answer.out


def test_a_wrong_command_line_is_no_fault(place: Place, run: RunOnDisk) -> None:
    assert run.directory.exists()
    assert place.hvmpi("verify", "20010101000000").code == 2
    assert place.hvmpi("verify", "--what").code == 2


def test_a_run_in_progress_is_looked_at_as_far_as_it_is(place: Place) -> None:
    """Its master's own unpublished files are no fault; what was published may be."""
    go_on = place.root / "go on"
    script = f'touch "$4"; while [ "$1" != 1 ] && [ ! -e "{go_on}" ]; do sleep 0.05; done'
    process = place.start("run", "-b4", "-n1", "--job-size=2", *shell(script))
    wait_for(lambda: place.runs() and place.runs()[0].journal.exists())
    run = place.run()
    wait_for(lambda: run.journal.read_text().count('"published"') == 2)
    part = run.directory / "aod/.304795.4.1.2.2.aod.txt.attempt1.part"
    part.touch()
    answer, faults = verified(place, run)
    assert (answer.code, faults) == (0, []), answer.out
    assert f"is in progress: process {process.pid} on " in answer.out
    assert "2 of 3 jobs are done" in answer.out
    (run.directory / "aod/304795.4.1.2.0.aod.txt").unlink()
    answer, faults = verified(place, run)
    assert (answer.code, len(faults)) == (1, 1), answer.out
    os.kill(process.pid, signal.SIGSTOP)
    try:
        run.journal.write_bytes(run.journal.read_bytes().partition(b"\n")[0] + b"\n")
        answer, faults = verified(place, run)
        assert (answer.code, faults) == (0, []), answer.out
        assert "in progress" in answer.out
    finally:
        os.kill(process.pid, signal.SIGCONT)
    go_on.touch()
    place.finish(process)
