"""The server's connections: nobody can keep others out by opening many and saying nothing, or half of something.

waitress drops a connection on which nothing came for a while. Here a request also has to be whole in time, however
slowly it trickles, a client that is another machine has a number of connections, and where all places are taken the one
goes that has rested longest.
"""

import time
from collections import Counter
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from distlaw.apps.web.names import is_loopback

MOST, MOST_EACH = 400, 64
"""Connections: of all, and of one client; a proxy on this machine speaks for many clients."""
MOST_ARRIVING = 128_000_000
"""Bytes of the requests that are arriving, all together."""
HEAD_SECONDS, BODY_SECONDS = 15.0, 180.0
"""In which the head of a request and the whole of it have to come."""
_LARGE = 100_000  # bytes of a body that is worth counting


class Channel(HTTPChannel):
    """A connection that knows since when a request is arriving on it."""

    def __init__(self, server: "Server", sock: Any, addr: Any, adj: Adjustments, map: Any = None) -> None:  # noqa: ANN401
        self.since: float | None = time.time()  # of waitress's clock; None between requests
        super().__init__(server, sock, addr, adj, map=map)
        self._room = server.room

    def received(self, data: bytes) -> bool:
        """Data came."""
        before, counted = self.request, self.arriving
        found = super().received(data)
        if self.request is not before:
            self.since = None if self.request is None else time.time()
        elif self.request is None:
            self.since = None  # it came in one piece
        if self.arriving > max(counted, _LARGE):
            self._room(self)
        return found

    @property
    def client(self) -> str:
        """Its address."""
        return str(self.addr[0])

    @property
    def arriving(self) -> int:
        """Bytes that the body of the request under way has or will have."""
        request = self.request
        if request is None or not request.headers_finished:
            return 0
        return int(self.adj.max_request_body_size if request.chunked else request.content_length)

    @property
    def waits(self) -> bool:
        """Whether it is not being answered."""
        return not (self.requests or self.will_close)

    @property
    def resting(self) -> float:
        """Since when it has waited: for the rest of a request, for another, or for its answer to be fetched."""
        return self.last_activity if self.since is None else self.since

    def is_late(self) -> bool:
        """Whether the request that is arriving takes too long."""
        if self.since is None or self.requests:
            return False
        head = self.request is None or not self.request.headers_finished
        return time.time() - self.since > (HEAD_SECONDS if head else BODY_SECONDS)


class Server(TcpWSGIServer):
    """waitress's server with these channels."""

    channel_class = Channel

    def maintenance(self, now: float) -> None:
        """Every second: close what is late."""
        super().maintenance(now)  # pyright: ignore[reportArgumentType]
        for channel in self._open():
            if channel.is_late():
                channel.will_close = True

    def handle_accept(self) -> None:
        """Somebody comes: there is to be a place."""
        super().handle_accept()
        channels = [one for one in self._open() if not one.will_close]
        if len(channels) > MOST:
            _close_one(channels)
        each = Counter(one.client for one in channels)
        for client, number in each.items():
            if number > MOST_EACH and not is_loopback(client):
                _close_one([one for one in channels if one.client == client])

    def room(self, new: Channel) -> None:
        """A large request begins to come: where that is too much together, the oldest of who sends most is closed."""
        while True:
            sending = [one for one in self._open() if one.arriving and one.waits]
            if sum(one.arriving for one in sending) <= MOST_ARRIVING:
                return
            each: Counter[str] = Counter()
            for one in sending:
                each[one.client] += one.arriving
            (client, _), *_ = each.most_common(1)
            _close_one([one for one in sending if one.client == client and one is not new] or [new])

    def close(self) -> None:
        """Listen no more, and close all connections, which ends `run`."""
        for channel in self._open():
            channel.will_close = True
        super().close()

    def _open(self) -> list[Channel]:
        channels: Any = self.active_channels
        return list(channels.values())


def _close_one(channels: list[Channel]) -> None:
    """Close one of these, the longest resting; none where all are being answered, which ends soon."""
    if waiting := [one for one in channels if one.waits]:
        min(waiting, key=lambda one: one.resting).will_close = True


def make_server(app: Any, listener: Any, **limits: Any) -> Server:  # noqa: ANN401
    """A server of an app on a socket that listens.

    Args:
        app: The app.
        listener: The socket.
        **limits: Adjustments of waitress.
    """
    adjustments = Adjustments(
        sockets=[listener],
        connection_limit=2 * MOST,  # where waitress lets others wait; `handle_accept` makes room before
        cleanup_interval=1,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=False,  # `Forwarded` sees to these
        **limits,
    )
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(adjustments.threads)
    where = (listener.family, listener.type, listener.proto, listener.getsockname())
    return Server(
        app,
        {},
        True,
        listener,
        dispatcher=dispatcher,
        adj=adjustments,
        bind_socket=False,
        sockinfo=where,
    )
