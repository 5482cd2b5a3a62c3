"""What one server serves: its laws, studies, sessions and workers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import g, has_request_context, request

from distlaw.apps.web.laws import Law, Laws
from distlaw.apps.web.shelf import Session, Shelf
from distlaw.apps.web.studies import Studies
from distlaw.apps.web.workers import Workers

COOKIE = "distlaw-session"


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
    folder: TemporaryDirectory[str] = field(default_factory=lambda: TemporaryDirectory(prefix="distlaw-page-"))

    @classmethod
    def of(cls, *, laws: Path | None = None, studies: Sequence[Path] = ()) -> "Site":
        """A site of folders.

        Raises:
            ValueError: One of them is none.
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

    def session_or_new(self) -> Session:
        """The session of the browser that asks, a new one where it has none."""
        if (session := self.session()) is not None:
            return session
        key, session = self.shelf.new()
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
