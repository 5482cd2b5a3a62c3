"""Connections that say nothing, or half of something: the page answers others all the same."""

import contextlib
import http.client
import socket
import threading
import time

import pytest
from tests.waiting import LONG

from distlaw.apps.web import connections
from distlaw.apps.web.connections import make_server

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def app(environ, start):
    body = environ["wsgi.input"].read()
    text = b"x" * 3_000_000 if environ["PATH_INFO"] == "/large" else b"%d bytes" % len(body)
    start("200 OK", [("Content-Length", str(len(text)))])
    return [text]


@contextlib.contextmanager
def served(**limits):
    """The port of a server."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = make_server(app, listener, threads=2, **limits)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server.effective_port
    server.close()
    thread.join(LONG)
    assert not thread.is_alive()
    server.task_dispatcher.shutdown()


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(connections, "MOST", 12)
    monkeypatch.setattr(connections, "MOST_ARRIVING", 3_000_000)
    with served(max_request_body_size=1_000_001, inbuf_overflow=2_000_000) as port:
        yield port


def ask(port, path="/", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
    with contextlib.closing(connection):
        connection.request("POST" if body else "GET", path, body)
        return connection.getresponse().read()


@contextlib.contextmanager
def many(port, number, say):
    """Connections on which something was said."""
    with contextlib.ExitStack() as kept:
        found = []
        for _ in range(number):
            found.append(kept.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LONG)))
            found[-1].sendall(say)
        yield found


def is_closed(one):
    with contextlib.suppress(ConnectionError):
        return one.recv(1) == b""
    return True


@pytest.mark.parametrize(
    "say", [b"", b"GET / HTTP/1.1\r\nHo", HEAD % 900, HEAD % 900_000, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_many_connections_keep_nobody_out(port, say):
    with many(port, 40, say):
        assert ask(port) == b"0 bytes"
        assert ask(port, body=b"12345") == b"5 bytes"


def test_who_does_not_fetch_answers_keeps_nobody_out(port):
    with many(port, 40, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"):
        assert ask(port) == b"0 bytes"


@pytest.mark.parametrize(
    ("limit", "begins"), [("HEAD_SECONDS", b"GET / HTTP/1.1\r\nHost: "), ("BODY_SECONDS", HEAD % 900_000)]
)
def test_a_request_that_trickles_is_late(port, monkeypatch, limit, begins):
    monkeypatch.setattr(connections, limit, 0.5)
    with many(port, 1, begins) as (slow,):
        with contextlib.suppress(OSError):
            for _ in range(20 * LONG):
                slow.sendall(b"1")
                time.sleep(0.05)
        assert is_closed(slow)
    monkeypatch.setattr(connections, limit, LONG)
    assert ask(port) == b"0 bytes"


def test_who_says_nothing_is_late(port, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with many(port, 1, b"") as (silent,):
        assert is_closed(silent)


def test_bodies_that_arrive_are_bounded_together(port):
    with many(port, 8, HEAD % 900_000) as kept:  # of which three may be there at once
        assert [is_closed(one) for one in kept[:5]] == [True] * 5
        assert ask(port, body=b"1" * 900_000) == b"900000 bytes"


def test_a_client_that_is_another_machine_has_a_part(monkeypatch):
    monkeypatch.setattr(connections, "MOST_EACH", 3)
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)
    with served() as port, many(port, 9, b"") as kept:
        assert [is_closed(one) for one in kept[:6]] == [True] * 6
        assert ask(port) == b"0 bytes"
