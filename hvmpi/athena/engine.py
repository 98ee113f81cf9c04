"""Athena as an engine: a script for each tag of the chain, and what it must have delivered."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hvmpi.athena import failures
from hvmpi.athena.chain import read_chain
from hvmpi.athena.commands import Command, command_of, product_of
from hvmpi.athena.failures import Failure
from hvmpi.athena.pool import count_entries, event_count
from hvmpi.athena.reports import JobReport, read_report
from hvmpi.athena.script import SETUP_FAILED, StepScript, site_binds
from hvmpi.athena.tags import Tag
from hvmpi.campaign.jobs import FailureClass, Job, Kind, Outcome
from hvmpi.campaign.paths import AttemptPaths
from hvmpi.engine import (
    Check,
    EventCount,
    Inputs,
    LibraryCount,
    Sample,
    Step,
    StepOutput,
    Verdict,
)
from hvmpi.errors import BadEventFileError, ConfigError, HvmpiError, InputError
from hvmpi.files import sha256_of
from hvmpi.sample import SampleOptions
from hvmpi.settings import Settings

__all__ = ["AthenaEngine", "step_environment"]

_DEFAULT_RUN_NUMBER = 304795
_ORDER = ("evnt", "hits", "rdo", "esd", "aod", "daod")
_REPORT = "jobReport.json"
_LEAVES = (_REPORT, "log.*", "env.txt", "runargs.*", "runwrapper.*", "hvmpi-*")
_INHERITED = (
    *("HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ"),
    # What lets a person read restricted conditions and files.
    *("X509_USER_PROXY", "X509_CERT_DIR", "KRB5CCNAME"),
)
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def step_environment(settings: Settings, tag: Tag, directory: Path) -> dict[str, str]:
    """Build the environment of a step from an allow-list, the site's variables and the tag's.

    Parameters
    ----------
    settings : Settings
    tag : Tag
    directory : Path
        Of the step, its ``TMPDIR``.
    """
    passed = {*_INHERITED, *settings.site.pass_environment}
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in passed or name.startswith("LC_")
    }
    environment |= {"PATH": _PATH, "TMPDIR": str(directory), "HVMPI_STEP": tag.name}
    if tag.cores > 1:
        environment["ATHENA_CORE_NUMBER"] = str(tag.cores)
        if tag.is_old:
            # In releases 19 to 21 this one switches several processes on.
            environment["ATHENA_PROC_NUMBER"] = str(tag.cores)
    return environment | settings.site.variables() | dict(tag.environment)


class AthenaEngine:
    """The transforms of ATLAS athena, each in its own release.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    ConfigError
        If a tag is missing or wrong, or the tags do not fit together.
    """

    name = "athena"
    examines_hosts = True
    may_lose_events = True
    event_file_patterns: tuple[str, ...] = ("*.evnt.pool.root", "*.pool.root", "*.root", "*.root.1")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chain = read_chain(settings)
        made = {product_of(output) for tag in self._chain.tags for output in tag.outputs}
        self.products = tuple(product for product in _ORDER if product in made)
        self.notices = (*self._chain.notices, *self._unkept())

    def _unkept(self) -> Iterator[str]:
        if self._settings.verb == "generate":
            return
        last = self._chain.steps[-1]
        products = {product_of(output) for output in last.outputs}
        made = {product_of(output) for tag in self._chain.steps for output in tag.outputs}
        if not made & set(self._settings.keep):
            msg = (
                f"keep holds none of what the tags make ({', '.join(sorted(made))}), "
                "so nothing would be left; add what is wanted"
            )
            raise ConfigError(msg)
        for product in sorted(products - set(self._settings.keep)):
            yield f"what the last tag {last.name!r} makes is not kept: add {product!r} to keep"

    def documents(self) -> dict[str, str]:
        """Give the tags, which a run keeps with it."""
        return {
            f"tags/{tag.name}.toml": tag.path.read_text(encoding="utf-8")
            for tag in self._chain.named
        }

    def samples(self, settings: Settings) -> tuple[Sample, ...]:
        """Take the samples as they are; the generation's tag decides their events."""
        return tuple(self._sample(options) for options in settings.samples)

    def _sample(self, options: SampleOptions) -> Sample:
        tag = self._chain.generation
        identity = {
            **{key: getattr(options, key) for key in ("process", "m_phi", "m_s", "ctau")},
            "run_number": options.run_number,
            "job_config": _contents(options.job_config),
            "generation": tag.identity() if tag else None,
        }
        return Sample(
            name=options.name,
            process=options.process or "athena",
            run_number=options.run_number or _DEFAULT_RUN_NUMBER,
            num_batches=options.num_batches,
            batch_size=options.batch_size,
            options=options,
            identity=identity,
        )

    def count_events(self, path: Path, expected: int | None) -> EventCount:
        """Count the events of a POOL file."""
        if "," in str(path):
            msg = (
                f"event file {str(path)!r} has a comma in its path, where transforms take what "
                "follows for another file; give it another name"
            )
            raise BadEventFileError(msg)
        return event_count(path, expected)

    def check_library(self, path: Path, mu: float) -> LibraryCount:
        """Refuse: athena's tags name their minimum-bias files themselves."""
        msg = (
            f"pileup-library {str(path)!r} (mu {mu:g}): athena takes its pile-up from the "
            "arguments of its tags; leave pileup-mu out"
        )
        raise InputError(msg)

    def cores(self, kind: Kind, /) -> int:
        """Give the cores of the generation's tag, or the most of the chain's."""
        if kind is Kind.GENERATION:
            return self._chain.generation.cores if self._chain.generation else 1
        return max((tag.cores for tag in self._chain.steps), default=1)

    # Steps

    def steps(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> tuple[Step, ...]:
        """Name the steps: a script for each tag."""
        chain = self._chain
        generation = job.kind is Kind.GENERATION and chain.generation is not None
        tags = chain.tags[:1] if generation else chain.steps
        return tuple(self._step(tag, job, inputs, paths) for tag in tags)

    def _step(self, tag: Tag, job: Job, inputs: Inputs, paths: AttemptPaths) -> Step:
        command = command_of(tag, job, self._chain, inputs, paths.tmp, self._settings)
        directory = paths.tmp / tag.name
        environment = step_environment(self._settings, tag, directory) | dict(command.environment)
        script = StepScript(
            name=tag.name,
            title=f"step {tag.name} of job {job.number}, attempt {job.attempt}: "
            f"{tag.transform} of {tag.release}",
            directory=directory,
            folder=paths.logs,
            release=tag.release,
            argv=command.argv,
            environment=environment,
            site=self._settings.site,
            container=tag.container,
            binds=_binds(command, inputs, paths, self._settings),
            copied=command.copied,
        )
        where = f" in {tag.container}" if tag.container else ""
        return Step(
            tag.name,
            script.command,
            environment,
            command.outputs,
            report=paths.logs / tag.name / _REPORT,
            directory=directory,
            files=script.files(),
            leaves=_LEAVES,
            isolated=True,
            command=command.argv,
            note=f"{tag.name}: asetup {tag.release}{where}, in {directory}",
        )

    # What came of a step

    def check(self, job: Job, step: Step, exit_code: int) -> Verdict:
        """Believe exit code, job report and the events in the files only together."""
        tag = self._chain.tag(step.name)
        found = self._found(job, tag, step, exit_code)
        if isinstance(found, Failure):
            return Verdict(found.outcome, found.reason, failure=found.failure, where=found.where)
        return found

    def _found(self, job: Job, tag: Tag, step: Step, exit_code: int) -> Verdict | Failure:
        setup = _kept(step) / SETUP_FAILED
        if setup.is_file():
            why = setup.read_text(errors="replace").strip()
            where = f"{tag.name}/{SETUP_FAILED}:1"
            return failures.setup_failed(tag.name, why, where, _private(job, step))
        report = read_report(_kept(step) / _REPORT)
        if exit_code or report is None or report.exit_code:
            return self._failed(job, tag, step, exit_code, report)
        return self._delivered(job, tag, step, report)

    def _failed(
        self, job: Job, tag: Tag, step: Step, exit_code: int, report: JobReport | None
    ) -> Failure:
        logs = _kept(step)
        failure = failures.classify(
            step=tag.name,
            exit_code=exit_code,
            report=report,
            logs=[*sorted(logs.glob("log.*")), logs.parent / f"{tag.name}.log"],
            logs_root=logs.parent,
            private=_private(job, step),
        )
        complains = failure.outcome is Outcome.BAD_INPUT
        if complains or failure.failure is FailureClass.CHECK_THE_FILES:
            return self._looked_at(job, tag, step, failure)
        return failure

    def _looked_at(self, job: Job, tag: Tag, step: Step, failure: Failure) -> Failure:
        """Look at the input that a step complains of: it may be whole, and disk or tag be bad."""
        source = _input_of(tag, step)
        if source is None:
            return failure
        # A file of the attempt's own is made anew with the next one.
        ours = source.is_relative_to(step.directory.parent) if step.directory else False
        try:
            events = count_entries(source)
        except HvmpiError:
            return replace(failure, outcome=Outcome.OUTPUT_INVALID) if ours else failure
        if failure.failure is not FailureClass.CHECK_THE_FILES:
            # It found no events: other jobs of an event file that has some may go on.
            short = not ours and events <= job.skip_events
            return failure if short else replace(failure, outcome=Outcome.PAYLOAD_FAILED)
        if failure.outcome is not Outcome.BAD_INPUT and "INPUT" not in failure.reason:
            return failure
        reason = f"{failure.reason} (but its input can be read from here)"
        return replace(
            failure,
            outcome=Outcome.PAYLOAD_FAILED,
            failure=FailureClass.PASSING,
            reason=reason,
        )

    def _delivered(self, job: Job, tag: Tag, step: Step, report: JobReport) -> Verdict | Failure:
        source = _input_of(tag, step)
        try:
            if source is None or self._chain.takes_range(tag):
                expected = job.events
            else:
                expected = count_entries(source)
        except HvmpiError as error:
            why = f"its input cannot be read: {error}"
            return failures.bad_output(tag.name, why, _private(job, step))
        reported = {entry.type: entry.entries for entry in report.outputs}
        outputs, events = [], -1
        for output, kind in zip(step.outputs, tag.outputs, strict=True):
            path = _real_path(output)
            if path is None:
                return failures.no_output(tag.name, kind)
            try:
                found = count_entries(path)
            except HvmpiError as error:
                return failures.bad_output(tag.name, f"{kind}: {error}", _private(job, step))
            said = reported.get(kind)
            if said is not None and said != found:
                # Without the numbers, which differ from job to job.
                why = f"{kind} does not hold as many events as the job report says"
                return failures.bad_output(tag.name, why)
            low = tag.low(expected, kind)
            if not low <= found <= expected:
                return failures.short_output(tag.name, found, low, expected, f"events of {kind}")
            if not tag.filters(kind):
                events = found
            outputs.append(StepOutput(output.product, path, output.name))
        lost = expected - events if events >= 0 else 0
        reason = f"{tag.name} lost {lost} of {expected} events, as it may" if lost else ""
        return Verdict(Outcome.DONE, reason, events=events, outputs=tuple(outputs))

    # Looking at products and hosts

    def event_numbers(self, product: str, path: Path) -> npt.NDArray[np.int64] | None:
        """Read the event numbers of an event file or an AOD, where they can be read."""
        if product not in ("evnt", "aod"):
            return None
        count = event_count(path, None)
        return count.event_numbers if count.known else None

    def count(self, _product: str, path: Path, /) -> int | None:
        """Count the events of a product."""
        return count_entries(path)

    def training_events(self, path: Path) -> list[tuple[int, int]]:
        """Know of none: training files of athena's AODs are made by hand."""
        msg = f"{str(path)!r} was not made by a campaign of athena"
        raise InputError(msg)

    def preflight(self) -> list[str]:
        """Say what is missing at a glance: uproot, job options."""
        missing = []
        settings = self._settings
        for name, place in (("run-dir", settings.run_dir), ("tmp-dir", settings.tmp_dir)):
            if place is not None and "," in place:
                missing.append(
                    f"{name} {place!r} has a comma, where transforms take what follows for "
                    "another file; choose another"
                )
        if find_spec("uproot") is None:
            missing.append("uproot is not installed here: pip install 'hvmpi[athena]'")
        if self._chain.generation is not None:
            for options in self._settings.samples:
                given = options.job_config
                if given is not None and not given.isdecimal() and not Path(given).exists():
                    missing.append(f"job-config {given!r} of sample {options.name!r} is not there")
        return missing

    def examine(self, timeout: float, /) -> Iterator[Check]:
        """Look at this host: CVMFS, each release, the container runtime, room, memory, cores."""
        from hvmpi.athena.preflight import examine

        def environment(tag: Tag, directory: Path) -> dict[str, str]:
            return step_environment(self._settings, tag, directory)

        return examine(self._settings, self._chain, environment, timeout)

    def versions(self) -> dict[str, str]:
        """Give the tags, by a hash of their files: these make its events."""
        return {
            f"tag {tag.name}": hashlib.sha256(tag.path.read_bytes()).hexdigest()[:12]
            for tag in self._chain.tags
        }


def _contents(job_config: str | None) -> str | None:
    """Say what a sample's job options are: their hash where they are a file."""
    if job_config is None or job_config.isdecimal():
        return job_config
    path = Path(job_config)
    paths = sorted(path.glob("mc*.py")) if path.is_dir() else [path]
    hashes = [f"{one.name} {sha256_of(one)}" for one in paths if one.is_file()]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest() if hashes else path.name


def _binds(
    command: Command, inputs: Inputs, paths: AttemptPaths, settings: Settings
) -> tuple[str, ...]:
    """List what a container must see for a step."""
    directories = [paths.tmp, paths.logs]
    if command.input == inputs.event_file:
        directories.append(inputs.event_file.parent)
    directories += [path.parent for path in command.copied]
    directories += [
        Path(one.job_config)
        for one in settings.samples
        if command.input is None and one.job_config and Path(one.job_config).is_dir()
    ]
    return (*map(str, directories), *site_binds(settings.site))


def _kept(step: Step) -> Path:
    """Give the folder to which what a step leaves is brought."""
    return step.report.parent if step.report is not None else Path()


def _private(job: Job, step: Step) -> tuple[str, ...]:
    """List the texts that are another job's or attempt's own, for reasons that are to be alike."""
    source = step.command[1].partition("=")[2] if len(step.command) > 1 else ""
    own = [source, str(step.directory), str(_kept(step)), job.event_file.path, job.stem]
    return tuple(text for text in own if text)


def _input_of(tag: Tag, step: Step) -> Path | None:
    given = f"--input{tag.input}File="
    word = next((word for word in step.command if word.startswith(given)), None)
    return Path(word.removeprefix(given)) if word and not tag.is_generation else None


def _real_path(output: StepOutput) -> Path | None:
    """Find a file as the transform really named it."""
    if output.path.is_file():
        return output.path
    kind = output.path.name.partition(".")[0]
    others = list(output.path.parent.glob(f"{kind}.*.root")) if kind.startswith("DAOD_") else []
    return others[0] if len(others) == 1 else None
