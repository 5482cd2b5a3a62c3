"""The app behind a production server: who may ask, how much, and what a browser is told to allow."""

import errno
import socket
from collections.abc import Iterable
from typing import Any

from dash import Dash
from flask import Flask, Response, g, request

from distlaw.apps.web.names import Forwarded, Names, is_loopback, not_answered
from distlaw.apps.web.site import COOKIE
from distlaw.runs import one_line

MOST_BYTES = 8_000_000
"""Of a request: the largest upload, in base 64."""
_THREADS = 64


def guard(app: Dash, *, loopback: bool, allow: Iterable[str] = ()) -> None:
    """Set limits and headers.

    Args:
        app: The app, its callbacks all registered.
        loopback: Whether it is served to this machine alone.
        allow: Further names that it answers to; see `distlaw.apps.web.names`.
    """
    names = Names(loopback=loopback, allowed=allow)
    server: Flask = app.server  # pyright: ignore[reportAssignmentType]
    server.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    server.wsgi_app = Forwarded(server.wsgi_app, names)
    headers = _headers(app)

    @server.before_request
    def check() -> tuple[str, int] | None:
        if not names.has(request.host):
            return f"{not_answered(request.host)}\n", 421
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin is not None and not names.is_own(origin, request.host):
            return "requests come from this server's own page only\n", 403
        if request.method == "POST" and not _is_known(app, request.get_json(silent=True)):
            return "this page asks for no such thing\n", 400
        return None

    @server.after_request
    def finish(response: Response) -> Response:
        response.headers.update(headers)
        if (key := g.get("new_session")) is not None:
            path = request.script_root or "/"
            secure = request.is_secure
            response.set_cookie(COOKIE, key, httponly=True, samesite="Strict", path=path, secure=secure)
        return response


def _is_known(app: Dash, asked: Any) -> bool:  # noqa: ANN401
    """Whether a body asks for an answer that the app has."""
    return isinstance(asked, dict) and isinstance(asked.get("output"), str) and asked["output"] in app.callback_map


def _headers(app: Dash) -> dict[str, str]:
    scripts = " ".join(app.csp_hashes())
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' {scripts}",
        "style-src": "'self' 'unsafe-inline'",  # plotly and React set styles of elements
        "img-src": "'self' data: blob:",  # plotly draws pictures to save from data
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def listen(app: Dash, *, host: str, port: int, allow: Iterable[str] = ()) -> Any:  # noqa: ANN401
    """A server that has its port and waits for `run`.

    Args:
        app: The app.
        host: Address to listen at.
        port: Port.
        allow: Further names that it answers to, see `distlaw.apps.web.names`.

    Raises:
        ValueError: The address cannot be had; says why.
    """
    from distlaw.apps.web.connections import make_server

    guard(app, loopback=is_loopback(host), allow=allow)
    return make_server(
        app.server,
        _listening(host.strip("[]"), port),
        threads=_THREADS,
        ident="distlaw",
        max_request_body_size=MOST_BYTES,
        inbuf_overflow=MOST_BYTES + 1,  # what arrives is kept in memory, where half of it is gone with its connection
        max_request_header_size=65_536,
        channel_timeout=60,
    )


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)  # from now on whoever comes is not refused
    except (OSError, UnicodeError) as error:
        listener.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise ValueError(f"port {port} of {host} is in use; give another with --port") from None
        reason = getattr(error, "strerror", None) or one_line(error, 80)
        raise ValueError(f"address {one_line(host, 60)}:{port} cannot be had ({reason})") from None
    return listener
