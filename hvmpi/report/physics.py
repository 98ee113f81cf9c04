"""The physics of a run: its plots, and how what was made agrees with what was asked for."""

from __future__ import annotations

from hvmpi.campaign.status import StatusFile
from hvmpi.report.findings import Figure, Physics, joined

__all__ = ["Figure", "Physics", "physics_plots"]


def physics_plots(status: StatusFile) -> Physics:
    """Look at the events of a run, at most some of its files, and say what there is to be drawn.

    Parameters
    ----------
    status : StatusFile
        Open; of any run, also of one in progress or of another engine.

    Returns
    -------
    Physics
        Files that cannot be read, and what is not in them, are in its notes.
    """
    engine = status.attributes["settings"]["engine"]
    if engine != "openchain":
        return _nothing(
            f"they are made of the open chain's events, and this run is one of {engine}"
        )
    # What a run of another engine has no use for.
    from hvmpi.report.decays import decay_plots
    from hvmpi.report.jets import jet_plots
    from hvmpi.report.performance import performance_plots
    from hvmpi.report.reference import reference
    from hvmpi.report.samples import read_samples
    from hvmpi.report.selection import select
    from hvmpi.report.view import view_of

    selection = select(status)
    if not selection.files:
        return _nothing("no reconstruction job of this run is done")
    if not selection.product:
        return _nothing("the run kept neither AODs nor training files (keep)")
    samples = read_samples(status, selection)
    view, notes = view_of(samples, selection, reference())
    if selection.product == "train":
        notes.append(
            "Decays, tracks and response of jets are not shown: they are in AODs, which this run "
            "did not keep."
        )
    about_files = Physics(notes=(*samples.notes, *notes))
    return joined(
        [about_files, *(make(view) for make in (decay_plots, jet_plots, performance_plots))]
    )


def _nothing(why: str) -> Physics:
    return Physics(notes=(f"There are no plots of physics: {why}.",))
