"""`distlaw laws`: the published coefficient sets."""

from distlaw.apps.output import console, print_json
from distlaw.fit.lawfile import find_law
from distlaw.laws import DEFAULT_LAW, PublishedLaw, published_names


def laws(name: str | None = None, /, *, json: bool = False) -> None:
    """List the published laws, or show one, published or in a law file: coefficients, intervals, source, fitted range.

    Args:
        name: A law, or the path of a law file; all published ones where none is named.
        json: Print JSON.
    """
    chosen = [find_law(n) for n in ([name] if name else published_names())]
    if json:
        print_json({"default": DEFAULT_LAW, "laws": [_as_row(law) for law in chosen]})
        return
    from distlaw.report.tables import law_table, laws_table

    console().print(law_table(chosen[0]) if name else laws_table(chosen, default=DEFAULT_LAW))


def _as_row(law: PublishedLaw) -> dict[str, object]:
    return {
        "name": law.name,
        "kind": law.kind,
        "coefficients": law.coefficients,
        "intervals": law.intervals,
        "interval_level": law.interval_level,
        "source": law.source,
        "data": law.data,
        "size_convention": law.size_convention,
        "runs": law.runs,
        "fitted_range": law.fitted_range,
        "resolution": law.resolution,
        "alternatives": law.alternatives,
        "cautions": law.cautions,
    }
