"""The chain of a campaign: its tags in their order, found, read and checked against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hvmpi.athena.tags import SAMPLE_PLACEHOLDERS, Tag, read_tag
from hvmpi.errors import ConfigError
from hvmpi.option import nearest
from hvmpi.settings import Settings

__all__ = ["Chain", "read_chain"]

_HERE = Path(__file__).resolve().parent
_IN_CHECKOUT, _IN_PACKAGE = _HERE.parents[1] / "configs" / "tags", _HERE / "data" / "tags"
_SHIPPED = _IN_CHECKOUT if _IN_CHECKOUT.is_dir() else _IN_PACKAGE


@dataclass(frozen=True)
class Chain:
    """The steps of a campaign.

    Attributes
    ----------
    generation : Tag or None
        What makes event files; None: they are there.
    steps : tuple of Tag
        What a reconstruction job runs.
    notices : tuple of str
        What is to be told of the tags.
    named : tuple of Tag
        All that the campaign names, a generation that is not wanted too.
    """

    generation: Tag | None
    steps: tuple[Tag, ...]
    notices: tuple[str, ...] = ()
    named: tuple[Tag, ...] = ()

    @property
    def tags(self) -> tuple[Tag, ...]:
        """The tags that are run, in their order."""
        return (*((self.generation,) if self.generation else ()), *self.steps)

    def tag(self, name: str) -> Tag:
        """Give a tag by its name."""
        return next(tag for tag in self.tags if tag.name == name)

    def maker(self, tag: Tag) -> Tag | None:
        """Give the step that makes what a step reads; None: it reads an event file."""
        return next((one for one in self.steps if tag.input in one.outputs), None)

    def takes_range(self, tag: Tag) -> bool:
        """Say whether a step takes the events of its job, not all that an earlier step made."""
        return tag.is_generation or self.maker(tag) is None


def read_chain(settings: Settings) -> Chain:
    """Read the tags of a campaign.

    Raises
    ------
    ConfigError
        If a tag cannot be found or read, names an unknown transform or argument, or does not fit
        to those before it.
    """
    if not settings.tags:
        msg = (
            "engine athena needs tags, the steps in their order: "
            "tags = ['s2608', 'r7773'], each a file NAME.toml in the directory tags beside the "
            "config (configs/tags has some)"
        )
        raise ConfigError(msg)
    tags = [_with_site(read_tag(path), settings) for path in _find(settings)]
    _check(tags)
    notices: list[str] = []
    for tag in tags:
        if settings.argument_check:
            notices += tag.check_arguments()
    generation = tags[0] if tags[0].is_generation else None
    steps = tags[1:] if generation else tags
    if settings.verb == "run" and generation is None:
        msg = (
            f"tag {tags[0].name!r} reads {tags[0].input}, and no tag before it is a generation; "
            "name one, or use reconstruct with --evnt-dir"
        )
        raise ConfigError(msg)
    if settings.verb == "generate" and generation is None:
        msg = f"none of the tags {', '.join(settings.tags)} is a generation, which writes EVNT"
        raise ConfigError(msg)
    if settings.verb != "generate" and not steps:
        msg = f"the tags {', '.join(settings.tags)} hold no step that reads EVNT"
        raise ConfigError(msg)
    wanted = generation if settings.verb != "reconstruct" else None
    chain = Chain(wanted, tuple(steps), tuple(notices), tuple(tags))
    for tag in chain.tags:
        _check_samples(tag, settings)
        _check_events(tag, chain)
        _check_paths(tag, settings)
    return chain


def _check_paths(tag: Tag, settings: Settings) -> None:
    """See that a container can be told of the directories: commas and colons part them."""
    site = settings.site
    for name, path in (
        ("run-dir", settings.run_dir),
        ("evnt-dir", settings.evnt_dir),
        ("log-dir", settings.log_dir),
        ("tmp-dir", settings.tmp_dir),
        ("atlas-local-root-base", site.atlas_local_root_base),
        ("setup-script", site.setup_script),
    ):
        if tag.container and path is not None and not {",", ":"}.isdisjoint(path):
            msg = (
                f"{name} {path!r} cannot be seen in the container of tag {tag.name!r}: "
                "a path that it is to see has neither comma nor colon"
            )
            raise ConfigError(msg)


def _check_events(tag: Tag, chain: Chain) -> None:
    """See that jobs do not all make the same events."""
    there = tag.placeholders()
    if tag.is_generation:
        for wanted, what in ((("first_event",), "numbers"), (("seed", "batch", "job"), "seed")):
            if there.keys().isdisjoint(wanted):
                msg = (
                    f"tag {tag.path}: no argument has {{{wanted[0]}}}, so all event files would "
                    f"have the same {what}; put it where the transform takes it"
                )
                raise ConfigError(msg)
    elif chain.takes_range(tag):
        for argument, placeholder in (("skipEvents", "skip_events"), ("maxEvents", "max_events")):
            value = tag.arguments.get(argument)
            if value is not None and f"{{{placeholder}}}" not in str(value):
                msg = (
                    f"tag {tag.path}: {argument} is {value!r}, so each job would take the same "
                    f"events; leave it out, or write {{{placeholder}}}"
                )
                raise ConfigError(msg)


def _check_samples(tag: Tag, settings: Settings) -> None:
    for placeholder, argument in tag.placeholders().items():
        for sample in settings.samples if placeholder in SAMPLE_PLACEHOLDERS else ():
            if getattr(sample, placeholder) is None:
                key = placeholder.replace("_", "-")
                msg = (
                    f"tag {tag.path}: {argument} wants {{{placeholder}}}, and sample "
                    f"{sample.name!r} has no {key}; give it one"
                )
                raise ConfigError(msg)


def _with_site(tag: Tag, settings: Settings) -> Tag:
    """Put what the site says in the place of what a tag leaves to it."""
    site = settings.site
    arguments = dict(tag.arguments)
    if site.dbrelease is not None and "DBRelease" in arguments:
        arguments["DBRelease"] = site.dbrelease
    return replace(tag, arguments=arguments, container=tag.container or site.container or "")


def _find(settings: Settings) -> Iterator[Path]:
    beside = Path(settings.config).absolute().parent if settings.config else Path("configs")
    # A run has its own tags with it, and no others will do.
    shipped = [] if (beside / "journal.jsonl").exists() or not _SHIPPED.is_dir() else [_SHIPPED]
    places = [beside / "tags", *shipped]
    there = {path.stem: path for place in reversed(places) for path in place.glob("*.toml")}
    for name in settings.tags:
        if "/" in name or name.endswith(".toml"):
            yield _beside(Path(name), beside)
            continue
        if name not in there:
            msg = (
                f"there is no tag {name!r}{nearest(name, sorted(there))}: no file "
                f"{f'{name}.toml'!r} in {' or '.join(str(place) for place in places)}"
            )
            raise ConfigError(msg)
        yield there[name].absolute()


def _beside(path: Path, directory: Path) -> Path:
    """Take a path from where the campaign's config is, if it is not from where we stand."""
    here = path.absolute()
    return here if here.exists() or path.is_absolute() else (directory / path).absolute()


def _check(tags: Sequence[Tag]) -> None:
    names: set[str] = set()
    makers: dict[str, Tag] = {}
    for number, tag in enumerate(tags):
        if tag.name in names:
            msg = f"tag {tag.name!r} is named twice; a chain has each of its tags once"
            raise ConfigError(msg)
        names.add(tag.name)
        if tag.is_generation and number:
            msg = (
                f"tag {tag.name!r} is a generation and can only be the first, not the {number + 1}."
            )
            raise ConfigError(msg)
        if tag.input and tag.input not in {"EVNT", *makers}:
            made = ", ".join(dict.fromkeys(["EVNT", *makers]))
            msg = (
                f"tag {tag.name!r} ({tag.path}) reads {tag.input}, which no tag before it makes; "
                f"there are {made}"
            )
            raise ConfigError(msg)
        for output in tag.outputs:
            if output in makers:
                msg = f"tags {makers[output].name!r} and {tag.name!r} both write {output}"
                raise ConfigError(msg)
            makers[output] = tag
