"""Inputs as the browser's own elements (text, select, check box, file), labelled, for keyboard and screen reader.

Dash's own inputs are built of other elements that keyboards and screen readers know less well. These are a few
lines each, in assets/controls.js, and hold their value in the property `value`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dash.development.base_component import Component

_NAMESPACE = "distlaw_controls"


class _Control(Component):
    """A control; see the subclasses."""

    _children_props: list[str] = []  # noqa: RUF012
    _base_nodes = ["children"]  # noqa: RUF012
    _namespace = _NAMESPACE

    def __init__(self, **props: Any) -> None:  # noqa: ANN401
        self._prop_names = [*_PROPS, *(name for name in props if name not in _PROPS)]
        self._valid_wildcard_attributes = []
        self.available_properties = list(self._prop_names)
        self.available_wildcard_properties = []
        super().__init__(**{name: value for name, value in props.items() if value is not None})


_PROPS = ("id", "value", "label", "help")


class Text(_Control):
    """A line of text."""

    _type = "Text"

    def __init__(self, id: str, label: str, value: str, *, help: str = "", placeholder: str = "") -> None:
        super().__init__(id=id, label=label, value=value, help=help, placeholder=placeholder)


class Quantity(_Control):
    """A quantity as people write it, 1.5B or 1e22, with a slider on a logarithmic scale beside the text.

    The slider runs from `low` to `high`; the text may lie beyond, and may be empty where it is `optional`.
    """

    _type = "Quantity"

    def __init__(
        self, id: str, label: str, value: str, *, low: float, high: float, help: str = "", optional: bool = False
    ) -> None:
        super().__init__(id=id, label=label, value=value, help=help, low=low, high=high, optional=optional)


class Select(_Control):
    """One of a few words; `options` maps what is kept to what is shown, in order, or groups of such mappings.

    `about` says more of an option, below it once it is chosen.
    """

    _type = "Select"

    def __init__(
        self,
        id: str,
        label: str,
        value: str,
        options: Mapping[str, str | Mapping[str, str]],
        *,
        help: str = "",
        about: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(id=id, label=label, value=value, help=help, options=options_of(options, about or {}))


def options_of(
    options: Mapping[str, str | Mapping[str, str]], about: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """What a `Select` is told of its options."""
    more = about or {}
    return [
        {"group": key, "options": options_of(shown, more)}
        if isinstance(shown, Mapping)
        else {"value": key, "label": shown} | ({"about": more[key]} if key in more else {})
        for key, shown in options.items()
    ]


class Check(_Control):
    """A box that is ticked ("yes") or not ("")."""

    _type = "Check"

    def __init__(self, id: str, label: str, value: str, *, help: str = "") -> None:
        super().__init__(id=id, label=label, value=value, help=help)


class Rows(_Control):
    """A table whose cells are texts, with rows to add and to remove."""

    _type = "Rows"

    def __init__(
        self, id: str, label: str, value: Sequence[Sequence[str]], *, columns: Sequence[str], thing: str, most: int
    ) -> None:
        rows = [list(row) for row in value]
        super().__init__(id=id, label=label, value=rows, columns=list(columns), thing=thing, most=most)


class Drop(_Control):
    """A place to drop one file, or to choose it; `value` is `{"name", "content"}`, the content in base 64."""

    _type = "Drop"

    def __init__(self, id: str, label: str, *, accept: str, most_bytes: int, help: str = "") -> None:
        super().__init__(id=id, label=label, help=help, accept=accept, mostBytes=most_bytes)


class Copy(_Control):
    """A button that copies a text, or the page's address where there is none."""

    _type = "Copy"

    def __init__(self, id: str, label: str, value: str | None = None) -> None:
        super().__init__(id=id, label=label, value=value)


class Chart(_Control):
    """A plotly figure, drawn when it is in view; `height` in pixels."""

    _type = "Chart"

    def __init__(self, label: str, *, id: str | None = None, figure: dict[str, Any] | None = None, height: int) -> None:
        super().__init__(id=id, label=label, figure=figure, height=height)


class Table(_Control):
    """A table that scrolls on its own where it is wider than the page; the first cell of a row is its header.

    One component, as Dash would look at thousands of cells at every change. A cell is a text, or a mapping of `words`
    and a `kind` (a class), or `words` and a `bar` of shares by name. A column may stand `under` another, whose cells
    then have it as a smaller line: so that a table with many columns is not wider than the page.
    """

    _type = "Table"

    def __init__(
        self,
        caption: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str | Mapping[str, Any]]],
        *,
        marked: int = -1,
        tall: bool = False,
        under: Mapping[str, str] | None = None,
    ) -> None:
        cells = [list(row) for row in rows]
        names = list(columns)
        above = [names.index(under[name]) if under and under.get(name) in names else -1 for name in names]
        super().__init__(caption=caption, columns=names, rows=cells, marked=marked, tall=tall, under=above)
