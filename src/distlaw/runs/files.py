"""Files are whole or not there: written under a temporary name in their folder, then renamed."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distlaw.reading import one_line


@contextmanager
def written_whole(path: Path, what: str = "file") -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends well.

    A new file has the permissions that the umask leaves; one that takes another's place has those of the other, and its
    group where that may be given. Of a link the file that it leads to is replaced, and the link stays.

    Args:
        path: Where the file shall be; what stands there stays until the new one is complete.
        what: What the file is, for messages.

    Raises:
        ValueError: The file cannot be written; one line that names it.
    """
    try:
        place = _followed(path)
        before = _regular(place)
        mode = 0o666 if before is None else stat.S_IMODE(before.st_mode) & 0o666 | 0o600
        temporary = new_file(place, suffix=path.suffix, mode=mode)
        try:
            yield temporary
            if before is not None:
                _take_permissions(temporary, before)
            temporary.replace(place)
        except BaseException:  # an interrupt too must not leave a half-written file
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise ValueError(f"{what} '{one_line(path)}' cannot be written ({reason})") from None


def require_folder(folder: Path, what: str) -> None:
    """Check that a folder that a user names is there.

    Args:
        folder: The folder, as given.
        what: What it should be, for messages.

    Raises:
        ValueError: Nothing is there, or something else; one line that names it.
    """
    try:
        if folder.is_dir():
            return
        reason = "it is not a folder" if folder.exists() else "there is no such folder"
    except OSError as error:
        reason = error.strerror or one_line(error)
    raise ValueError(f"{what} '{one_line(folder)}': {reason}")


def new_file(beside: Path, *, suffix: str = "", mode: int = 0o666) -> Path:
    """Make an empty file of a name of its own beside a path, with what the umask leaves of the permissions `mode`.

    Raises:
        OSError: There can be none.
    """
    while True:
        path = beside.with_name(f".distlaw-{secrets.token_hex(8)}{suffix}")
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), mode))
            return path


def follow_umask(folder: Path) -> None:
    """Give all files of a folder what the umask leaves a new file; some libraries write files for their owner alone.

    Raises:
        OSError: They cannot be changed.
    """
    probe = new_file(folder / "probe")
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for file in folder.iterdir():
        if file.is_file() and not file.is_symlink():
            file.chmod(mode)


def _followed(path: Path) -> Path:
    """Where a link leads; any other path as it is.

    Raises:
        OSError: Links lead to each other.
    """
    try:
        return path.resolve() if path.is_symlink() else path
    except RuntimeError:  # what Python before 3.13 says
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def _regular(path: Path) -> os.stat_result | None:
    """What is there now; None if nothing is.

    Raises:
        OSError: It is a folder, a device or a pipe, which no file may take the place of.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "a folder is there" if stat.S_ISDIR(found.st_mode) else "it is no regular file")
    return found


def _take_permissions(file: Path, before: os.stat_result) -> None:
    now = file.stat()
    if now.st_gid != before.st_gid:
        with suppress(PermissionError):
            os.chown(file, -1, before.st_gid)
    file.chmod(stat.S_IMODE(before.st_mode))
