"""The control groups that this process is in: whose limits hold for all that it starts."""

from __future__ import annotations

from pathlib import Path

__all__ = ["V1", "V2", "control_groups"]

V1, V2 = "cgroup", "cgroup2"
"""The versions, by the names of their file systems."""


def control_groups(
    controller: str, proc: Path = Path("/proc"), root: Path = Path("/")
) -> dict[str, list[Path]]:
    """Find this process's control group and those above it.

    Parameters
    ----------
    controller : str
        ``cpu`` or ``memory``: in version 1 each has a tree of its own.
    proc : Path
        Where the kernel tells of itself.
    root : Path
        Where what it names is found.

    Returns
    -------
    dict of str to list of Path
        By version, `V1` or `V2`, as far as they are there; a process's own group comes first.
    """
    try:
        memberships = (proc / "self/cgroup").read_text(errors="surrogateescape").splitlines()
        mounts = (proc / "self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return {}
    own: dict[str, str] = {}
    for line in memberships:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            own[V1] = path
        elif number == "0" and not controllers:
            own[V2] = path
    groups: dict[str, list[Path]] = {}
    for line in mounts:
        before, _, after = line.partition(" - ")
        words, system = before.split(), after.split()
        if len(words) < 5 or len(system) < 3 or system[0] not in own or system[0] in groups:
            continue
        if system[0] == V1 and controller not in system[2].split(","):
            continue
        point = root / words[4].lstrip("/")
        inside = point / own[system[0]].removeprefix(words[3].rstrip("/")).strip("/")
        # In a container the path may be the one outside, and what is mounted the container's own.
        group = inside if inside.is_dir() and ".." not in inside.parts else point
        above = [group, *group.parents]
        groups[system[0]] = above[: above.index(point) + 1]
    return groups
