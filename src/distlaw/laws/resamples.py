"""Resamples of the built-in laws that were fitted here, shipped with the package."""

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@cache
def resamples_of(name: str) -> dict[str, NDArray[np.float64]] | None:
    """Coefficients of each resample by name, each of shape (resamples,); None for a law that has none.

    `supervised_factor` is what the supervised law's losses were multiplied with before the refit. The tables are
    written by `studies/published/resamples.py`.
    """
    table = files("distlaw.laws") / "resampled" / f"{name}.csv"
    if not table.is_file():
        return None
    head, *rows = table.read_text(encoding="ascii").splitlines()
    values = np.array([[float(cell) for cell in row.split(",")] for row in rows])
    return dict(zip(head.split(","), values.T, strict=True))
