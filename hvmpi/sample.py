"""What a user asks of one sample: which events, how many, in files of which size."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SampleOptions"]


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """The keys of one ``[[sample]]`` table, as the user gave them; None where nothing was given.

    The engine fills what is None from its own tables (`hvmpi.openchain.processes` for the open
    chain). Units: GeV and mm.

    Attributes
    ----------
    name : str
        The sample's name in tables and in `normalisation`; its process where none was given.
    process : str or None
        ``whss``, ``gghss``, ``darkshower``, ``qcd`` or ``lhe``.
    run_number : int or None
    num_batches, batch_size : int
        Event files to make, and events in each.
    m_phi : float or None
        Mass of Phi, GeV (in ``darkshower``: of the Zv).
    m_s : float or None
        Mass of the long-lived s, GeV (in ``darkshower``: of the dark pion).
    ctau : float or None
        Mean proper decay length of the s, mm.
    decays : tuple of str or None
        Decays of the s with their shares in percent: ``("bb 85", "cc 5", "tautau 8")``; what is
        missing to 100 is the engine's rest.
    pt_hat_min, pt_hat_max : float or None
        The slice of a ``qcd`` sample, GeV.
    lhe : tuple of str
        Les Houches event files of an ``lhe`` sample, one a batch, plain or gzipped.
    job_config : str or None
        Athena's job options of the generation: a file, a directory with one ``mc*.py``, or a DSID.
    pythia : tuple of str
        Further settings for Pythia, read last.
    """

    name: str
    process: str | None = None
    run_number: int | None = None
    num_batches: int = 20
    batch_size: int = 5000
    m_phi: float | None = None
    m_s: float | None = None
    ctau: float | None = None
    decays: tuple[str, ...] | None = None
    pt_hat_min: float | None = None
    pt_hat_max: float | None = None
    lhe: tuple[str, ...] = ()
    job_config: str | None = None
    pythia: tuple[str, ...] = ()
