"""The report of a stand-in: jobReport.json as version 2.1.2 of the framework writes it."""

import json
import os
import re
import time
from pathlib import Path


class TransformError(Exception):
    """The transform ends with a code of its own, and a report."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


# No dataclasses here: to import them takes as long as all the rest.
class OutputFile:
    """A file that is made; one of a format that filters may have fewer events."""

    def __init__(self, kind: str, argument: str, path: Path, filters: bool = False) -> None:
        self.kind, self.argument, self.path, self.filters = kind, argument, path, filters
        self.nentries: int | None = None

    def entry(self) -> dict:
        there = self.path.exists()
        file = {"name": self.path.name, "nentries": self.nentries}
        if there:
            file |= {"file_guid": _guid(), "file_size": self.path.stat().st_size}
        return {"type": self.kind, "argName": self.argument, "subFiles": [file]}


class Executor:
    """What became of one substep."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rc = -1
        self.status_ok = False
        self.wall_s = 0.0
        self.bad_lines: list[str] = []
        self.details: dict[str, list[dict]] = {}

    def ran(self, rc: int, wall_s: float, lines: list[str], bad: re.Pattern[str]) -> None:
        self.rc, self.wall_s, self.status_ok = rc, wall_s, rc == 0
        for position, line in enumerate(lines, start=1):
            if found := bad.search(line):
                self.bad_lines.append(line)
                level = found.group(1) or "FATAL"
                entry = {"message": line, "firstLine": position, "count": 1}
                self.details.setdefault(level, []).append(entry)

    def entry(self, inputs: list[str], outputs: list[str], message: str) -> dict:
        return {
            "name": self.name,
            "rc": self.rc,
            "statusOK": self.status_ok,
            "validation": True,
            "errMsg": message if not self.status_ok else "",
            "exeConfig": {
                "inputs": inputs,
                "outputs": outputs,
                "script": "athena.py",
                "substep": self.name,
            },
            "logfileReport": {
                "countSummary": {level: len(found) for level, found in self.details.items()},
                "details": self.details,
            },
        }


def _guid() -> str:
    digits = os.urandom(16).hex().upper()
    return "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])


class Report:
    """Gathers what a transform did and writes it."""

    def __init__(self, transform: str, argv: list[str]) -> None:
        self.transform, self.argv = transform, argv
        self.begin = time.time()
        self.executors: list[Executor] = []
        self.inputs: list[dict] = []
        self.input_names: list[str] = []
        self.outputs: list[OutputFile] = []
        self.events = 0

    def add_inputs(self, names: list[str], events: int) -> None:
        self.input_names = [Path(name).name for name in names]
        files = [{"name": name} for name in self.input_names]
        self.inputs = [{"type": "POOL", "nentries": events, "subFiles": files}]

    def write(self, code: int, acronym: str, message: str) -> None:
        outputs = [file.path.name for file in self.outputs]
        wall = time.time() - self.begin
        memory = {"rss": 2_000_000, "pss": 1_900_000, "vmem": 3_000_000, "swap": 0}
        substeps = {
            one.name: {
                "cpuTime": round(one.wall_s),
                "wallTime": round(one.wall_s),
                "nevents": self.events,
                "memory": {"Avg": memory, "Max": memory},
            }
            for one in self.executors
        }
        content = {
            "cmdLine": " ".join([self.transform, *self.argv]),
            "created": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "executor": [one.entry(self.input_names, outputs, message) for one in self.executors],
            "exitAcronym": acronym,
            "exitCode": code,
            "exitMsg": message,
            "exitMsgExtra": "",
            "files": {"input": self.inputs, "output": [one.entry() for one in self.outputs]},
            "name": self.transform.removesuffix(".py"),
            "reportVersion": "2.1.2",
            "resource": {
                "executor": substeps,
                "transform": {
                    "cpuEfficiency": 1.0,
                    "cpuTime": round(wall),
                    "processedEvents": self.events,
                    "wallTime": round(wall),
                },
            },
        }
        Path("jobReport.json").write_text(json.dumps(content, indent=1))
