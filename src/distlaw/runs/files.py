"""Files that are whole or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distlaw.runs.quantity import one_line


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it once the block ends.

    When the block fails, or is interrupted, the old file stays as it was and the temporary one is removed.

    Raises:
        ValueError: The file cannot be written; one line that names it.
    """
    shown = one_line(path)
    temporary = None
    try:
        if not path.parent.is_dir():
            raise ValueError(f"{shown}: there is no folder '{one_line(path.parent)}'")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".distlaw-", suffix=path.suffix)
        temporary = Path(name)
        os.close(handle)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise ValueError(f"{shown}: cannot be written ({one_line(error.strerror or error)})") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
