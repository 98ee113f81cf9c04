"""The commands of athena's steps: placeholders filled, files named, arguments as words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hvmpi.athena.arguments import words
from hvmpi.athena.chain import Chain
from hvmpi.athena.seeds import generation_seed, job_seed
from hvmpi.athena.tags import Tag, fill
from hvmpi.campaign.jobs import Job
from hvmpi.campaign.paths import SUFFIXES
from hvmpi.engine import Inputs, StepOutput
from hvmpi.errors import ConfigError
from hvmpi.sample import SampleOptions
from hvmpi.settings import Settings

__all__ = ["Command", "command_of", "product_of"]


@dataclass(frozen=True, slots=True)
class Command:
    """A transform's command for one job.

    Attributes
    ----------
    argv : tuple of str
    environment : mapping
        What the tag wants.
    input : Path or None
        The file that is read; None in a generation.
    outputs : tuple of StepOutput
        The files that are expected, one a type of the tag's outputs, in their order.
    copied : tuple of Path
        Files that must be in the working directory.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    input: Path | None
    outputs: tuple[StepOutput, ...]
    copied: tuple[Path, ...]


def product_of(output: str) -> str:
    """Give the product that a type of files is published as: ``daod`` of ``DAOD_PHYS``."""
    return output.partition("_")[0].lower()


def command_of(
    tag: Tag, job: Job, chain: Chain, inputs: Inputs, tmp: Path, settings: Settings
) -> Command:
    """Make the command of a step.

    Parameters
    ----------
    tag : Tag
        One of the chain's.
    job : Job
    chain : Chain
    inputs : Inputs
    tmp : Path
        The attempt's directory; each step has one of its name in there.
    settings : Settings

    Raises
    ------
    ConfigError
        If the sample lacks what a placeholder of the tag is filled with.
    """
    known = tag.known_arguments()
    values, copied = _values(tag, job, chain, settings)
    argv = [tag.transform]
    source = None
    if not tag.is_generation:
        source = _source(tag, job, chain, inputs, tmp)
        argv.append(f"--input{tag.input}File={source}")
    outputs, named = [], set()
    for output in tag.outputs:
        argument, made = tag.argument_of(output), _file_name(output, job)
        if argument not in named:
            # A derivation puts its format before the name that it was given.
            derives = argument == "outputDAODFile"
            argv.append(f"--{argument}={made.partition('.')[2] if derives else made}")
            named.add(argument)
        outputs.append(StepOutput(product_of(output), tmp / tag.name / made, made))
    arguments = dict(tag.arguments)
    if chain.takes_range(tag) and not tag.is_generation:
        # Given plainly they reach the first substep only, as they must.
        for name, placeholder in (("skipEvents", "skip_events"), ("maxEvents", "max_events")):
            arguments.setdefault(name, f"{{{placeholder}}}")
    for name, value in arguments.items():
        filled = value
        if not isinstance(value, bool):
            texts = (value,) if isinstance(value, str) else value
            filled = tuple(_filled(text, name, tag, job, values) for text in texts)
        argv += words(name, filled, known.get(name))
    environment = {
        name: _filled(text, name, tag, job, values) for name, text in tag.environment.items()
    }
    return Command(tuple(argv), environment, source, tuple(outputs), copied)


def _file_name(output: str, job: Job) -> str:
    name = f"{job.stem}.{SUFFIXES['athena'][product_of(output)]}"
    return f"{output}.{name}" if product_of(output) == "daod" else name


def _source(tag: Tag, job: Job, chain: Chain, inputs: Inputs, tmp: Path) -> Path:
    maker = chain.maker(tag)
    return tmp / maker.name / _file_name(tag.input, job) if maker else inputs.event_file


def _values(
    tag: Tag, job: Job, chain: Chain, settings: Settings
) -> tuple[dict[str, object], tuple[Path, ...]]:
    first = chain.takes_range(tag)
    file = job.event_file
    run_number, seed = file.run_number, settings.seed
    # Of a foreign event file it is not known which sample it is, unless there is but one.
    only = settings.samples[0] if len(settings.samples) == 1 else None
    sample = next((one for one in settings.samples if one.name == file.sample), only)
    values: dict[str, object] = {
        "job": job.number + 1,
        "seed": generation_seed(seed, run_number, file.batch)
        if tag.is_generation
        else job_seed(seed, run_number, job.first_event, tag.name),
        "first_event": job.first_event,
        "max_events": job.events if first else -1,
        "skip_events": job.skip_events if first else 0,
        "run_number": run_number,
        "batch": file.batch,
        "cores": tag.cores,
        "sample": file.sample,
    }
    if sample is None:
        return values, ()
    options, copied = _of_sample(sample)
    # Where only event files are read, the job options need not be there.
    return {**values, **options}, copied if "job_config" in tag.placeholders() else ()


def _of_sample(sample: SampleOptions) -> tuple[dict[str, object], tuple[Path, ...]]:
    values = {
        "process": sample.process,
        "m_phi": sample.m_phi,
        "m_s": sample.m_s,
        "ctau": sample.ctau,
        "job_config": sample.job_config,
    }
    copied: tuple[Path, ...] = ()
    if sample.job_config is not None and Path(sample.job_config).suffix == ".py":
        # Old transforms look for job options by their name, where they run.
        copied = (Path(sample.job_config),)
        values["job_config"] = copied[0].name
    return {
        name: f"{value:.15g}" if isinstance(value, float) else value
        for name, value in values.items()
        if value is not None
    }, copied


def _filled(text: str, name: str, tag: Tag, job: Job, values: Mapping[str, object]) -> str:
    try:
        return fill(text, values)
    except KeyError as error:
        key = str(error.args[0]).replace("_", "-")
        msg = (
            f"tag {tag.path}: {name} wants {{{error.args[0]}}}, and the sample "
            f"{job.event_file.sample!r} has no {key}; give it one"
        )
        raise ConfigError(msg) from None
