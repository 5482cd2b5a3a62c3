"""A job's run directory while it is trained: one for each lease, so that who has lost the job harms nobody.

Whoever takes a job over renames what is there of it to a name of his own, and goes on in it. A worker that was stopped
meanwhile, and does not know yet, finds its own directory gone. When the run has ended the directory gets its last name,
that of the job.
"""

import secrets
import shutil
from pathlib import Path


def take_over(root: Path, job: str, number: int) -> Path:
    """Make the newest directory of a job the lease's own, and remove the others.

    Args:
        root: Folder of run directories.
        job: Id of the job.
        number: Of the lease.

    Returns:
        The lease's directory; it is not there where the job has none yet.
    """
    own = root / f"{job}.{number:04d}.{secrets.token_hex(4)}"
    found = [(order, path) for path in root.glob(f"{job}*") if (order := _order(path, job)) is not None]
    earlier = [path for (at, _), path in sorted(found, reverse=True) if at <= number or at == _FINAL]
    for path in earlier[:1]:
        path.rename(own)
    for path in earlier[1:]:
        shutil.rmtree(path, ignore_errors=True)
    return own


_FINAL = 10**9


def _order(path: Path, job: str) -> tuple[int, float] | None:
    """Number of the lease that a directory is of, and when it was changed; what has ended is newest."""
    name, _, rest = path.name.partition(".")
    number = rest.partition(".")[0]
    if name != job or not path.is_dir() or not (not rest or number.isdecimal()):
        return None
    try:
        return (int(number) if rest else _FINAL), path.stat().st_mtime
    except FileNotFoundError:  # its owner has removed it
        return None
