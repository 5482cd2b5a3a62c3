"""What one server serves: its laws, studies, sessions and workers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import g, has_request_context, request

from distlaw.apps.web.laws import Law, Laws
from distlaw.apps.web.shelf import Session, Shelf, client_of
from distlaw.apps.web.studies import Studies
from distlaw.apps.web.workers import Workers, full_disk
from distlaw.runs import one_line

COOKIE = "distlaw-session"


def _folder() -> TemporaryDirectory[str]:
    """A new folder for uploads.

    Raises:
        ValueError: There is no place for one; says why.
    """
    try:
        return TemporaryDirectory(prefix="distlaw-page-")
    except OSError as error:
        reason = full_disk(error) or error.strerror or one_line(error)
        raise ValueError(f"there is no temporary folder to keep uploads in ({reason})") from None


@dataclass(kw_only=True, eq=False)
class Site:
    """A server's things.

    Attributes:
        laws: Laws of everybody.
        studies: Studies below the folders named at start.
        shelf: Sessions.
        workers: Processes for fits.
        readers: Processes that read tables, so that nobody's table waits for another's fit.
        folder: Where uploads are kept; gone when the server ends.
    """

    laws: Laws = field(default_factory=Laws)
    studies: Studies = field(default_factory=lambda: Studies(()))
    shelf: Shelf = field(default_factory=Shelf)
    workers: Workers = field(default_factory=Workers)
    readers: Workers = field(default_factory=Workers)
    folder: TemporaryDirectory[str] = field(default_factory=_folder)

    @classmethod
    def of(cls, *, laws: Path | None = None, studies: Sequence[Path] = ()) -> "Site":
        """A site of folders.

        Raises:
            ValueError: One of them is none, or there is no place for uploads.
        """
        return cls(laws=Laws(laws), studies=Studies(studies))

    def close(self) -> None:
        """Give up all that sessions brought along."""
        self.folder.cleanup()

    def session(self) -> Session | None:
        """The session of the browser that asks; None where it has none yet."""
        if not has_request_context():
            return None
        key = g.get("new_session") or request.cookies.get(COOKIE)
        return self.shelf.find(key)

    @property
    def client(self) -> str:
        """Whose browser asks, by its address."""
        return client_of(request.remote_addr) if has_request_context() else ""

    def session_or_new(self) -> Session:
        """The session of the browser that asks, a new one where it has none.

        Raises:
            ValueError: It has none, and there is no place for one.
        """
        if (session := self.session()) is not None:
            return session
        key, session = self.shelf.new(self.client)
        g.new_session = key  # `serve` puts it into a cookie
        return session

    def law(self, key: str) -> Law:
        """A law by its key, those of the session among them.

        Raises:
            ValueError: There is none.
        """
        return self.laws.find(key, self.own_laws())

    def own_laws(self) -> dict[str, Law]:
        """The laws of the session."""
        session = self.session()
        return {} if session is None else dict(session.laws)
