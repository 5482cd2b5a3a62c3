"""`distlaw serve`: the page."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from distlaw.apps.options import WholeNumber
from distlaw.laws import DEFAULT_LAW
from distlaw.runs import one_line


def serve(
    *,
    host: str = "127.0.0.1",
    port: WholeNumber = 8050,
    studies: tuple[Path, ...] = (),
    laws: Path | None = None,
    allow_remote: bool = False,
    allow_host: tuple[str, ...] = (),
) -> None:
    """Serve the page: plan, look at laws, fit and follow studies in a browser.

    It works without a network and asks nothing of other machines. Ctrl-C ends it.

    Args:
        host: Address to listen at; one that other machines can reach needs --allow-remote.
        port: Port to listen at.
        studies: Folder of studies to show; may be given again. Nothing outside these is ever read.
        laws: Folder of law files to offer.
        allow_remote: Let other machines in: there are no users and no passwords, so put what has them in front.
        allow_host: Name under which a reverse proxy on this machine offers the page, as plan.example.org; may be given
            again. What such a proxy says in X-Forwarded-For, -Proto, -Host and -Prefix is then believed, of it alone.
    """
    try:
        from distlaw.apps.web.app import make_app
        from distlaw.apps.web.names import host_name
        from distlaw.apps.web.plan_answer import warm
        from distlaw.apps.web.serving import is_loopback, listen
        from distlaw.apps.web.site import Site
    except ModuleNotFoundError as error:
        raise ValueError(f"the page needs '{error.name}': pip install 'distlaw[web]'") from None
    if not is_loopback(host) and not allow_remote:
        raise ValueError(f"--host '{one_line(host, 60)}' lets other machines in: add --allow-remote if that is meant")
    if port > 65535:
        raise ValueError(f"--port {port} is not a port: they end at 65535")
    allowed = [host_name(name) for name in allow_host]
    site = Site.of(laws=laws, studies=studies)
    try:
        server = listen(make_app(site), host=host, port=port, allow=allowed)
        threading.Thread(target=_quietly, args=(warm, site.law(DEFAULT_LAW)), daemon=True).start()
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}/  (Ctrl-C ends it)", flush=True)
        for ending in (signal.SIGTERM, signal.SIGHUP):  # end it as Ctrl-C does, leaving nothing behind
            signal.signal(ending, signal.default_int_handler)
        try:
            server.run()
        except KeyboardInterrupt:
            pass
        finally:
            server.close()
    finally:
        site.close()


def _quietly(work: Callable[..., object], *arguments: object) -> None:
    """Work whose failure is nobody's concern: who asks for the same later is told, and the server may be ending."""
    with suppress(Exception):
        work(*arguments)
