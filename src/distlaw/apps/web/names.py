"""Under which names a server answers, and what it believes of a reverse proxy on its own machine."""

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from distlaw.runs import one_line

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_SCHEMES = ("http", "https")
_FORWARDED = "HTTP_FORWARDED"  # and all that begin with HTTP_X_FORWARDED


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(text: str) -> str:
    """A name as `--allow-host` takes it, in lower case.

    Raises:
        ValueError: It is none.

    >>> host_name("Plan.Example.org"), host_name("bücher.example"), host_name("::1")
    ('plan.example.org', 'xn--bcher-kva.example', '::1')
    """
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    try:
        name = text.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"--allow-host '{one_line(text, 60)}' is not the name of a machine: give it alone, as plan.example.org,"
            " without http://, port or path"
        )
    return name


class Names:
    """The names that a server answers to: this machine's own, and those it was given.

    A request under another name is refused, so that a page elsewhere cannot have a browser ask under a name that it
    makes point here. A server that other machines can reach and that was given no names answers to all.
    """

    def __init__(self, *, loopback: bool, allowed: Iterable[str] = ()) -> None:
        """Of a server.

        Args:
            loopback: Whether it listens to this machine alone.
            allowed: Further names, see `host_name`.
        """
        self.allowed = frozenset(allowed)
        self._all = not loopback and not self.allowed

    def has(self, host: str) -> bool:
        """Whether it answers to the `Host` of a request, whatever its port."""
        name = _name_of(host)
        return name is not None and (self._all or is_loopback(name) or name in self.allowed)

    def is_own(self, origin: str, host: str) -> bool:
        """Whether a page that asks is this server's own.

        Args:
            origin: Where the page is from, as its browser says.
            host: Under which name it asked; a proxy may have replaced it.
        """
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in _SCHEMES or not parts.netloc:
            return False
        return parts.netloc == host or _name_of(parts.netloc) in self.allowed


def _name_of(host: str) -> str | None:
    if set(host) & set("@/?#\\"):
        return None
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


class Forwarded:
    """What a reverse proxy says of a request in its `X-Forwarded` headers: believed of one on this machine, if any.

    `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` take the place of the connection's own; from everybody else, and
    where no proxy is expected, they are dropped unread.
    """

    def __init__(self, app: "WSGIApplication", names: Names) -> None:
        """Around an app.

        Args:
            app: The app.
            names: Of the server; a proxy is expected where it was given some.
        """
        from werkzeug.middleware.proxy_fix import ProxyFix

        self._app, self._names = app, names
        self._behind = ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_prefix=1)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:  # noqa: ANN401
        """See WSGI."""
        if not self._names.allowed or not is_loopback(str(environ.get("REMOTE_ADDR", ""))):
            for name in [name for name in environ if name.startswith(("HTTP_X_FORWARDED", _FORWARDED))]:
                del environ[name]
            return self._app(environ, start_response)
        # Under the connection's own name too: a page elsewhere can send these headers as well.
        if (why := self._refused(environ)) is not None:
            return _bad(why, start_response)
        if (prefix := str(environ.get("HTTP_X_FORWARDED_PREFIX", "")).rstrip("/")) and prefix.count("/"):
            environ["HTTP_X_FORWARDED_PREFIX"] = prefix
            path = str(environ.get("PATH_INFO", ""))
            if path == prefix or path.startswith(f"{prefix}/"):  # by a proxy that leaves it where it is
                environ["PATH_INFO"] = path[len(prefix) :] or "/"
        else:
            environ.pop("HTTP_X_FORWARDED_PREFIX", None)
        return self._behind(environ, start_response)

    def _refused(self, environ: "WSGIEnvironment") -> str | None:
        host = str(environ.get("HTTP_HOST", ""))
        if not self._names.has(host):
            return not_answered(host)
        if (scheme := environ.get("HTTP_X_FORWARDED_PROTO", "http").rpartition(",")[2].strip()) not in _SCHEMES:
            return f"X-Forwarded-Proto '{one_line(scheme, 40)}' is neither http nor https"
        if not _PREFIX.fullmatch(prefix := environ.get("HTTP_X_FORWARDED_PREFIX", "")):
            return f"X-Forwarded-Prefix '{one_line(prefix, 60)}' is not a path such as /distlaw"
        return None


def not_answered(host: str) -> str:
    """Why a request under a name is refused."""
    name = one_line(_name_of(host) or "", 60)
    return f"this server answers to localhost only, not to '{name}'; distlaw serve --allow-host NAME allows another"


def _bad(why: str, start: "StartResponse") -> list[bytes]:
    start("421 Misdirected Request" if "answers to" in why else "400 Bad Request", [("Content-Type", "text/plain")])
    return [f"{why}\n".encode()]
