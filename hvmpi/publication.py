"""How outputs get their final names: never over another file, and never half."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from hvmpi.campaign.event_files import Manifest
from hvmpi.campaign.jobs import Job, Output
from hvmpi.campaign.paths import manifest
from hvmpi.campaign.run import Run
from hvmpi.errors import JournalError
from hvmpi.files import publish_mode, rename_beside, sha256_of, sync_directory, write_whole

__all__ = ["obstacle", "publish", "settle", "withdraw"]


def obstacle(run: Run, output: Output) -> str:
    """Say why an accepted output cannot be published; nothing where it can, or is already."""
    part, final = (run.paths.resolve(path) for path in (output.part, output.path))
    if final.exists():
        if final.stat().st_size == output.size and sha256_of(final) == output.sha256:
            return ""
        return f"{str(final)!r} is there already and is not overwritten; move it away"
    return "" if part.exists() else f"the output {str(part)!r} is gone"


def publish(run: Run, job: Job, output: Output) -> None:
    """Give an accepted output its final name; `settle` brings that to the disk.

    Raises
    ------
    JournalError
        If the file system refuses.
    """
    part, final = (run.paths.resolve(path) for path in (output.part, output.path))
    try:
        if not final.exists():
            part.chmod(publish_mode())
            rename_beside(part, final)
        part.unlink(missing_ok=True)
        if output.product == "evnt":
            _write_manifest(run, job, output, final)
    except OSError as error:
        msg = (
            f"the output {str(final)!r} of job {job.number} cannot be published "
            f"({error.strerror}); mend the file system, then rerun"
        )
        raise JournalError(msg) from error


def settle(run: Run, outputs: Iterable[Output]) -> None:
    """Bring the final names of outputs to the disk, those of one directory together.

    Raises
    ------
    JournalError
        If the file system refuses.
    """
    directories = {run.paths.resolve(output.path).parent for output in outputs}
    for directory in sorted(directories):
        try:
            sync_directory(directory)
        except OSError as error:
            msg = (
                f"what was published in {str(directory)!r} cannot be brought to the disk "
                f"({error.strerror}); mend the file system, then rerun"
            )
            raise JournalError(msg) from error


def withdraw(run: Run, output: Output) -> None:
    """Remove an output that is not accepted; what cannot be removed now is at the next start."""
    with contextlib.suppress(OSError):
        run.paths.resolve(output.part).unlink(missing_ok=True)


def _write_manifest(run: Run, job: Job, output: Output, final: Path) -> None:
    file = job.event_file
    made = Manifest(
        settings_hash=run.event_files_hash(file.sample),
        sha256=output.sha256,
        size=output.size,
        events=file.events,
        first_event=file.first_event,
        run_number=file.run_number,
        batch=file.batch,
        sample=file.sample,
    )
    with write_whole(manifest(final), mode=0o444) as beside:
        beside.write_text(made.to_json())
