"""What the stand-in remembers of its calls, and the rules that tell it how to misbehave."""

import fcntl
import itertools
import json
import os
import re
import sys
from pathlib import Path

STATE = Path(__file__).resolve().parents[2] / "state"


def say(text: str, code: int) -> int:
    """Print a line as the framework does; give the code back."""
    print("PyJobTransforms.standin", text, flush=True, file=sys.stderr if code else sys.stdout)
    return code


def record(transform: str, argv: list[str]) -> dict:
    """Write a call down; give what the first rule that fits it makes of it."""
    rules = _rules()
    with (STATE / "calls.jsonl").open("a+") as file:
        # Of the calls of several jobs, each must know how many came before it.
        fcntl.flock(file, fcntl.LOCK_EX)
        before = []
        if rules:
            file.seek(0)
            before = [json.loads(line) for line in file]
        which = next(
            (i for i, rule in enumerate(rules) if _fits(i, rule, transform, argv, before)), -1
        )
        call = {
            "transform": transform,
            "argv": argv,
            "directory": str(Path.cwd()),
            "environment": dict(os.environ),
            "pid": os.getpid(),
            "group": os.getpgid(0),
            "session": os.getsid(0),
            "rule": which,
        }
        file.write(json.dumps(call) + "\n")
    return rules[which]["does"] if which >= 0 else {}


def start(seconds: float, own_group: bool = False) -> int:
    """Start a process that sleeps; give its id."""
    more = {"setpgroup": 0} if own_group else {}
    return os.posix_spawn("/bin/sleep", ["athena.py", str(seconds)], dict(os.environ), **more)


def _rules() -> list[dict]:
    path = STATE / "behaviour.json"
    return json.loads(path.read_text()) if path.exists() else []


def _fits(which: int, rule: dict, transform: str, argv: list[str], before: list[dict]) -> bool:
    if rule["transform"] not in (None, transform):
        return False
    if rule["call"] is not None:
        earlier = sum(rule["transform"] in (None, call["transform"]) for call in before)
        if earlier + 1 != rule["call"]:
            return False
    if rule["job_number"] is not None and f"--jobNumber={rule['job_number']}" not in _joined(argv):
        return False
    if rule["arguments"] and not re.search(rule["arguments"], " ".join(argv)):
        return False
    if rule["directory"] and not re.search(rule["directory"], str(Path.cwd())):
        return False
    done = sum(call["rule"] == which for call in before)
    return rule["times"] is None or done < rule["times"]


def _joined(argv: list[str]) -> list[str]:
    """Write ``--name value`` as ``--name=value``, too."""
    return [*argv, *(f"{name}={value}" for name, value in itertools.pairwise(argv))]
