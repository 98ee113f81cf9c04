"""The bash script of a step: it sets its release up, checks that, and becomes the transform.

A person can run it by hand: it makes its own environment and directory. What the release's set-up
lacks is written to `SETUP_FAILED` in the step's directory, for the engine to find.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hvmpi.site import Site

__all__ = ["SETUP_FAILED", "StepScript", "atlas_container", "site_binds"]

SETUP_FAILED = "hvmpi-setup-failed.txt"
"""Where a script says why the release was not set up."""

_ASETUP_LOG = "hvmpi-asetup.log"
_CODE = 69
"""TRF_EXEC_SETUP_FAIL, what the framework itself ends with where a release cannot be set up."""

_BASH = ("/bin/bash", "--noprofile", "--norc")


def atlas_container(site: Site) -> bool:
    """Say whether containers are started by ATLAS's own set-up."""
    return site.container_runtime == "atlas"


def site_binds(site: Site) -> tuple[str, ...]:
    """List what a release's set-up needs to see in a container, besides CVMFS."""
    return (site.atlas_local_root_base, *([site.setup_script] if site.setup_script else []))


@dataclass(frozen=True)
class StepScript:
    """What a step's script is made of.

    Attributes
    ----------
    name : str
        The step's.
    title : str
        What it is, one line.
    directory : Path
        Where it runs.
    folder : Path
        Where the scripts themselves lie.
    release : str
        Options of asetup.
    argv : tuple of str
        The transform and its arguments.
    environment : mapping of str to str
        All that it gets.
    site : Site
    container : str
        Image; empty: none.
    binds : tuple of str
        What a container must see, besides what the site says.
    copied : tuple of Path
        Files that must be in the directory.
    only_set_up : bool
        Whether all is done but the transform itself.
    """

    name: str
    title: str
    directory: Path
    folder: Path
    release: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    site: Site
    container: str = ""
    binds: tuple[str, ...] = ()
    copied: tuple[Path, ...] = ()
    only_set_up: bool = False

    @property
    def path(self) -> Path:
        """The script that is run."""
        return self.folder / f"{self.name}.sh"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs it."""
        return (*_BASH, str(self.path))

    def files(self) -> dict[Path, str]:
        """Give the texts of the script and of those that it needs in a container."""
        head = self._head()
        if not self.container:
            return {self.path: "\n".join([*head, *self._guarded(), *self._run()]) + "\n"}
        if atlas_container(self.site):
            return self._in_atlas_container(head)
        inner = self.folder / f"{self.name}.inside.sh"
        inside = ["#!/bin/bash", *self._refuse(), self._enter(), *self._guarded(), *self._run()]
        return {
            self.path: "\n".join([*head, *self._container(inner)]) + "\n",
            inner: "\n".join(inside) + "\n",
        }

    # Parts

    def _head(self) -> list[str]:
        environment = [f"    {quoted(f'{n}={v}')} \\" for n, v in self.environment.items()]
        return [
            "#!/bin/bash",
            f"# hvmpi: {' '.join(self.title.split())}",
            "# By hand: bash THIS_FILE",
            f'if [ "${{HVMPI_STEP:-}}" != {quoted(self.environment["HVMPI_STEP"])} ]; then',
            "exec /usr/bin/env -i \\",
            *environment,
            f'    {shlex.join(_BASH)} "$0"',
            "fi",
            *self._refuse(),
            f"mkdir -p -- {quoted(self.directory)}",
            self._enter(),
            *(
                f"cp -- {quoted(path)} . || refuse {quoted(f'there is no {str(path)!r}')}"
                for path in self.copied
            ),
        ]

    def _refuse(self) -> list[str]:
        return [
            "refuse() {",
            "    trap - EXIT",
            f"    printf '%s\\n' \"$1\" > {quoted(self.directory / SETUP_FAILED)}",
            "    printf 'hvmpi: %s\\n' \"$1\" >&2",
            f"    exit {_CODE}",
            "}",
        ]

    def _enter(self) -> str:
        why = f"cannot enter {str(self.directory)!r}"
        return f"cd -- {quoted(self.directory)} || refuse {quoted(why)}"

    def _guarded(self) -> list[str]:
        # What is sourced may end the shell, and nobody would know whose code that was.
        why = quoted(f"the set-up of {self.release} ended the shell with code ")
        return [f"trap {quoted(f'refuse {why}$?')} EXIT", *self._set_up(), "trap - EXIT"]

    def _set_up(self) -> list[str]:
        base = self.site.atlas_local_root_base
        return [
            f"export ATLAS_LOCAL_ROOT_BASE={quoted(base)}",
            *self._site_script(),
            *self._asetup(),
        ]

    def _site_script(self) -> list[str]:
        script = self.site.setup_script
        if script is None:
            return []
        why = quoted(f"setup-script {script!r} failed with code")
        # A script of others' may leave options and a directory behind that asetup cannot stand.
        return [f'. {quoted(script)} || refuse {why}" $?"', "set +eu", self._enter()]

    def _asetup(self) -> list[str]:
        local = "$ATLAS_LOCAL_ROOT_BASE/user/atlasLocalSetup.sh"
        log, what = _ASETUP_LOG, f"asetup {self.release}"
        return [
            f'[ -r "{local}" ] || refuse "there is no {local}"',
            f'. "{local}" --quiet',
            '[ -r "$AtlasSetup/scripts/asetup.sh" ] ||'
            " refuse 'atlasLocalSetup.sh brought no AtlasSetup with scripts/asetup.sh'",
            f'. "$AtlasSetup/scripts/asetup.sh" {quoted(self.release)} > {log} 2>&1',
            "code=$?",
            f"cat {log}",
            f'[ $code = 0 ] || refuse {quoted(f"{what} ended with code")}" $code: '
            f'$(tail -n 1 {log})"',
            f"if fatal=$(grep -m 1 -F 'AtlasSetup(FATAL)' {log}); then",
            f'    refuse {quoted(f"{what} failed")}": $fatal"',
            "fi",
        ]

    def _run(self) -> list[str]:
        transform = quoted(self.argv[0])
        why = f"asetup {self.release} brought no {self.argv[0]}"
        return [
            f"command -v {transform} > hvmpi-transform.txt || refuse {quoted(why)}",
            "exit 0" if self.only_set_up else f"exec {shlex.join(self.argv)}",
        ]

    def _container(self, inner: Path) -> list[str]:
        runtime = quoted(self.site.container_runtime)
        why = f"there is no container runtime {self.site.container_runtime!r}"
        binds = [word for bind in self._all_binds() for word in ("-B", bind)]
        words = ["exec", *binds, "--pwd", str(self.directory), self.container, *_BASH, str(inner)]
        return [
            f"command -v {runtime} > /dev/null || refuse {quoted(why)}",
            f"exec {runtime} {shlex.join(words)}",
        ]

    def _in_atlas_container(self, head: Sequence[str]) -> dict[Path, str]:
        setup = self.folder / f"{self.name}.setup.sh"
        payload = self.folder / f"{self.name}.payload.sh"
        base = self.site.atlas_local_root_base
        local = "$ATLAS_LOCAL_ROOT_BASE/user/atlasLocalSetup.sh"
        binds = quoted(",".join(self._all_binds()))
        words = ["-c", self.container, "--pwd", str(self.directory), "-s", str(setup), "-r"]
        outside = [
            *head,
            f"export ATLAS_LOCAL_ROOT_BASE={quoted(base)}",
            f"export APPTAINER_BIND={binds} SINGULARITY_BIND={binds}",
            f'[ -r "{local}" ] || refuse "there is no {local}"',
            f'. "{local}" {shlex.join([*words, str(payload)])}',
            "exit $?",
        ]
        inside = [*self._refuse(), self._enter(), *self._set_up()]
        texts = {self.path: outside, setup: inside, payload: [*self._refuse(), *self._run()]}
        return {path: "\n".join(lines) + "\n" for path, lines in texts.items()}

    def _all_binds(self) -> list[str]:
        return list(dict.fromkeys([*self.binds, *self.site.cvmfs, *self.site.binds]))


def quoted(value: object) -> str:
    """Write a value as one word of the shell."""
    return shlex.quote(str(value))
