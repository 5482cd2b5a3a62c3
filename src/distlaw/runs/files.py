"""Files are whole or not there: written under a temporary name in their folder, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distlaw.runs.quantity import one_line


@contextmanager
def written_whole(path: Path, what: str = "file") -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends well.

    Args:
        path: Where the file shall be; what stands there stays until the new one is complete.
        what: What the file is, for messages.

    Raises:
        ValueError: The file cannot be written; one line that names it.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".distlaw-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:  # an interrupt too must not leave a half-written file
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise ValueError(f"{what} '{one_line(path)}' cannot be written ({reason})") from None
