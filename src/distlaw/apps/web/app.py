"""The Dash app: the frame around the tabs, which of them is shown, and light or dark."""

import logging
from dataclasses import dataclass
from types import ModuleType

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, set_props

from distlaw.apps.web import fit_tab, law_tab, plan_tab, study_tab
from distlaw.apps.web.elements import Content, aria, message
from distlaw.apps.web.fit_question import FitQuestion
from distlaw.apps.web.frame import FramedDash, below
from distlaw.apps.web.law_question import LawQuestion
from distlaw.apps.web.plan_question import PlanQuestion
from distlaw.apps.web.query import Question
from distlaw.apps.web.site import Site
from distlaw.apps.web.study_question import StudyQuestion
from distlaw.apps.web.workers import full_disk

_LOG = logging.getLogger("distlaw.page")


@dataclass(frozen=True, kw_only=True)
class Tab:
    """A tab.

    Attributes:
        name: In the address, and on the tab with a capital.
        about: What it is for.
        question: Type of its question.
        module: What has its `layout` and `register`.
    """

    name: str
    about: str
    question: type[Question]
    module: ModuleType


TABS = (
    Tab(name="plan", about="Distill or train from scratch?", question=PlanQuestion, module=plan_tab),
    Tab(name="law", about="What a law says, and where it was fitted", question=LawQuestion, module=law_tab),
    Tab(name="fit", about="A law from your own runs", question=FitQuestion, module=fit_tab),
    Tab(name="study", about="Studies under way, and what labs found", question=StudyQuestion, module=study_tab),
)


def make_app(site: Site) -> Dash:
    """The app of a site."""
    app = FramedDash(
        "distlaw.apps.web",
        tabs=[tab.name for tab in TABS],
        title="distlaw",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,
        enable_mcp=False,
        on_error=_tell,
        index_string=_PAGE,
        add_log_handler=False,
    )
    app.layout = _frame
    app.clientside_callback(
        ClientsideFunction("distlaw", "theme"), Output("theme", "data"), Input("theme-button", "n_clicks")
    )
    for tab in TABS:
        app.clientside_callback(
            ClientsideFunction("distlaw", "address"),
            Output(f"nav-{tab.name}", "href"),
            Input(f"{tab.name}-query", "data"),
            State(f"nav-{tab.name}", "href"),
            prevent_initial_call=True,
        )
        tab.module.register(app, site)

    @app.callback(
        Output("main", "children"),
        Output("oops", "children"),
        *(Output(f"nav-{tab.name}", "className") for tab in TABS),
        Input("url", "pathname"),
        Input("url", "search"),
    )
    def show(path: str | None, search: str | None) -> tuple[Content, ...]:
        name = (path or "/").removeprefix(below("")).strip("/") or TABS[0].name
        classes = ["current" if tab.name == name else "" for tab in TABS]
        tab = next((tab for tab in TABS if tab.name == name), None)
        if tab is None:
            there = ", ".join(below(f"/{tab.name}") for tab in TABS)
            text = message(f"there is no page '/{name[:60]}'; there are {there}")
            return html.Div([html.H1("Not found"), text], className="card"), None, *classes
        question, problems = tab.question.from_query(search or "")
        notes = [message(*problems, kind="warning")] if problems else []
        shown = [*notes, *tab.module.layout(question, site)]
        return html.Div(shown, className=f"sheet {tab.name}"), None, *classes

    return app


def _tell(error: Exception) -> None:
    """What nobody foresaw: the log has it all, the page a line, and the server goes on."""
    if (why := full_disk(error)) is not None:
        _LOG.error("%s", why)
    else:
        _LOG.error("a callback failed", exc_info=error)
    fault = "something went wrong here, which is a fault of the program; its log has more"
    set_props("oops", {"children": message(full_disk(error) or fault)})


def _frame() -> html.Div:
    links = [
        html.Li(dcc.Link(tab.name.capitalize(), href=below(f"/{tab.name}"), id=f"nav-{tab.name}", title=tab.about))
        for tab in TABS
    ]
    return html.Div(
        [
            html.A("Skip to content", href="#main", className="skip"),
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="theme"),
            *(dcc.Store(id=f"{tab.name}-query") for tab in TABS),
            html.Header(
                [
                    html.Div([html.Span("distlaw"), html.Small("distillation scaling laws")], className="brand"),
                    html.Nav(html.Ul(links), **aria(label="Tabs")),
                    html.Button("Dark", id="theme-button", type="button", className="quiet"),
                ]
            ),
            html.Div(id="oops"),
            html.Main(id="main", tabIndex="-1"),
        ],
        className="frame",
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    <link rel="preload" as="script" href="/_dash-component-suites/plotly/package_data/plotly.min.js">
    {%favicon%}
    {%css%}
  </head>
  <body>
    <script src="/charts.js"></script>
    {%app_entry%}
    <noscript>This page needs JavaScript. The same answers: distlaw plan --help</noscript>
    <footer>
      {%config%}
      {%scripts%}
      {%renderer%}
    </footer>
  </body>
</html>
"""
