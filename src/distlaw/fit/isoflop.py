"""IsoFLOP profiles: the best size at each compute, read off runs that spent the same ("approach 2").

Hoffmann et al. 2022, arXiv 2203.15556, section 3.2: at each compute the best size is the minimum of a parabola through
the losses over log N, and power laws ``N* ~ C^a, D* ~ C^b`` go through these. A parabola is biased by what it leaves
out (arXiv 2603.22339), so here all profiles share a curve of eq. 1's shape instead, see `isoflop_curve`. Every minimum
has an interval, which holds the curve's own uncertainty, and a profile is refused with the reason where there is no
minimum to read, where noise alone could move it out of the sizes tried, where almost all sizes lie on one side of it,
or where the losses do not follow the curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distlaw.fit.isoflop_curve import PRIOR, CurveFit, ProfileRuns, curve, fit_curves
from distlaw.runs import Runs

Array = NDArray[np.float64]
Interval = tuple[float, float]

OK, NO_MINIMUM, FLAT, TOO_FEW = "ok", "no interior minimum", "flat within noise", "too few runs"
LOPSIDED, TREND = "lopsided", "not on the curve"

_FEWEST_SIZES = 4  # a curve has three coefficients of its own
_FEWEST_RESAMPLES = 100
_SAME_SIZE = 0.01  # in log N
_LOPSIDED = 1 / 8  # least reach of the sizes on the short side of the minimum, of that on the long side
_TREND = 0.01  # p-value below which residuals have a trend: the runs furthest from the minimum are left out
_FEWEST_NEAR = 6  # sizes that are kept when runs far from the minimum are left out
_ONE_ERROR = 0.6827  # the level of one standard error
_CURVED = 0.95  # two-sided level at which a curvature above 0 must be known
_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Runs of one compute and the curve in log N through their losses.

    The curve is ``best_loss + curvature phi(log N - log best_params)``, see `isoflop_curve`. `best_params`,
    `best_tokens` and `best_loss` are NaN unless the status is `ok`: a refused profile has no answer.

    Attributes:
        compute: FLOPs of the profile, the geometric mean over its runs.
        params: Sizes N of its runs, ascending, shape (n,).
        tokens: Their tokens D.
        losses: Their losses, nats per token.
        near: Which of them the curve goes through: all, unless the furthest from the minimum do not follow it.
        status: `ok`, `no interior minimum`, `flat within noise`, `lopsided`, `not on the curve` or `too few runs`.
        reason: Why it was refused and which sizes to add; empty where the status is `ok`.
        curvature: Second derivative of the fitted loss in log N at its minimum, nats per token; NaN with too few runs.
        shape: log(alpha, beta, gamma) of the curve, one for all profiles.
        depth: Highest minus lowest fitted loss over the range of sizes, nats per token.
        noise: Standard deviation of the residuals, nats per token: that of all profiles, unless they differ.
        best_params: N at the minimum.
        best_tokens: D at the minimum: log D interpolated linearly over log N between the runs.
        best_loss: Fitted loss at the minimum, nats per token.
        error: Half the width of the interval of 68 % of log N at the minimum.
        interval: For log N at the minimum, at the level asked for: inside the sizes where the status is `ok`. None
            where no minimum lies between the sizes.
        draws: log N and log D at the minimum of each resample, shape (resamples, 2); empty unless `ok`. The resamples
            of profiles fitted together belong together.
    """

    compute: float
    params: Array
    tokens: Array
    losses: Array
    near: NDArray[np.bool_]
    status: str
    reason: str
    curvature: float = _NAN
    shape: tuple[float, float, float] = (_NAN, _NAN, _NAN)
    depth: float = _NAN
    noise: float = _NAN
    best_params: float = _NAN
    best_tokens: float = _NAN
    best_loss: float = _NAN
    error: float = _NAN
    interval: Interval | None = None
    draws: Array = field(default_factory=lambda: np.empty((0, 2)), repr=False)

    def loss(self, params: ArrayLike) -> Array:
        """Fitted loss of sizes N at this compute, nats per token; NaN unless the status is `ok`."""
        t = np.log(np.asarray(params, dtype=np.float64) / self.best_params)
        return self.best_loss + self.curvature * curve(t, np.array(self.shape))[0]

    @property
    def refusal(self) -> str:
        """Why there is no answer at this compute, in one sentence; empty where the status is `ok`."""
        return "" if self.status == OK else f"profile at C = {self.compute:.3g}: {self.status} ({self.reason})"


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
    """Sort runs into profiles of equal compute and fit a curve in log N to the losses of each.

    The profiles share the curve's shape and, unless they differ, the noise. Intervals are Student's t about the fit,
    whose covariance includes the shape's.

    Args:
        params: Sizes N of the runs, > 0, shape (k,).
        tokens: Training tokens D, > 0, shape (k,).
        losses: Cross-entropies, > 0, nats per token, shape (k,).
        compute: Training FLOPs, > 0, shape (k,).
        weights: Weight of each run, > 0, shape (k,): its squared residual counts so many times. Equal by default.
        tolerance: A profile ends at a gap in log C wider than this, and is never wider than twice this.
        level: Coverage of the intervals; a profile whose minimum they carry beyond its sizes is refused.
        seed: Of the resamples.
        resamples: Draws of every minimum from its distribution, at least 100.

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
    table = _table(columns)
    groups = [members for members in _groups(np.log(table["compute"]), tolerance) if members.size >= 3]
    found = [_Candidate.of({name: column[members] for name, column in table.items()}) for members in groups]
    _fit_together(found)
    return _answers(found, level, resamples, np.random.default_rng(seed))


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


@dataclass(kw_only=True)
class _Candidate:
    """A group of runs on its way to a `Profile`: sorted by size, with what has been found of it so far."""

    runs: dict[str, Array]
    near: NDArray[np.bool_]
    status: str = ""
    found: dict[str, Any] = field(default_factory=dict)
    start: Array = field(default_factory=lambda: np.full(3, _NAN))

    @classmethod
    def of(cls, runs: dict[str, Array]) -> "_Candidate":
        """Sort the runs, and refuse what has too few sizes, is flat or has its minimum beyond the sizes."""
        order = np.argsort(runs["params"], kind="stable")
        sorted_runs = {name: column[order] for name, column in runs.items()}
        candidate = cls(runs=sorted_runs, near=np.ones(order.size, dtype=bool))
        if (sizes := candidate.sizes) < _FEWEST_SIZES:
            candidate.refuse(TOO_FEW, f"{sizes} distinct sizes, at least {_FEWEST_SIZES} are needed")
        else:
            candidate.screen()
        return candidate

    @property
    def x(self) -> Array:
        """Log N of the runs near the minimum."""
        return np.log(self.runs["params"][self.near])

    @property
    def sizes(self) -> int:
        """Distinct sizes near the minimum."""
        return 1 + int(np.count_nonzero(np.diff(self.x) > _SAME_SIZE))

    def refuse(self, status: str, reason: str) -> None:
        """Give the profile up."""
        self.status = status
        self.found["reason"] = reason

    def screen(self) -> None:
        """Begin with a parabola's depth and with the likeliest shape's curve."""
        t, losses = self.x - self.x.mean(), self.runs["losses"]
        root = np.sqrt(self.runs["weights"] / self.runs["weights"].mean())
        design = np.stack([np.ones(t.size), t, t * t], axis=1)
        c = np.linalg.pinv(design * root[:, None]) @ (losses * root)
        residuals = (losses - design @ c) * root
        noise = float(np.sqrt(residuals @ residuals / (t.size - 3)))
        vertex = -c[1] / (2 * c[2]) if c[2] > 0 else t[0]
        ends = [c @ (1, at, at * at) for at in (t[0], t[-1], min(max(vertex, t[0]), t[-1]))]
        depth = float(np.ptp(ends))
        self.found |= {"curvature": float(2 * c[2]), "depth": depth, "noise": noise}
        self.start = _start(self.x, losses, root)
        if depth <= max(2 * noise, 1e-12 * float(losses.max())):
            reason = f"{depth:.2g} nats deep in a scatter of {noise:.2g}"
            self.refuse(FLAT, f"{reason}: add sizes further out on both sides, or repeats")
        elif not self.x[0] < self.start[0] < self.x[-1]:
            self.no_minimum("largest" if ends[1] < ends[0] else "smallest")

    def no_minimum(self, most: str) -> None:
        """Give the profile up since the loss falls towards an end."""
        self.refuse(NO_MINIMUM, f"the loss still falls at the {most} size, {_more(self.runs['params'], most)}")

    def leave_out_furthest(self, vertex: float) -> bool:
        """Leave the size furthest from the minimum out; False where too few would be left."""
        if self.sizes <= _FEWEST_NEAR:
            return False
        x = np.log(self.runs["params"])
        away = np.where(self.near, np.abs(x - vertex), -1.0)
        self.near &= np.abs(x - x[np.argmax(away)]) > _SAME_SIZE
        return True

    def judge(self, best: Array, reach: float, bend_reach: float, level: float) -> None:
        """Take the curve's minimum, or say why not.

        Args:
            best: log N*, L* and k.
            reach: Half the width of the interval of log N*.
            bend_reach: Of that of k, at the level that it must be above 0 at.
            level: Of the interval, for the reason.
        """
        x, params = self.x, self.runs["params"][self.near]
        vertex, bend = float(best[0]), float(best[2])
        self.found["interval"] = low, high = vertex - reach, vertex + reach
        below, above = low < x[0], high > x[-1]
        short, long = sorted((vertex - x[0], x[-1] - vertex))
        if below and above:
            reason = (
                f"its {level:.0%} interval reaches beyond both ends of the sizes: add sizes further out, or repeats"
            )
            self.refuse(FLAT, reason)
        elif below or above:
            most = "largest" if above else "smallest"
            reason = f"noise can move the minimum beyond the {most} size, {_more(params, most)}, or repeats"
            self.refuse(NO_MINIMUM, reason)
        elif bend < bend_reach:
            reason = f"its curvature is {bend:.2g} +- {bend_reach:.2g}: add sizes further out on both sides, or repeats"
            self.refuse(FLAT, reason)
        elif short < _LOPSIDED * long:
            most = "largest" if x[-1] - vertex < vertex - x[0] else "smallest"
            self.refuse(LOPSIDED, f"its minimum is close to the {most} size, {_more(params, most)}")

    def profile(self, **more: Any) -> Profile:  # noqa: ANN401
        """The profile."""
        columns = {name: self.runs[name] for name in ("params", "tokens", "losses")}
        compute = float(np.exp(np.log(self.runs["compute"]).mean()))
        return Profile(**columns, compute=compute, near=self.near, **{"reason": "", **self.found, **more},
                       status=self.status or OK)  # fmt: skip


def _start(x: Array, losses: Array, root: Array) -> Array:
    """Log N*, L* and k of the curve of the likeliest shape, N* scanned to half the range beyond either end."""
    vertex = np.linspace(1.5 * x[0] - 0.5 * x[-1], 1.5 * x[-1] - 0.5 * x[0], 161)
    phi, _ = curve(x - vertex[:, None], PRIOR)
    share = root**2 / losses**2
    share /= share.sum()
    centred, y = phi - (phi @ share)[:, None], losses - losses @ share
    bend = (centred * share) @ y / np.maximum((centred**2) @ share, 1e-300)
    misfit = np.where(bend > 0, (y - bend[:, None] * centred) ** 2 @ share, np.inf)
    at = int(np.argmin(misfit))
    if not np.isfinite(misfit[at]):
        return np.array([-np.inf, _NAN, _NAN])
    return np.array([vertex[at], losses @ share - bend[at] * (phi[at] @ share), bend[at]])


def _fit_together(candidates: list[_Candidate]) -> tuple[list[_Candidate], CurveFit | None]:
    """Fit the curves of all candidates, leaving runs far from a minimum out where residuals have a trend.

    A candidate without a minimum between its sizes, or whose nearest runs do not follow the curve, is refused, and has
    no say in the shape.
    """
    while left := [c for c in candidates if not c.status]:
        columns = [
            (c.x, c.runs["losses"][c.near], c.runs["weights"][c.near], np.full(c.x.size, i)) for i, c in enumerate(left)
        ]
        x, loss, weight, profile = (np.concatenate(parts) for parts in zip(*columns, strict=True))
        runs = ProfileRuns(x=x, loss=loss, weight=weight / weight.mean(), profile=profile.astype(np.intp))
        fit = fit_curves(runs, np.stack([c.start for c in left]))
        again = False
        for candidate, best, trend in zip(left, fit.best, fit.trend, strict=True):
            candidate.start = best
            if not candidate.x[0] < best[0] < candidate.x[-1]:
                candidate.no_minimum("largest" if best[0] >= candidate.x[-1] else "smallest")
            elif trend < _TREND and not candidate.leave_out_furthest(best[0]):
                reason = f"residuals of the {candidate.sizes} sizes nearest its minimum have a trend, p = {trend:.1g}"
                candidate.refuse(TREND, f"{reason}: look for runs that ended early or were tuned otherwise")
            again |= bool(candidate.status) or trend < _TREND
        if not again:
            return left, fit
    return [], None


def _answers(candidates: list[_Candidate], level: float, resamples: int, rng: np.random.Generator) -> list[Profile]:
    """Judge every candidate that is left, and draw the minima of those that stand."""
    together, fit = _fit_together(candidates)
    if fit is None:
        return [candidate.profile() for candidate in candidates]
    log_params = fit.draws(resamples, rng)
    reach, bend_reach, error = fit.reach(level)[:, 0], fit.reach(_CURVED)[:, 2], fit.reach(_ONE_ERROR)[:, 0]
    found: dict[int, dict[str, Any]] = {}
    for i, candidate in enumerate(together):
        best = fit.best[i]
        candidate.judge(best, float(reach[i]), float(bend_reach[i]), level)
        losses = candidate.runs["losses"][candidate.near]
        ends = curve(candidate.x[[0, -1]] - best[0], fit.shape)[0]
        found[id(candidate)] = answer = {
            "curvature": float(best[2]),
            "error": float(error[i]),
            "shape": tuple(fit.shape.tolist()),
            "depth": float(best[2] * ends.max()),
            "noise": float(fit.noise[i] * losses.mean()),
        }
        if not candidate.status:
            log_n = np.append(best[0], log_params[:, i])
            log_d = _interpolate(log_n, candidate.x, np.log(candidate.runs["tokens"][candidate.near]))
            best_params, best_tokens = float(np.exp(log_n[0])), float(np.exp(log_d[0]))
            answer |= {"best_params": best_params, "best_tokens": best_tokens, "best_loss": float(best[1])}
            answer["draws"] = np.stack([log_n[1:], log_d[1:]], axis=1)
    return [candidate.profile(**found.get(id(candidate), {})) for candidate in candidates]


def _more(params: Array, most: str) -> str:
    """The largest or smallest size, and sizes to try beyond it."""
    end, more, by = (params[-1], "larger", 2.0) if most == "largest" else (params[0], "smaller", 0.5)
    return f"N = {end:.3g}: add {more} sizes, such as {end * by:.2g} and {end * by**2:.2g}"


def _interpolate(at: Array, x: Array, y: Array) -> Array:
    """Linear interpolation of y (its mean over equal x) over ascending x; beyond the ends at the mean slope."""
    x, member = np.unique(x, return_inverse=True)
    y = np.bincount(member, y) / np.bincount(member)
    return np.interp(at, x, y) + (y[-1] - y[0]) / (x[-1] - x[0]) * (at - np.clip(at, x[0], x[-1]))
