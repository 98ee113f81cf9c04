"""Event records as arrays: who comes from whom, and the particles' momenta.

`EventRecord.of_lines` reads the lines of Asciiv3 column by column, a fifth of what pyhepmc takes to
make objects of them. It takes what stands in the order in which HepMC3 writes it and leaves the
rest, with its errors, to pyhepmc and `EventRecord.of_genevent`. Both give the same arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain.asciiv3 import EventText

__all__ = ["EventRecord", "weights_named"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Numbers as HepMC3 writes them, of no more digits than its own types hold, in lines that are not
# longer than it reads them (262 143 bytes).
_FLOAT = rb"-?[0-9]\.[0-9]{1,24}+e[+-][0-9][0-9]"
_HEADER = re.compile(
    rb"HepMC::Version [^\n]{1,100}\nHepMC::Asciiv3-START_EVENT_LISTING\n"
    rb"W ([A-Za-z]\S{0,100000})\n"
    rb"(?:A [^ \n]+ [^\n]{1,100000}\n)*+"
)
_HEAD = re.compile(
    rb"E -?[0-9]{1,18} ([0-9]{1,9}) ([0-9]{1,9})\n"
    rb"U GEV MM\n"
    rb"W (%b(?: %b)*+)\n"
    rb"(?:A -?[0-9]{1,9} [^ \n]+ [^\n]{0,100000}\n)*+" % (_FLOAT, _FLOAT)
)
_LINE = re.compile(
    rb"^(?:P ([1-9][0-9]{0,8}+) (0|-?[1-9][0-9]{0,8}+) (-?[0-9]{1,10}+) (%b) ([0-9]{1,9}+)"
    rb"|V -([1-9][0-9]{0,8}+) 0 \[([1-9][0-9]{0,8}+(?:,[1-9][0-9]{0,8}+){0,9999}+)\](?: @ (%b))?+)"
    rb"\n" % (b" ".join([_FLOAT] * 5), b" ".join([_FLOAT] * 4)),
    re.MULTILINE,
)
_RUN_NUMBER = re.compile(rb"^A 0 run_number (\d{1,9})$", re.MULTILINE)


@dataclass(frozen=True, eq=False, slots=True)
class EventRecord:
    """One event of an event file; particles and vertices by row.

    Attributes
    ----------
    weight : float
        The nominal one; 1 where there is none.
    run_number : int or None
        As the event has it.
    pid, status : ndarray of int32, shape (n_particles,)
    incoming, outgoing : tuple of ndarray of int64
        Pairs of a vertex and a particle that enters or leaves it. Those of a vertex stand in the
        record's order.
    positions : ndarray of float64, shape (n_vertices + 1, 4)
        x, y, z, t in mm, 0 where none was given. The last is the event's own.
    """

    weight: float
    run_number: int | None
    pid: NDArray[np.int32]
    status: NDArray[np.int32]
    incoming: tuple[Ints, Ints]
    outgoing: tuple[Ints, Ints]
    positions: Floats
    _momenta: Callable[[Ints], tuple[Floats, ...]]

    def momenta(self, rows: Ints) -> tuple[Floats, ...]:
        """Return px, py, pz and mass of some particles, GeV."""
        return self._momenta(rows)

    @classmethod
    def of_genevent(cls, event: Any) -> Self:
        """Take the arrays out of a ``pyhepmc.GenEvent``, which is converted to GeV and mm."""
        import pyhepmc

        event.set_units(pyhepmc.Units.GEV, pyhepmc.Units.MM)
        data = pyhepmc.GenEventData()
        event.write_data(data)
        particles = data.particles.copy()
        # A link leads from a particle (positive) to a vertex (negative) or back; both from 1.
        first, second = data.links1.astype(np.int64), data.links2.astype(np.int64)
        enters = first > 0
        own = [[*data.vertices[axis], getattr(data.event_pos, axis)] for axis in "xyzt"]

        def momenta(rows: Ints) -> tuple[Floats, ...]:
            chosen = particles[rows]
            return (*(chosen[axis] for axis in ("px", "py", "pz")), _masses(chosen))

        return cls(
            weight=float(data.weights[0]) if len(data.weights) else 1.0,
            run_number=_run_number(event),
            pid=particles["pid"],
            status=particles["status"],
            incoming=(-second[enters] - 1, first[enters] - 1),
            outgoing=(-first[~enters] - 1, second[~enters] - 1),
            positions=np.array(own).T,
            _momenta=momenta,
        )

    @classmethod
    def of_lines(cls, text: EventText, weights: int) -> Self | None:
        """Read an event's lines, of which `weights` are to be there; None if they are unusual."""
        head = _HEAD.match(text.text, text.start, text.stop)
        if head is None or head[3].count(b" ") + 1 != weights:
            return None
        lines = _LINE.findall(text.text, head.end(), text.stop)
        # Each of the lines is one of these.
        if len(lines) != text.text.count(b"\n", head.end(), text.stop):
            return None
        graph = _Lines(lines, int(head[1]), int(head[2]))
        if not graph.is_ordered:
            return None
        run_numbers = _RUN_NUMBER.findall(head[0])
        if len(run_numbers) > 1 or len(run_numbers) < head[0].count(b"run_number"):
            return None

        def momenta(rows: Ints) -> tuple[Floats, ...]:
            px, py, pz, _, mass = _floats(_chosen(graph.kinematics, rows), 5).T
            return px, py, pz, np.maximum(mass, 0.0)

        return cls(
            weight=float(head[3].split()[0]),
            run_number=int(run_numbers[0]) if run_numbers else None,
            pid=graph.pid,
            status=graph.status,
            incoming=graph.incoming,
            outgoing=graph.outgoing,
            positions=graph.positions,
            _momenta=momenta,
        )


def weights_named(header: bytes) -> int:
    """Return how many weights a file's header names for each event; 0 if it is an unusual one."""
    usual = _HEADER.fullmatch(header)
    # HepMC3 writes a line's end between two names as a backslash and a bar.
    return usual[1].count(b"\\|") + 1 if usual else 0


def _run_number(event: Any) -> int | None:
    attributes = event.attributes
    if "run_number" not in attributes:
        return None
    value = attributes["run_number"]
    # pyhepmc parses an attribute that came from a file when it is told the type.
    return int(value if isinstance(value, int) else value.astype(int))


def _masses(particles: NDArray[Any]) -> Floats:
    momentum2 = particles["px"] ** 2 + particles["py"] ** 2 + particles["pz"] ** 2
    squared = np.maximum(particles["e"] ** 2 - momentum2, 0.0)
    given = np.maximum(particles["mass"], 0.0)
    return np.asarray(np.where(particles["is_mass_set"], given, np.sqrt(squared)))


# --- lines -----------------------------------------------------------------------------------


def _integers(words: Iterable[bytes]) -> Ints:
    text = b" ".join(words).replace(b",", b" ")
    # Of blanks alone fromstring makes a number.
    return np.fromstring(text if text.strip() else b"", dtype=np.int64, sep=" ")


def _floats(words: Iterable[bytes], columns: int) -> Floats:
    """Parse texts of some numbers each; rounded as HepMC3 does, to the nearest."""
    return np.fromstring(b" ".join(words), sep=" ").reshape(-1, columns)


def _are_there(words: Sequence[bytes]) -> NDArray[np.bool_]:
    return np.fromiter(map(bool, words), dtype=np.bool_, count=len(words))


def _chosen(words: tuple[bytes, ...], rows: Ints) -> list[bytes]:
    return [words[row] for row in rows.tolist()]


class _Lines:
    """The graph that an event's lines stand for.

    A line of a particle names the vertex where it is produced; or, where that has one incoming
    particle and nothing to tell, this one: then the vertex has no line. HepMC3 numbers vertices as
    they come.

    Parameters
    ----------
    lines : list of tuple of bytes
        The words of each line, by the groups of `_LINE`.
    vertices, particles : int
        How many are to be there.

    Attributes
    ----------
    is_ordered : bool
        Whether everything that a line names stands before it, numbered as it comes, and nothing
        enters two vertices; else nothing but this is there.
    """

    def __init__(self, lines: list[tuple[bytes, ...]], vertices: int, particles: int) -> None:
        columns = list(zip(*lines, strict=True)) or [()] * 8
        is_particle = _are_there(columns[0])
        self.is_ordered = self._read(columns, is_particle, vertices, particles)

    def _read(
        self,
        columns: list[tuple[bytes, ...]],
        is_particle: NDArray[np.bool_],
        vertices: int,
        particles: int,
    ) -> bool:
        line, own_line = np.flatnonzero(is_particle), np.flatnonzero(~is_particle)
        number, mother, pid, status = (_integers(columns[place]) for place in (0, 1, 2, 4))
        self.kinematics = tuple(filter(None, columns[3]))
        if len(number) != particles or (number != np.arange(1, particles + 1)).any():
            return False
        if (np.abs(pid) > np.iinfo(np.int32).max).any():
            return False
        if (mother >= number).any() or (mother < -vertices).any():
            return False
        self.pid, self.status = pid.astype(np.int32), status.astype(np.int32)

        # Vertices with a line, and what enters them.
        lists = _chosen(columns[6], own_line)
        counts = np.fromiter((words.count(b",") + 1 for words in lists), np.int64, len(lists))
        entering = _integers(lists) - 1
        enters = np.repeat(np.arange(len(own_line)), counts)
        before = np.cumsum(is_particle)[own_line]
        if (entering >= before[enters]).any():
            return False

        # Those without one begin with the first particle that names its mother.
        daughters = np.flatnonzero(mother > 0)
        end = np.full(particles, -1)
        end[entering] = enters
        lone = daughters[end[mother[daughters] - 1] < 0]
        mothers, first = np.unique(mother[lone] - 1, return_index=True)
        begins = np.concatenate([own_line, line[lone[first]]])
        entering, enters = (
            np.concatenate([entering, mothers]),
            np.concatenate([enters, len(own_line) + np.arange(len(mothers))]),
        )
        if len(begins) != vertices or np.bincount(entering, minlength=1).max() > 1:
            return False
        order = np.empty(vertices, dtype=np.int64)
        order[np.argsort(begins)] = np.arange(vertices)
        if (_integers(columns[5]) != order[: len(own_line)] + 1).any():
            return False
        end[entering] = enters

        # Where each particle is produced: by the place of its vertex in `begins`.
        produced = np.flatnonzero(mother != 0)
        named = mother[produced]
        by_number = np.argsort(order)
        made_in = np.where(named > 0, end[named - 1], by_number[np.clip(-named, 1, vertices) - 1])
        of_lines = (named > 0) | (made_in < len(own_line))
        if not of_lines.all() or (begins[made_in] > line[produced]).any():
            return False
        self.incoming = order[enters], entering
        self.outgoing = order[made_in], produced
        self.positions = np.zeros((vertices + 1, 4))
        at = _chosen(columns[7], own_line)
        self.positions[order[: len(own_line)][_are_there(at)]] = _floats(filter(None, at), 4)
        return True
