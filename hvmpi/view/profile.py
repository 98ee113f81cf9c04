"""Where the time of a campaign went, as a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hvmpi.campaign.profile import Profile
from hvmpi.campaign.status import look_at_current
from hvmpi.errors import UsageError
from hvmpi.view.table import print_table
from hvmpi.view.text import tell

__all__ = ["COLUMNS", "profile_rows", "show_profile"]

COLUMNS = ("STEP", "PART", "SECONDS", "CPU", "SHARE", "MS/EVENT")
"""Of the table; numbers from the third on."""


def show_profile(directory: Path) -> None:
    """Print where the time of a run went: by step and part, around the steps, waiting.

    Parameters
    ----------
    directory : Path
        The run.

    Raises
    ------
    UsageError
        If nothing of it was profiled.
    """
    profile = look_at_current(directory, Profile.of)
    if profile is None:
        raise UsageError(
            f"run {directory.name} does not know where its time went: no step of it ended that was "
            "started with --profile, which run, generate, reconstruct and rerun take"
        )
    print_table(COLUMNS, profile_rows(profile), right=COLUMNS[2:])
    if profile.waiting_s is None:
        tell(
            "how long ranks waited is known of campaigns that have ended, were started once, and "
            "with --profile"
        )


def profile_rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    """Give the rows of the table: by step and part, around the steps, waiting, all."""

    def row(step: str, part: str, wall_s: float, cpu: str = "", events: int = 0) -> tuple[str, ...]:
        share = f"{100 * wall_s / profile.ranks_s:.1f} %" if profile.ranks_s else "-"
        each = f"{1000 * wall_s / events:.2f}" if events else "-"
        return step, part, f"{wall_s:.2f}", cpu, share, each

    for step in profile.steps:
        for part in step.parts:
            yield row(step.step, part.part, part.wall_s, events=step.events)
        yield row(step.step, "all", step.wall_s, f"{step.cpu_s:.2f}", step.events)
    yield row("around the steps", "", profile.around_s)
    if profile.lost_s:
        yield row("lost with ranks", "", profile.lost_s)
    if profile.waiting_s is not None:
        yield row("ranks waiting", "", profile.waiting_s)
    yield row("all", "", profile.ranks_s)
