"""An option: its name, type and range, and what becomes of a value that is given for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvmpi.errors import ConfigError

__all__ = ["Option", "nearest"]

_TOML_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "path": "a path",
    "bool": "true or false",
    "list": "a list of texts",
}
_TOML_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "path": (str,),
    "bool": (bool,),
    "list": (list,),
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: a long option of the command line and a top-level key of a config.

    Attributes
    ----------
    name : str
        As it is written: ``job-size``.
    kind : str
        ``int``, ``float``, ``str``, ``path``, ``bool`` or ``list`` (of texts).
    default : object
    help : str
    group : str
        Heading in ``--help``.
    minimum, above, maximum : float or None
        The range: at least, more than, at most.
    choices : tuple of str
        The values that there are; empty for any.
    words : tuple of str
        Words that may stand in the place of a number.
    sample : bool
        Whether it belongs to a sample, and to a ``[[sample]]`` table too.
    scheduling : bool
        Whether a rerun may change it: it does not touch what is made.
    """

    name: str
    kind: str
    default: Any
    help: str
    group: str
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    sample: bool = False
    scheduling: bool = False

    @property
    def field(self) -> str:
        """The name of its field in `Settings` or `SampleOptions`."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "HVMPI_" + self.field.upper()

    def check_toml(self, value: Any, where: str) -> None:
        """Raise `ConfigError` unless a TOML value has the right type."""
        fits = isinstance(value, _TOML_TYPES[self.kind]) or value in self.words
        if isinstance(value, bool) and self.kind != "bool":
            fits = False
        if self.kind == "list" and fits:
            fits = all(isinstance(entry, str) for entry in value)
        if not fits:
            raise ConfigError(self._wants(value, where))

    def convert(self, value: Any, where: str) -> Any:
        """Turn what the command line, the environment or a config gave into a value.

        Raises
        ------
        ConfigError
            If it is of the wrong type or out of range; begins with `where`.
        """
        if value is None or self.kind == "bool":
            return value
        if self.kind == "list":
            return self._convert_list(value, where)
        if self.kind in ("str", "path"):
            return self._convert_text(str(value), where)
        if value in self.words:
            return value
        try:
            number: int | float = int(str(value)) if self.kind == "int" else float(str(value))
        except ValueError:
            raise ConfigError(self._wants(value, where)) from None
        self._check_range(number, where)
        return number

    def _wants(self, value: Any, where: str) -> str:
        wanted = " or ".join([_TOML_NAMES[self.kind], *map(repr, self.words)])
        return f"{where}: {self.name} wants {wanted}, not {value!r}"

    def _convert_list(self, value: Sequence[str], where: str) -> tuple[str, ...]:
        texts = tuple(map(str, value))
        if self.choices:
            texts = tuple(
                part.strip() for text in texts for part in text.split(",") if part.strip()
            )
            for text in texts:
                self._check_choice(text, where)
        return texts

    def _convert_text(self, value: str, where: str) -> str:
        if not value or "\0" in value:
            raise ConfigError(self._wants(value, where))
        if self.choices:
            self._check_choice(value, where)
        return str(Path(value).absolute()) if self.kind == "path" else value

    def _check_choice(self, value: str, where: str) -> None:
        if value not in self.choices:
            msg = (
                f"{where}: {self.name} {value!r} is unknown{nearest(value, self.choices)}; "
                f"there are {', '.join(self.choices)}"
            )
            raise ConfigError(msg)

    def _check_range(self, number: float, where: str) -> None:
        fits = number == number and abs(number) != float("inf")
        wanted = "a finite number"
        if self.minimum is not None:
            fits, wanted = fits and number >= self.minimum, f"at least {self.minimum:g}"
        if self.above is not None:
            fits, wanted = fits and number > self.above, f"more than {self.above:g}"
        if self.maximum is not None:
            fits = fits and number <= self.maximum
            wanted += f" and at most {self.maximum:.0f}"
        if not fits:
            msg = f"{where}: {self.name} must be {wanted}, not {number}"
            raise ConfigError(msg)


def nearest(word: str, known: Sequence[str]) -> str:
    """Say which known word is meant, as an error ends: ``(did you mean 'x'?)`` or nothing."""
    # Most command lines are right.
    from difflib import get_close_matches

    matches = get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
