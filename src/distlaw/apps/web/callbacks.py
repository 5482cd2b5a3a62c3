"""A tab's callbacks, declared where its module is read, before there is an app, and put into one later.

As Flask's blueprints do it: so that each is a function of the module with what it reacts to above it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from dash import ClientsideFunction, Dash, ctx
from dash.dependencies import DashDependency

from distlaw.apps.web.site import Site


class Callbacks:
    """The callbacks of a tab."""

    def __init__(self) -> None:
        self._declared: list[Callable[[Dash, Site], object]] = []

    def on(self, *wires: DashDependency, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: ANN401
        """Declare a function, which is given the site, then the values of its inputs and states in order.

        Args:
            *wires: Outputs, then inputs and states.
            **options: Of Dash's own `callback`.
        """

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            self._declared.append(lambda app, site: app.callback(*wires, **options)(partial(function, site)))
            return function

        return declare

    def in_browser(self, name: str, *wires: DashDependency) -> None:
        """Declare a function of assets/page.js."""
        function = ClientsideFunction("distlaw", name)
        self._declared.append(lambda app, _: app.clientside_callback(function, *wires))

    def register(self, app: Dash, site: Site) -> None:
        """Put them into an app."""
        for declared in self._declared:
            declared(app, site)


def pressed(tab: str) -> str | None:
    """Which button of a tab was pressed, without the tab's name; None where it is a button that has only appeared."""
    if not ctx.triggered or not ctx.triggered[0]["value"]:
        return None
    return str(ctx.triggered_id).removeprefix(f"{tab}-")
