"""Dash's app as this page needs it: below the path that a proxy gives it, and with nothing at unknown paths."""

import re
import sys
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path
from typing import Any

from dash import Dash
from dash.fingerprint import check_fingerprint
from flask import Flask, Response, abort, has_request_context, request, send_file

COMPONENTS = "/_dash-component-suites/"
_YEAR = 365 * 24 * 3600  # seconds
_OWN = ("/_", "/assets/")  # paths of programs, which have no page to be shown on
_LINK = re.compile(r'((?:src|href)=")/(?!/)')
_ROOT = '"requests_pathname_prefix":"\\u002f"'


def below(path: str) -> str:
    """A path of this page as a browser has to ask for it: below the prefix that a proxy gives the page, if any."""
    return (request.script_root if has_request_context() else "") + path


class FramedDash(Dash):
    """Dash, with a status of 404 for what is not there."""

    def __init__(self, name: str, *, tabs: Collection[str], **options: Any) -> None:  # noqa: ANN401
        """As Dash.

        Args:
            name: Of the package with the assets.
            tabs: Paths that have a page, without slashes.
            **options: Of Dash.
        """
        super().__init__(name, **options)
        self._tabs = frozenset(tabs) | {""}
        server: Flask = self.server  # pyright: ignore[reportAssignmentType]
        endpoint = next(rule.endpoint for rule in server.url_map.iter_rules() if rule.rule.startswith(COMPONENTS))
        server.view_functions[endpoint] = self._component
        server.add_url_rule("/charts.js", view_func=_charts)

    def index(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        """The page, which says itself that there is nothing at an unknown path."""
        if request.path.startswith(_OWN):
            abort(404)
        text = str(super().index())
        if root := request.script_root:
            assert _ROOT in text
            text = _LINK.sub(rf"\g<1>{root}/", text.replace(_ROOT, f'"requests_pathname_prefix":"{root}/"'))
        return Response(text, 200 if request.path.strip("/") in self._tabs else 404, mimetype="text/html")

    def _component(self, package_name: str, fingerprinted_path: str) -> Response:
        """A file of Dash or plotly, sent from where it lies and not through the memory of the server."""
        path, fingerprinted = check_fingerprint(fingerprinted_path)
        if path not in self.registered_paths.get(package_name, ()):
            abort(404)
        file = Path(str(sys.modules[package_name].__file__)).parent / path
        if not file.is_file():
            abort(404)
        return send_file(file, conditional=True, max_age=_YEAR if fingerprinted else None)


def _charts() -> Response:
    """What fits a figure into its place, which reports have too."""
    return send_file(Path(str(files("distlaw.report") / "assets" / "charts.js")), conditional=True)
