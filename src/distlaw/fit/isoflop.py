"""IsoFLOP parabolas: the best size at each compute, read off runs that spent the same ("approach 2").

Hoffmann et al. 2022, arXiv 2203.15556, section 3.2: at each compute a parabola is fitted to the loss over log N, its
vertex is the best size, and power laws ``N* ~ C^a, D* ~ C^b`` go through the vertices. Here every vertex has an
interval, and a profile is refused with the reason where there is no vertex to read, or where noise alone could move it
out of the sizes tried: parabolas through pure noise have a vertex too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.runs import Runs

Array = NDArray[np.float64]
Interval = tuple[float, float]

OK, NO_MINIMUM, FLAT, TOO_FEW = "ok", "no interior minimum", "flat within noise", "too few runs"

_FEWEST_SIZES = 4  # three lie on a parabola whatever they are
_FEWEST_RESAMPLES = 100
_SAME_SIZE = 0.01  # in log N
_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Runs of one compute and the parabola in log N through their losses.

    The parabola is ``best_loss + curvature / 2 (log N - log best_params)^2``. `best_params`, `best_tokens` and
    `best_loss` are NaN unless the status is `ok`: a refused profile has no answer.

    Attributes:
        compute: FLOPs of the profile, the geometric mean over its runs.
        params: Sizes N of its runs, ascending, shape (n,).
        tokens: Their tokens D.
        losses: Their losses, nats per token.
        status: `ok`, `no interior minimum`, `flat within noise` or `too few runs`.
        reason: Why it was refused and which sizes to add; empty where the status is `ok`.
        curvature: Second derivative of the fitted loss in log N, nats per token; NaN with too few runs.
        depth: Highest minus lowest fitted loss over the range of sizes, nats per token.
        noise: Standard deviation of the residuals, with n - 3 degrees of freedom, nats per token.
        best_params: N at the vertex.
        best_tokens: D at the vertex: log D interpolated linearly over log N between the runs.
        best_loss: Fitted loss at the vertex, nats per token.
        interval: For log N at the vertex, at the level asked for: inside the sizes where the status is `ok`. None
            where no vertex lies between the sizes.
        draws: log N and log D at the vertex of each resample, shape (resamples, 2); empty unless `ok`.
    """

    compute: float
    params: Array
    tokens: Array
    losses: Array
    status: str
    reason: str
    curvature: float = _NAN
    depth: float = _NAN
    noise: float = _NAN
    best_params: float = _NAN
    best_tokens: float = _NAN
    best_loss: float = _NAN
    interval: Interval | None = None
    draws: Array = field(default_factory=lambda: np.empty((0, 2)), repr=False)

    @property
    def refusal(self) -> str:
        """Why there is no answer at this compute, in one sentence; empty where the status is `ok`."""
        return "" if self.status == OK else f"profile at C = {self.compute:.3g}: {self.status} ({self.reason})"


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """``N* = exp(intercepts[0]) C^a`` and ``D* = exp(intercepts[1]) C^b``, C in FLOPs.

    Attributes:
        a: Exponent of the best size.
        b: Exponent of the best number of tokens.
        intercepts: log N* and log D* at C = 1.
        a_interval: For a, from the resampled vertices; None with fewer than three profiles.
        b_interval: For b, likewise.
        draws: Intercept and exponent of N* and of D* under each resample, shape (resamples, 2, 2); empty with fewer
            than three profiles.
    """

    a: float
    b: float
    intercepts: tuple[float, float]
    a_interval: Interval | None
    b_interval: Interval | None
    draws: Array = field(repr=False, compare=False)

    def at(self, compute: ArrayLike) -> tuple[Array, Array]:
        """Best size N* and tokens D* for a compute C > 0 in FLOPs."""
        log_c = np.log(np.asarray(compute, dtype=np.float64))
        return np.exp(self.intercepts[0] + self.a * log_c), np.exp(self.intercepts[1] + self.b * log_c)

    def resampled(self, compute: ArrayLike) -> tuple[Array, Array]:
        """N* and D* under each resample for computes C > 0 of shape (k,): each of shape (resamples, k)."""
        log_c = np.log(np.asarray(compute, dtype=np.float64))
        log_n, log_d = (self.draws[:, i, :1] + self.draws[:, i, 1:] * log_c for i in (0, 1))
        return np.exp(log_n), np.exp(log_d)


def refusals(profiles: Sequence[Profile], most: int = 6) -> list[str]:
    """Why profiles were refused, one sentence each; beyond `most` of them they are counted."""
    found = [profile.refusal for profile in profiles if profile.status != OK]
    if len(found) > most:
        rest = len(found) - most
        found[most:] = [
            f"{rest} more of {len(profiles)} profiles are refused: the runs may not lie on IsoFLOP profiles"
        ]
    return found


def compute_of_each(runs: Runs) -> tuple[Array, str]:
    """Training FLOPs of each run, and where they come from.

    The column `compute` where every run has one, else `6 N D` for all of them: profiles are not made of two counts.
    """
    unknown = int(np.isnan(runs.compute).sum())
    if not unknown:
        return runs.compute, "the compute column"
    why = "no run has a compute" if unknown == len(runs) else f"{unknown} of {len(runs)} runs have no compute"
    return 6 * runs.student_params * runs.student_tokens, f"6 N D, as {why}"


def fit_profiles(
    params: ArrayLike,
    tokens: ArrayLike,
    losses: ArrayLike,
    compute: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    tolerance: float = 0.1,
    level: float = 0.9,
    seed: int = 0,
    resamples: int = 1000,
) -> list[Profile]:
    """Sort runs into profiles of equal compute and fit a parabola in log N to the losses of each.

    The interval of a vertex comes from resampled residuals, scaled up for their leverage (Davison & Hinkley 1997,
    section 6.3.2) and, draw by draw, for a noise that is itself known from n - 3 residuals only.

    Args:
        params: Sizes N of the runs, > 0, shape (k,).
        tokens: Training tokens D, > 0, shape (k,).
        losses: Cross-entropies, > 0, nats per token, shape (k,).
        compute: Training FLOPs, > 0, shape (k,).
        weights: Weight of each run, > 0, shape (k,): its squared residual counts so many times. Equal by default.
        tolerance: A profile ends at a gap in log C wider than this, and is never wider than twice this.
        level: Coverage of the intervals; a profile whose vertex they carry beyond its sizes is refused.
        seed: Of the resamples.
        resamples: Bootstrap resamples of each profile, at least 100: without an interval noise passes for a minimum.

    Returns:
        One profile for each group of at least three runs, by ascending compute; smaller groups are passed over.

    Raises:
        ValueError: A column has another length or an entry that is not positive and finite, or an option is absurd.
    """
    weights = np.ones(np.shape(params)) if weights is None else weights
    columns = {"params": params, "tokens": tokens, "losses": losses, "compute": compute, "weights": weights}
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be 0 or more, got {tolerance}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if resamples < _FEWEST_RESAMPLES:
        raise ValueError(f"resamples must be at least {_FEWEST_RESAMPLES}, got {resamples}")
    table, rng = _table(columns), np.random.default_rng(seed)
    return [
        _fit_profile({name: column[members] for name, column in table.items()}, level, resamples, rng)
        for members in _groups(np.log(table["compute"]), tolerance)
        if members.size >= 3
    ]


def fit_allocation(profiles: Sequence[Profile], *, level: float = 0.9) -> Allocation:
    """Power laws of the best size and tokens in compute, through the vertices of the `ok` profiles.

    Args:
        profiles: From `fit_profiles`; those that were refused are passed over.
        level: Coverage of the intervals.

    Raises:
        ValueError: Fewer than two profiles are `ok`; says what each of the others lacks.
    """
    good = [p for p in profiles if p.status == OK]
    if len(good) < 2:
        missing = "; ".join(refusals(profiles) or [f"add runs at another compute, at least {_FEWEST_SIZES} sizes each"])
        raise ValueError(f"2 profiles with a minimum are needed, {len(good)} of {len(profiles)} have one; {missing}")
    design = np.stack([np.ones(len(good)), np.log([p.compute for p in good])], axis=1)
    solve = np.linalg.pinv(design)
    log_params, a = (solve @ np.log([p.best_params for p in good])).tolist()
    log_tokens, b = (solve @ np.log([p.best_tokens for p in good])).tolist()
    a_interval, b_interval, draws = None, None, np.empty((0, 2, 2))
    if len(good) >= 3:
        count = min(len(p.draws) for p in good)
        vertices = np.stack([p.draws[:count] for p in good])  # (profiles, resamples, 2)
        draws = np.einsum("kp,prq->rqk", solve, vertices)
        a_interval, b_interval = (_interval(draws[:, i, 1], level) for i in (0, 1))
    return Allocation(
        a=a,
        b=b,
        intercepts=(log_params, log_tokens),
        a_interval=a_interval,
        b_interval=b_interval,
        draws=draws,
    )


def _table(columns: dict[str, ArrayLike]) -> dict[str, Array]:
    table = {name: np.asarray(values, dtype=np.float64).reshape(-1) for name, values in columns.items()}
    for name, column in table.items():
        if column.size != table["params"].size:
            raise ValueError(f"{name} has {column.size} entries for {table['params'].size} params: one a run is needed")
        bad = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
        if bad.size:
            raise ValueError(f"{name} must be positive and finite, got {column[bad[0]]:g} for run {bad[0]}")
    return table


def _groups(log_c: Array, tolerance: float) -> list[NDArray[np.intp]]:
    groups: list[list[int]] = []
    for i in np.argsort(log_c, kind="stable").tolist():
        last, first = (log_c[groups[-1][k]] if groups else -np.inf for k in (-1, 0))
        if log_c[i] - last > tolerance or log_c[i] - first > 2 * tolerance:
            groups.append([])
        groups[-1].append(i)
    return [np.array(group) for group in groups]


def _fit_profile(runs: dict[str, Array], level: float, resamples: int, rng: np.random.Generator) -> Profile:
    order = np.argsort(runs["params"], kind="stable")
    params, tokens, losses, weights = (runs[name][order] for name in ("params", "tokens", "losses", "weights"))
    x, compute = np.log(params), float(np.exp(np.log(runs["compute"]).mean()))
    found = {"compute": compute, "params": params, "tokens": tokens, "losses": losses}
    sizes = 1 + np.count_nonzero(np.diff(x) > _SAME_SIZE)
    if sizes < _FEWEST_SIZES:
        return Profile(**found, status=TOO_FEW, reason=f"{sizes} distinct sizes, at least {_FEWEST_SIZES} are needed")

    centre, root = float(x.mean()), np.sqrt(weights / weights.mean())
    t = x - centre
    design = np.stack([np.ones(t.size), t, t * t], axis=1)
    solve = np.linalg.pinv(design * root[:, None])
    c = solve @ (losses * root)
    residuals = (losses - design @ c) * root
    noise = float(np.sqrt(residuals @ residuals / (t.size - 3)))
    vertex = -c[1] / (2 * c[2]) if c[2] > 0 else _NAN
    inside = bool(t[0] < vertex < t[-1])
    left, middle, right = (c @ (1, at, at * at) for at in (t[0], vertex if inside else t[0], t[-1]))
    depth = float(np.ptp([left, middle, right]))
    found |= {"curvature": float(2 * c[2]), "depth": depth, "noise": noise}
    if depth <= max(2 * noise, 1e-12 * float(losses.max())):
        reason = f"{depth:.2g} nats deep in a scatter of {noise:.2g}: add sizes further out on both sides, or repeats"
        return Profile(**found, status=FLAT, reason=reason)
    if not inside:
        most = "largest" if right < left else "smallest"
        return Profile(
            **found, status=NO_MINIMUM, reason=f"the loss still falls at the {most} size, {_more(params, most)}"
        )

    leverage = np.einsum("ij,ji->i", design * root[:, None], solve)
    scaled = residuals / np.sqrt(np.maximum(1 - leverage, 1e-6))
    vertices = centre + np.append(vertex, _resample(c, scaled - scaled.mean(), t, solve, resamples, rng))
    found["interval"] = low, high = _interval(vertices[1:], level)
    below, above = low < x[0], high > x[-1]
    if below and above:
        reason = f"its {level:.0%} interval reaches beyond both ends of the sizes: add sizes further out, or repeats"
        return Profile(**found, status=FLAT, reason=reason)
    if below or above:
        most = "largest" if above else "smallest"
        reason = f"noise can move the minimum beyond the {most} size, {_more(params, most)}, or repeats"
        return Profile(**found, status=NO_MINIMUM, reason=reason)
    pairs = np.stack([vertices, _interpolate(vertices, x, np.log(tokens))], axis=1)
    best_params, best_tokens = np.exp(pairs[0]).tolist()
    found |= {"best_params": best_params, "best_tokens": best_tokens, "best_loss": float(middle)}
    return Profile(**found, status=OK, reason="", draws=pairs[1:])


def _more(params: Array, most: str) -> str:
    """The largest or smallest size, and sizes to try beyond it."""
    end, more, by = (params[-1], "larger", 2.0) if most == "largest" else (params[0], "smaller", 0.5)
    return f"N = {end:.3g}: add {more} sizes, such as {end * by:.2g} and {end * by**2:.2g}"


def _resample(c: Array, scaled: Array, t: Array, solve: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Vertex t of each resample; without a minimum, or further out than the range is wide, it counts as that far."""
    scale = np.sqrt((t.size - 3) / rng.chisquare(t.size - 3, size=(resamples, 1)))
    c = c + (rng.choice(scaled, size=(resamples, t.size)) * scale) @ solve.T
    low, high = 2 * t[0] - t[-1], 2 * t[-1] - t[0]
    falls = c[:, 1] + c[:, 2] * (t[0] + t[-1]) < 0  # from the smallest size to the largest
    minimum = c[:, 2] > 0
    at = -c[:, 1] / (2 * np.where(minimum, c[:, 2], 1.0))
    return np.clip(np.where(minimum, at, np.where(falls, high, low)), low, high)


def _interpolate(at: Array, x: Array, y: Array) -> Array:
    """Linear interpolation of y (its mean over equal x) over ascending x; beyond the ends at the mean slope."""
    x, member = np.unique(x, return_inverse=True)
    y = np.bincount(member, y) / np.bincount(member)
    return np.interp(at, x, y) + (y[-1] - y[0]) / (x[-1] - x[0]) * (at - np.clip(at, x[0], x[-1]))


def _interval(draws: Array, level: float) -> Interval:
    low, high = np.percentile(draws, _tails(level))
    return float(low), float(high)


def _tails(level: float) -> tuple[float, float]:
    return 50 * (1 - level), 50 * (1 + level)
