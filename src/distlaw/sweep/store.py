"""Where a study's state lies: a folder, or any URL that fsspec opens. All that is asked of it is four operations.

Files are whole or not there, and of several who create one file exactly one succeeds; nothing else is relied on, so
there is no server, no lock and no clock that all would have to share.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distlaw.runs import one_line, written_whole
from distlaw.runs.files import new_file


class Store:
    """Files by name below a folder or URL."""

    def __init__(self, url: str) -> None:
        """Open a folder or URL; nothing is made yet.

        Raises:
            ValueError: There is no such file system, or what it needs is not installed.
        """
        import fsspec

        self.url = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ValueError(f"'{one_line(url)}' cannot be opened ({one_line(error)})") from None
        self.local = Path(self._root) if type(self._fs).__name__ == "LocalFileSystem" else None

    def read(self, name: str) -> bytes | None:
        """Content of a file; None if it is not there.

        Raises:
            OSError: The store does not answer, which says nothing about the file.
        """
        try:
            with self._asking(name):
                return (self.local / name).read_bytes() if self.local else self._fs.cat_file(self._path(name))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole.

        Raises:
            ValueError: It cannot be written.
        """
        if self.local is None:
            with self._asking(name):
                self._fs.pipe_file(self._path(name), content)
            return
        self._make(self.local / name)
        with written_whole(self.local / name) as temporary:
            temporary.write_bytes(content)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet, whole; False if somebody has.

        Raises:
            ValueError: It cannot be written.
        """
        if self.local is None:
            try:
                with self._asking(name):
                    self._fs.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            return True
        path = self.local / name
        self._make(path)
        try:
            temporary = new_file(path)
            try:
                temporary.write_bytes(content)
                os.link(temporary, path)  # the one operation that fails if the name is taken and is never half done
            finally:
                temporary.unlink()
        except FileExistsError:
            return False
        except OSError as error:
            raise ValueError(f"'{one_line(path)}' cannot be written ({error.strerror})") from None
        return True

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, in order; none if it is not there.

        Raises:
            OSError: The store does not answer, which says nothing about the file.
        """
        try:
            with self._asking(folder):
                if self.local:
                    found = (entry.name for entry in os.scandir(self.local / folder))
                else:
                    found = (str(path).rsplit("/", 1)[-1] for path in self._fs.ls(self._path(folder), detail=False))
                return sorted(name for name in found if not name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, name: str) -> None:
        """Remove a file that may not be there."""
        try:
            if self.local:
                (self.local / name).unlink()
            else:
                self._fs.rm_file(self._path(name))
        except FileNotFoundError:
            pass

    def set_aside(self, name: str) -> None:
        """Move a file or folder to `quarantine/`, under a name of its own; it may be gone already."""
        base = f"quarantine/{name.replace('/', '-')}"
        number = sum(there.startswith(base.rsplit("/", 1)[-1]) for there in self.names("quarantine"))
        try:
            if self.local:
                self._make(self.local / base)
                (self.local / name).rename(self.local / f"{base}.{number}")
            else:
                self._fs.mv(self._path(name), self._path(f"{base}.{number}"), recursive=True)
        except FileNotFoundError:
            pass

    def upload(self, folder: Path, name: str) -> None:
        """Copy a folder into the store; nothing to do where it is in it."""
        if self.local is None:
            self._fs.put(f"{folder}/", f"{self._path(name)}/", recursive=True)

    def download(self, name: str, folder: Path) -> Path:
        """A folder of the store as one on this machine.

        Raises:
            ValueError: It is not there.
        """
        if self.local:
            return self.local / name
        if not folder.is_dir():
            partial = folder.with_name(f"{folder.name}.{os.getpid()}.part")
            shutil.rmtree(partial, ignore_errors=True)
            try:
                self._fs.get(f"{self._path(name)}/", f"{partial}/", recursive=True)
            except FileNotFoundError:
                raise ValueError(f"'{one_line(self.url)}/{name}' is not there") from None
            try:
                partial.rename(folder)
            except OSError:  # somebody else was faster
                shutil.rmtree(partial, ignore_errors=True)
        return folder

    def free_bytes(self) -> float:
        """Room left on the disk; infinite where nobody knows."""
        return float(shutil.disk_usage(self.local).free) if self.local and self.local.exists() else float("inf")

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """File systems behind URLs have errors of their own: they are said as those of a file system."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            raise OSError(f"'{one_line(self.url)}/{name}' does not answer ({one_line(error, 200)})") from error

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @staticmethod
    def _make(path: Path) -> Any:  # noqa: ANN401
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"'{one_line(path.parent)}' cannot be made ({error.strerror})") from None
