"""The app behind a production server: who may ask, how much, and what a browser is told to allow."""

import errno
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from dash import Dash
from flask import Flask, Response, g, request

from distlaw.apps.web.site import COOKIE
from distlaw.runs import one_line

MOST_BYTES = 8_000_000
"""Of a request: the largest upload, in base 64."""
_THREADS = 64


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def guard(app: Dash, *, loopback: bool) -> None:
    """Set limits and headers.

    Args:
        app: The app, its callbacks all registered.
        loopback: Whether it is served to this machine alone: then a request under another name is refused, so that
            a page elsewhere cannot have a browser ask under a name that it makes point here.
    """
    server: Flask = app.server  # pyright: ignore[reportAssignmentType]
    server.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    headers = _headers(app)

    @server.before_request
    def check() -> tuple[str, int] | None:
        name = urlsplit(f"//{request.host}").hostname or ""
        if loopback and not is_loopback(name):
            return f"this server answers to localhost only, not to '{one_line(name, 60)}'\n", 421
        origin = request.headers.get("Origin")
        if request.method == "POST" and origin is not None and urlsplit(origin).netloc != request.host:
            return "requests come from this server's own page only\n", 403
        return None

    @server.after_request
    def finish(response: Response) -> Response:
        response.headers.update(headers)
        if (key := g.get("new_session")) is not None:
            response.set_cookie(COOKIE, key, httponly=True, samesite="Strict")
        return response


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


def listen(app: Dash, *, host: str, port: int) -> Any:  # noqa: ANN401
    """A server that has its port and waits for `run`.

    Raises:
        ValueError: The address cannot be had; says why.
    """
    from waitress.server import create_server

    guard(app, loopback=is_loopback(host))
    return create_server(
        app.server,
        sockets=[_listening(host.strip("[]"), port)],
        threads=_THREADS,
        ident="distlaw",
        max_request_body_size=MOST_BYTES,
        connection_limit=500,
        asyncore_use_poll=True,
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
