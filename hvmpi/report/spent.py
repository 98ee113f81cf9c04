"""Where the time of ranks went, of a campaign with ``--profile``."""

from __future__ import annotations

from typing import Any

from hvmpi.campaign.profile import Profile
from hvmpi.report.plot import COLOURS, Plot

__all__ = ["spent_plot"]

_MOST = 12


def spent_plot(profile: Profile) -> Plot:
    """Draw the shares of steps and their parts, the largest first."""
    shares = _shares(profile)[:_MOST]
    return Plot(
        "time",
        "Where the time of the ranks went",
        "Steps by their parts, what attempts took around them, and waiting where that is known; "
        f"the largest shares of {profile.ranks_s:,.0f} s in all.",
        lambda figure: _paint(figure, shares),
        (7.2, 1.1 + 0.26 * len(shares)),
    )


def _shares(profile: Profile) -> list[tuple[str, float]]:
    seconds = {"around the steps": profile.around_s, "lost with ranks": profile.lost_s}
    seconds["ranks waiting"] = profile.waiting_s or 0.0
    for step in profile.steps:
        if not step.parts:
            seconds[step.step] = step.wall_s
        for part in step.parts:
            seconds[f"{step.step}: {part.part.replace('_', ' ')}"] = part.wall_s
    whole = profile.ranks_s or 1.0
    shares = [(name, 100.0 * spent / whole) for name, spent in seconds.items() if spent > 0.0]
    return sorted(shares, key=lambda share: -share[1])


def _paint(figure: Any, shares: list[tuple[str, float]]) -> None:
    axes = figure.subplots()
    at = range(len(shares))
    bars = axes.barh(at, [share for _, share in shares], height=0.68, color=COLOURS[0])
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    axes.set_yticks(at, [name for name, _ in shares], fontsize=10)
    axes.invert_yaxis()
    axes.yaxis.minorticks_off()
    axes.tick_params(axis="y", which="both", length=0)
    axes.margins(x=0.12)
    axes.set_xlabel("share of the ranks' time [%]")
