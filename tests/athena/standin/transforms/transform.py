#!/usr/bin/python3 -ESs
"""Stand-in of athena's transforms, called as Gen_tf.py, Sim_tf.py, Reco_tf.py...

Does what the job-transform framework was seen to do, with files that have nothing but event numbers
in them; misbehaves where a rule of ``state/behaviour.json`` says so. Records each call in
``state/calls.jsonl``.
"""

import argparse
import json
import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import calls
import rootfile
from report import Executor, OutputFile, Report, TransformError

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE.parents[1] / "state" / "templates"

ACRONYMS = {
    4: "TRF_ARG_CONV_FAIL",
    5: "TRF_ARG_OUT_OF_RANGE",
    9: "TRF_INPUT_FILE_ERROR",
    15: "TRF_NOEVENTS",
    37: "TRF_RUNTIME_ERROR",
    38: "TRF_EXEC_VALIDATION_EVENTCOUNT",
    39: "TRF_DBRELEASE_PROBLEM",
    65: "TRF_EXEC_FAIL",
    66: "TRF_EXEC_VALIDATION_FAIL",
    67: "TRF_EXEC_TIMEOUT",
    68: "TRF_EXEC_LOGERROR",
    69: "TRF_EXEC_SETUP_FAIL",
    70: "TRF_EXEC_SETUP_WRAPPER",
    251: "TRF_UNEXPECTED_OTHER",
}
BAD_LINE = re.compile(
    r"^\S+\s+\S+\s+(ERROR|CRITICAL|FATAL|CATASTROPHE)\b|std::bad_alloc|Error in <TFile::ReadBuffer>"
)
RANGES = {"randomSeed": (0, 30081**2), "jobNumber": (1, 2**31 - 1)}
SWITCHES = {"true": True, "false": False, "1": True, "0": False}
DERIVED = {"Reco_tf.py": "reductionConf", "Derivation_tf.py": "formats"}
EXACT_FORMATS = ("PHYS", "PHYSLITE")


def whole(text: str) -> int:
    return int(text.rpartition(":")[2])


def real(text: str) -> float:
    return float(text.rpartition(":")[2])


def switch(text: str) -> bool:
    try:
        return SWITCHES[text.rpartition(":")[2].lower()]
    except KeyError:
        raise ValueError(text) from None


CONVERTERS = {"Int": whole, "Float": real, "Bool": switch}


def parse(transform: str, argv: list[str]) -> dict[str, list[str]]:
    """Read arguments as text; an unknown one ends the process with code 2."""
    kinds = json.loads((HERE / "arguments.json").read_text())
    kinds = kinds[transform.removesuffix(".py").replace("Generate_tf", "Gen_tf")]
    parser = argparse.ArgumentParser(prog=transform)
    words = {word.partition("=")[0] for word in argv if word.startswith("--")}
    for name, kind in kinds.items():
        # All of them would take longer than all the rest; argparse knows abbreviations.
        if not any(f"--{name}".startswith(word) for word in words):
            continue
        kind, _, count = kind.partition(" nargs=")
        if count == "0":
            parser.add_argument(f"--{name}", action="store_const", const=["True"])
        else:
            parser.add_argument(f"--{name}", nargs=count or 1)
    given = {name: value for name, value in vars(parser.parse_args(argv)).items() if value}
    given = {name: [value] if isinstance(value, str) else value for name, value in given.items()}
    for name, values in given.items():
        converter = CONVERTERS.get(re.sub(r"arg(Substep)?(\w+).*", r"\2", kinds[name]))
        for value in values if converter else ():
            try:
                converter(value)
            except ValueError:
                msg = f"Failed to convert value {value!r} of argument {name}"
                raise TransformError(4, msg) from None
    for name, (least, most) in RANGES.items():
        if not least <= number(given, name, least) <= most:
            raise TransformError(5, f"{name} is not from {least} to {most}")
    return given


def substeps(transform: str, given: dict[str, list[str]]) -> list[str]:
    """Name the substeps, which depend on the release."""
    if transform == "Sim_tf.py":
        return ["EVNTtoHITS"]
    if transform == "Derivation_tf.py":
        return ["Derivation"]
    if transform != "Reco_tf.py":
        return ["generate"]
    if "outputDAODFile" in given:
        return ["AODtoDAOD"]
    release = int(os.environ.get("STANDIN_RELEASE", "24").partition(".")[0])
    trigger = any("doRDO_TRIG" in value for value in given.get("steering", ()))
    steps = ["HITtoRDO"] if "inputHITSFile" in given else []
    steps += ["RDOtoRDOTrigger"] if trigger else []
    return steps + (["RAWtoALL"] if release >= 23 else ["RAWtoESD", "ESDtoAOD"])


def read_inputs(given: dict[str, list[str]]) -> tuple[list[str], list[tuple[int, int]]]:
    """Give the names and the events of the inputs; those to overlay need only be there."""
    names, events = [], []
    for name, values in given.items():
        if not (name.startswith("input") and name.endswith("File")):
            continue
        for file in ",".join(values).split(","):
            if not Path(file).exists():
                raise TransformError(9, f"Input file {file} does not exist")
            if "Gen" in name or "Minbias" in name:
                continue
            try:
                found = rootfile.read_events(Path(file))
            except (OSError, rootfile.NotRootError) as error:
                sys.exit(calls.say(f"CRITICAL Transform had an unhandled exception: {error}", 251))
            names.append(file)
            events += found
    return names, events


def number(given: dict[str, list[str]], name: str, otherwise: int) -> int:
    return whole(given[name][0]) if name in given else otherwise


def generated(transform: str, given: dict[str, list[str]]) -> list[tuple[int, int]]:
    """Make up events, as the job options would."""
    config = given.get("jobConfig", [""])[0]
    if transform == "Gen_tf.py" and not re.fullmatch(r"\d{6,7}", config):
        options = sorted(Path(config).glob("mc*.py")) if config else []
        if len(options) != 1:
            raise TransformError(
                37, f"jobConfig {config!r} holds {len(options)} files mc*.py, not 1"
            )
    run = re.search(r"\d{6,7}", config)
    run_number = number(given, "runNumber", int(run.group()) if run else 999999)
    first = number(given, "firstEvent", 1)
    return [(run_number, first + i) for i in range(number(given, "maxEvents", 10))]


def without_options(given: dict[str, list[str]]) -> dict:
    """Say how athena ends where the job options of Generate_tf.py are not to be found.

    Names in a directory are sought in the release, which has them all.
    """
    path = Path(given.get("jobConfig", ["in/release.py"])[0])
    if path.is_file() or (not path.is_absolute() and path.parent.name):
        return {}
    line = f"Py:Athena     CRITICAL IncludeError: include file {path} can not be found"
    return {"rc": 2, "log": [f"10:00:01 {line}"]}


def chosen(given: dict[str, list[str]], events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Apply skipEvents and maxEvents."""
    skip, most = number(given, "skipEvents", 0), number(given, "maxEvents", -1)
    if skip >= len(events):
        msg = f"No events to process: {skip} (skipEvents) >= {len(events)} (inputEvents)"
        raise TransformError(15, msg)
    return events[skip:] if most < 0 else events[skip : skip + most]


def outputs(transform: str, given: dict[str, list[str]]) -> list[OutputFile]:
    """Name the outputs; a derivation makes its own names."""
    found = []
    for name, values in given.items():
        if not (name.startswith("output") and name.endswith("File")):
            continue
        kind, file = name[len("output") : -len("File")], values[0]
        if kind != "DAOD":
            found.append(OutputFile(kind, name, Path(file)))
            continue
        formats = ",".join(given.get(DERIVED.get(transform, ""), ())).split(",")
        passes = given.get("passThrough", ["False"])[0].lower().endswith("true")
        found += [
            OutputFile(
                f"DAOD_{one}",
                name,
                Path(file).with_name(f"DAOD_{one}.{Path(file).name}"),
                filters=not passes and one not in EXACT_FORMATS,
            )
            for one in formats
            if one
        ]
    return found


class Athena:
    """One substep's athena.

    Parameters
    ----------
    name : str
        Of the substep.
    does : dict
        How it misbehaves.
    """

    def __init__(self, name: str, does: dict) -> None:
        self.name, self.does = name, does
        self.executor = Executor(name)
        self._killed = 0

    def run(self, events: int, argv: list[str]) -> Executor:
        """Run, leave log and run arguments; its code goes into the executor."""
        begin = time.time()
        Path(f"runargs.{self.name}.py").write_text(f"# Run arguments of {self.name}\n")
        wrapper = f"#!/bin/sh\nathena.py runargs.{self.name}.py\n"
        Path(f"runwrapper.{self.name}.sh").write_text(wrapper)
        log = Path(f"log.{self.name}")
        lines = [
            f"10:00:00 Py:Athena            INFO executing CommandLine: {json.dumps(argv)}",
            f"10:00:01 AthenaEventLoopMgr   INFO   ===>>>  done processing event, {events} in all",
            *self.does.get("log", ()),
        ]
        log.write_text("\n".join(lines) + "\n")
        self._work()
        rc = 128 + self._killed if self._killed else self.does.get("rc", 0)
        if self.does.get("signal"):
            rc = 128 + self.does["signal"]
        if not rc:
            lines += ["10:00:02 ApplicationMgr       INFO successful run"]
        lines += [f'10:00:02 Py:Athena            INFO leaving with code {rc}: "see log"']
        log.write_text("\n".join(lines) + "\n")
        self.executor.ran(rc, time.time() - begin, lines, BAD_LINE)
        return self.executor

    def _work(self) -> None:
        does = self.does
        if does.get("ignore_sigterm"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(does.get("children", 0)):
            calls.start(3600, own_group=does.get("children_in_own_group", False))
        own = does.get("own_signal")
        seconds = does.get("sleep", 3600 if own else 0)
        if not seconds:
            return
        child = calls.start(seconds)

        def pass_on(number: int, _: object) -> None:
            self._killed = number
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

        for caught in (signal.SIGHUP, signal.SIGXCPU):
            signal.signal(caught, pass_on)
        if own:
            os.kill(os.getpid(), own)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and not self._killed:
            self._killed = os.WTERMSIG(status)


def write_output(file: OutputFile, events: list[tuple[int, int]], does: dict) -> None:
    """Write an output, or what a failing step leaves instead."""
    how = does.get("output", "whole")
    lost = does.get("lost", 0) + (does.get("filter", 0) if file.filters else 0)
    events = events[: max(0, len(events) - lost)]
    if how == "missing":
        return
    template = TEMPLATES / f"{len(events)}.root"
    content = rootfile.patched(template.read_bytes(), events)
    cut = {"truncated": len(content) // 2, "empty": 0}.get(how, len(content))
    content = b"This is no ROOT file.\n" if how == "corrupt" else content[:cut]
    file.path.write_bytes(content)
    file.nentries = does.get("nentries", len(events))


def validate(
    transform: str,
    athena: Executor,
    made: list[OutputFile],
    expected: int,
    given: dict[str, list[str]],
) -> None:
    """Compare what was made with what was to be made, in the framework's order."""
    if athena.rc:
        raise TransformError(65, f"Non-zero return code from {athena.name} ({athena.rc})")
    least = int(expected * 0.995) if transform == "Sim_tf.py" else expected
    for file in made:
        with suppress(OSError, rootfile.NotRootError):
            found = len(rootfile.read_events(file.path))
            if found < least and not file.filters:
                msg = f"found {found} events, expected from {least} to {expected}"
                raise TransformError(38, f"Event counting failed for {athena.name}: {msg}")
    ignored = [re.compile(pattern) for pattern in given.get("ignorePatterns", ())]
    bad = [line for line in athena.bad_lines if not any(one.search(line) for one in ignored)]
    if bad and given.get("ignoreErrors", [""])[0] != "True":
        athena.status_ok = False
        raise TransformError(68, f'Fatal error in athena logfile: "{bad[0]}"')
    for file in made:
        try:
            rootfile.read_events(file.path)
        except (OSError, rootfile.NotRootError):
            msg = f"File {file.path.name} did not pass corruption test"
            raise TransformError(66, msg) from None


def work(transform: str, argv: list[str], does: dict, report: Report) -> None:
    """Do what the arguments ask for; raise `TransformError` where that does not come about."""
    given = parse(transform, argv)
    names, events = read_inputs(given)
    if does.get("early"):
        raise TransformError(does["early"], does.get("message", "it was told to fail at once"))
    if transform in ("Gen_tf.py", "Generate_tf.py"):
        events = generated(transform, given)
        if transform == "Generate_tf.py":
            does = without_options(given) or does
    elif not names:
        return
    else:
        report.add_inputs(names, len(events))
        events = chosen(given, events)
    steps = substeps(transform, given)
    wrong = does.get("substep", steps[-1])
    for name in steps:
        own = does if name == wrong else {}
        athena = Athena(name, own)
        report.executors.append(athena.executor)
        athena.run(len(events), argv)
        made = outputs(transform, given) if name == steps[-1] else []
        if not athena.executor.rc or own.get("leave_output"):
            for file in made:
                write_output(file, events, own)
        report.outputs = made
        if not own.get("unnoticed"):
            validate(transform, athena.executor, made, len(events), given)
        report.events = len(events)
    if does.get("exit"):
        raise TransformError(does["exit"], does.get("message", "it was told to fail"))


def main() -> int:
    transform, argv = Path(sys.argv[0]).name, sys.argv[1:]
    does = calls.record(transform, argv)
    if refused := os.environ.get("STANDIN_REFUSED"):
        return calls.say(f"CRITICAL the release is not set up: {refused}", 70)
    report = Report(transform, argv)
    Path("env.txt").write_text("".join(f"{k}={v}\n" for k, v in sorted(os.environ.items())))
    code, message = 0, "OK"
    try:
        work(transform, argv, does, report)
    except TransformError as failure:
        code, message = failure.code, str(failure)
    how = does.get("report", "whole")
    if how != "none":
        report.write(code, ACRONYMS.get(code, "TRF_UNKNOWN") if code else "OK", message)
    if how == "torn":
        written = Path("jobReport.json").read_bytes()
        Path("jobReport.json").write_bytes(written[: len(written) // 2])
    calls.say(f"INFO Transform exits with code {code}: {message}", code)
    return does.get("shell", code)


if __name__ == "__main__":
    # Nobody waits for the interpreter to tidy up.
    ended = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)
