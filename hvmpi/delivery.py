"""The delivery of an output: from where a step made it to a place beside its final one."""

from __future__ import annotations

import shutil
from pathlib import Path

from hvmpi.campaign.jobs import Job, Output
from hvmpi.campaign.paths import SUFFIXES, RunPaths
from hvmpi.engine import StepOutput
from hvmpi.files import sha256_of, sync_directory, sync_file
from hvmpi.settings import Settings

__all__ = ["bring"]


def bring(output: StepOutput, job: Job, paths: RunPaths, settings: Settings) -> Output:
    """Bring an output beside its final place and to the disk.

    Raises
    ------
    OSError
        If that cannot be done.
    """
    suffix = SUFFIXES[settings.engine][output.product]
    final = (
        paths.resolve(job.event_file.path)
        if output.product == "evnt"
        else paths.product_directory(output.product) / output.name
        if output.name
        else paths.product(output.product, job.stem, suffix)
    )
    part = paths.part(final, job.attempt)
    try:
        # On one file system a rename costs nothing.
        output.path.rename(part)
    except OSError:
        _copy(output.path, part)
    sync_file(part)
    sync_directory(part.parent)
    return Output(
        product=output.product,
        part=paths.stored(part),
        path=paths.stored(final),
        size=part.stat().st_size,
        sha256=sha256_of(part),
    )


def _copy(path: Path, part: Path) -> None:
    part.touch(0o600)
    try:
        shutil.copyfile(path, part)
    except OSError:
        # On a disk that is full, half a copy would keep others from theirs.
        part.unlink(missing_ok=True)
        raise
