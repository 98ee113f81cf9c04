"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "PrivateDirectories",
    "make_private",
    "publish_mode",
    "remove_unfinished",
    "rename_beside",
    "sha256_of",
    "sync_directory",
    "sync_file",
    "write_private",
    "write_whole",
]


def publish_mode(mode: int = 0o444) -> int:
    """Give the mode of a file that others may see as far as the user's umask lets them."""
    umask = os.umask(0o077)
    os.umask(umask)
    return mode & ~umask & ~0o002


def make_private(directory: Path, root: Path) -> None:
    """Make a new directory that is its owner's alone, and those above it, from `root` on.

    Raises
    ------
    PermissionError
        If one of them is another user's, who could put what he likes in its place.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    between = [path for path in directory.parents if path.is_relative_to(root)]
    for path in reversed(between):
        with contextlib.suppress(FileExistsError):
            path.mkdir(0o700)
        if path.lstat().st_uid not in (os.geteuid(), root.parent.lstat().st_uid):
            raise PermissionError(errno.EPERM, "It belongs to another user", str(path))
    directory.mkdir(0o700)


class PrivateDirectories:
    """Makes directories that are their owner's alone, one call to the system each.

    Parameters
    ----------
    root : Path
        They lie below it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: set[str] = set()
        self._left: list[Path] = []

    def make(self, directory: Path) -> None:
        """Make a directory, empty; what is there of it goes.

        Raises
        ------
        OSError
            As `make_private`.
        """
        above = str(directory).rpartition("/")[0]
        # What we made, or found to be our own, nobody else can have changed.
        if above in self._known:
            while self._left:
                with contextlib.suppress(OSError):
                    left = self._left.pop()
                    if _is_as_new(left):
                        # Making a directory costs ten times as much, and removing it waits for
                        # the disk.
                        left.rename(directory)
                        return
                self.remove(left)
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                directory.mkdir(0o700)
                return
        shutil.rmtree(directory, ignore_errors=True)
        make_private(directory, self._root)
        self._known.add(above)

    def leave(self, directory: Path) -> None:
        """Have a directory that is of no use any more removed, or made the next one."""
        self._left.append(directory)

    def clear(self) -> None:
        """Remove what was left."""
        while self._left:
            self.remove(self._left.pop())

    @staticmethod
    def make_pair(directory: Path) -> None:
        """Make a directory in another, both of which may be there."""
        try:
            directory.parent.mkdir(0o700)
            directory.mkdir(0o700)
        except OSError:
            directory.mkdir(0o700, parents=True, exist_ok=True)

    @staticmethod
    def remove(directory: Path) -> None:
        """Remove a directory with all that is in it, as far as that can be done."""
        try:
            directory.rmdir()
        except OSError:
            shutil.rmtree(directory, ignore_errors=True)


def _is_as_new(directory: Path) -> bool:
    found = os.lstat(directory)
    own = found.st_mode == stat.S_IFDIR | 0o700 and found.st_uid == os.geteuid()
    with os.scandir(directory) as entries:
        return own and next(entries, None) is None


def write_private(path: Path, text: str) -> None:
    """Write a new text that is its owner's alone to read, write and execute: a script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(0o700, exist_ok=False)
    # Whatever bytes came in with words of a command line go out as they were.
    path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


_unfinished: set[Path] = set()


def remove_unfinished() -> None:
    """Remove what `write_whole` writes at the moment; for a process that is to end at once."""
    for beside in tuple(_unfinished):
        with contextlib.suppress(OSError):
            beside.unlink()


@contextlib.contextmanager
def write_whole(path: Path, mode: int = 0o666, *, synced: bool = True) -> Iterator[Path]:
    """Give a name beside `path` to write to; on leaving, bring it to disk under its own name.

    When the body raises, nothing is left and an older `path` stays as it was. Of `mode`, what the
    user's umask takes away is left out. What is not `synced` may be lost when the machine dies.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    _unfinished.add(beside)
    try:
        yield beside
        if synced:
            sync_file(beside)
        beside.chmod(publish_mode(mode))
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    finally:
        _unfinished.discard(beside)
    if synced:
        sync_directory(path.parent)


def rename_beside(path: Path, final: Path) -> None:
    """Give a file another name in its directory; raise `FileExistsError` where that is taken.

    A rename alone would overwrite what another process put there a moment ago.
    """
    try:
        final.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links.
        if final.exists():
            raise
        path.rename(final)
    else:
        path.unlink()


def sync_file(path: Path) -> None:
    """Bring a file's contents to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_directory(directory: Path) -> None:
    """Bring a directory's entries to the disk, so that a rename survives a crash."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file's contents, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
