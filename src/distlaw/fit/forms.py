"""Functional forms as a fit sees them: free coordinates, where to start, and the law they make.

Coordinates are chosen so that the directions that data often leave open are axes. In eq. 8 c1, f1 and d1 act together
when L_T is well below d1 L~_S: only ``k = c1 f1 d1^(-1/f1)`` and ``s = 1/f1`` matter then, and d1 is free. The fit
therefore moves in log k, log s and log d1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distlaw.laws import DistillationLaw, EffectiveTokensLaw, ExponentialLaw, PeakedTokensLaw, SupervisedLaw

Array = NDArray[np.float64]
StudentForm = DistillationLaw | ExponentialLaw | EffectiveTokensLaw | PeakedTokensLaw
Law = SupervisedLaw | StudentForm


@dataclass(frozen=True)
class Coordinate:
    """One axis of the search.

    Attributes:
        name: The coordinate, as `log A` or `alpha`.
        start: Starts are drawn from this range; it covers the paper's grid (appendix F).
        bounds: The search does not leave this range.
    """

    name: str
    start: tuple[float, float]
    bounds: tuple[float, float]


@dataclass(frozen=True)
class Form:
    """A functional form.

    Attributes:
        name: Key in `FORMS`.
        kind: `supervised` or `distillation`.
        coordinates: The axes of the search.
        coefficients: Names of the law's coefficients.
        to_coefficients: Coordinates of shape (..., p), by name, to coefficients, by name.
        chain: Turns derivatives by coefficient (and the coefficients) into derivatives by coordinate.
        make: Builds the law from coefficients and, for a distillation form, the supervised law.
    """

    name: str
    kind: str
    coordinates: tuple[Coordinate, ...]
    coefficients: tuple[str, ...]
    to_coefficients: Callable[[Mapping[str, Array]], dict[str, Array]]
    chain: Callable[[Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]
    make: Callable[..., Law]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coordinates."""
        return tuple(c.name for c in self.coordinates)

    def law(self, theta: Array, supervised: SupervisedLaw | None = None, *, trailing: int = 0) -> Law:
        """The law at coordinates theta of shape (p,), or many laws in one at shape (S, p).

        Args:
            theta: Coordinates.
            supervised: The supervised law that a distillation form rests on.
            trailing: Axes appended to each coefficient, so that it broadcasts against data.
        """
        by_name = {name: theta[..., i].reshape(theta.shape[:-1] + (1,) * trailing) for i, name in enumerate(self.names)}
        coefficients = self.to_coefficients(by_name)
        if theta.ndim == 1 and not trailing:
            coefficients = {name: float(value) for name, value in coefficients.items()}
        return self.make(**coefficients) if supervised is None else self.make(supervised=supervised, **coefficients)

    def values(self, theta: Array) -> dict[str, Array]:
        """The law's coefficients at theta of shape (..., p), by name."""
        return self.to_coefficients({name: theta[..., i] for i, name in enumerate(self.names)})


_TINY = 1e-6  # exponents stay positive

_LOG_A = Coordinate("log A", (0.0, 20.0), (-20.0, 60.0))
_LOG_B = Coordinate("log B", (0.0, 20.0), (-20.0, 60.0))


def _exponent(name: str, high: float, bound: float = 4.0) -> Coordinate:
    return Coordinate(name, (0.05, high), (_TINY, bound))


def _supervised_coefficients(c: Mapping[str, Array]) -> dict[str, Array]:
    return {
        "E": np.exp(c["log E"]),
        "A": np.exp(c["log A"]),
        "B": np.exp(c["log B"]),
        "alpha": c["alpha"],
        "beta": c["beta"],
        "gamma": c["gamma"],
    }


def _logs(*names: str) -> Callable[[Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]:
    """Chain rule where some coordinates are logarithms and the rest are the coefficients themselves."""

    def chain(gradient: Mapping[str, Array], coefficients: Mapping[str, Array]) -> dict[str, Array]:
        return {
            (f"log {name}" if name in names else name): derivative * (coefficients[name] if name in names else 1.0)
            for name, derivative in gradient.items()
            if name in coefficients
        }

    return chain


SUPERVISED = Form(
    name="supervised",
    kind="supervised",
    coordinates=(
        Coordinate("log E", (-1.0, 1.5), (-6.0, 4.0)),
        _LOG_A,
        _LOG_B,
        _exponent("alpha", 1.5),
        _exponent("beta", 1.5),
        _exponent("gamma", 1.5),
    ),
    coefficients=("E", "A", "B", "alpha", "beta", "gamma"),
    to_coefficients=_supervised_coefficients,
    chain=_logs("E", "A", "B"),
    make=SupervisedLaw,
)


def _turn(c: Mapping[str, Array]) -> dict[str, Array]:
    s, log_d1 = np.exp(c["log s"]), c["log d1"]
    return {"c1": s * np.exp(c["log k"] + s * log_d1), "f1": 1 / s, "d1": np.exp(log_d1)}


def _student_coefficients(c: Mapping[str, Array]) -> dict[str, Array]:
    return {
        "A": np.exp(c["log A"]),
        "B": np.exp(c["log B"]),
        "alpha": c["alpha"],
        "beta": c["beta"],
        "gamma": c["gamma"],
        "c0": c["c0"],
    }


def _chain_distillation(g: Mapping[str, Array], v: Mapping[str, Array]) -> dict[str, Array]:
    rest = _logs("A", "B")({n: g[n] for n in ("A", "B", "alpha", "beta", "gamma", "c0")}, v)
    s, log_d1 = 1 / v["f1"], np.log(v["d1"])
    by_c1 = g["c1"] * v["c1"]
    return rest | {
        "log k": by_c1,
        "log s": by_c1 * (1 + s * log_d1) - g["f1"] * v["f1"],
        "log d1": by_c1 * s + g["d1"] * v["d1"],
    }


_STUDENT = (_LOG_A, _LOG_B, _exponent("alpha", 1.0), _exponent("beta", 1.0), _exponent("gamma", 1.0))
_TURN = (
    Coordinate("c0", (0.0, 3.0), (0.0, 12.0)),
    Coordinate("log k", (-4.0, 4.0), (-30.0, 12.0)),
    Coordinate("log s", (-0.4, 3.0), (-2.5, 5.0)),
)

DISTILLATION = Form(
    name="distillation",
    kind="distillation",
    coordinates=(*_STUDENT, *_TURN, Coordinate("log d1", (-0.5, 1.0), (-1.5, 1.5))),
    coefficients=("A", "B", "alpha", "beta", "gamma", "c0", "c1", "f1", "d1"),
    to_coefficients=lambda c: _student_coefficients(c) | _turn(c),
    chain=_chain_distillation,
    make=DistillationLaw,
)

EXPONENTIAL = Form(
    name="exponential",
    kind="distillation",
    coordinates=(*_STUDENT, *_TURN),
    coefficients=("A", "B", "alpha", "beta", "gamma", "c0", "k", "s"),
    to_coefficients=lambda c: _student_coefficients(c) | {"k": np.exp(c["log k"]), "s": np.exp(c["log s"])},
    chain=_logs("A", "B", "k", "s"),
    make=ExponentialLaw,
)

_KAPPA = (Coordinate("log kappa", (-1.0, 2.5), (-5.0, 8.0)), Coordinate("log m", (0.5, 3.5), (0.0, 6.0)))

EFFECTIVE_TOKENS = Form(
    name="effective-tokens",
    kind="distillation",
    coordinates=_KAPPA,
    coefficients=("kappa", "m"),
    to_coefficients=lambda c: {"kappa": np.exp(c["log kappa"]), "m": np.exp(c["log m"])},
    chain=_logs("kappa", "m"),
    make=EffectiveTokensLaw,
)

BEST_TEACHER_TOKENS = Form(
    name="effective-tokens-best-teacher",
    kind="distillation",
    coordinates=(
        *_KAPPA,
        Coordinate("slope", (-1.0, 1.0), (-5.0, 5.0)),
        Coordinate("curvature", (-1.0, 0.5), (-5.0, 5.0)),
    ),
    coefficients=("kappa", "m", "slope", "curvature"),
    to_coefficients=lambda c: {
        "kappa": np.exp(c["log kappa"]),
        "m": np.exp(c["log m"]),
        "slope": c["slope"],
        "curvature": c["curvature"],
    },
    chain=_logs("kappa", "m"),
    make=EffectiveTokensLaw,
)

PEAKED_TOKENS = Form(
    name="peaked-tokens",
    kind="distillation",
    coordinates=(
        *_KAPPA,
        Coordinate("growth", (-0.5, 2.0), (-5.0, 5.0)),
        Coordinate("log lead", (-2.0, 0.5), (-4.0, 2.0)),
    ),
    coefficients=("kappa", "m", "growth", "lead"),
    to_coefficients=lambda c: {
        "kappa": np.exp(c["log kappa"]),
        "m": np.exp(c["log m"]),
        "growth": c["growth"],
        "lead": np.exp(c["log lead"]),
    },
    chain=_logs("kappa", "m", "lead"),
    make=PeakedTokensLaw,
)

FORMS = {
    form.name: form
    for form in (SUPERVISED, DISTILLATION, EXPONENTIAL, EFFECTIVE_TOKENS, BEST_TEACHER_TOKENS, PEAKED_TOKENS)
}

UNDER = "supervised "
"""Before the name of a coefficient of the supervised law where both laws are fitted at once."""


def joint_form(form: Form) -> Form:
    """A distillation form with the coefficients of the supervised law under it free as well, named `supervised E`."""

    def own(by_name: Mapping[str, Array]) -> dict[str, Array]:
        return {name: value for name, value in by_name.items() if UNDER not in name}

    def under(by_name: Mapping[str, Array]) -> dict[str, Array]:
        return {name.replace(UNDER, ""): value for name, value in by_name.items() if UNDER in name}

    def prefixed(by_name: Mapping[str, Array]) -> dict[str, Array]:
        return {_under(name): value for name, value in by_name.items()}

    def make(**coefficients: Array) -> Law:
        return form.make(supervised=SUPERVISED.make(**under(coefficients)), **own(coefficients))

    return Form(
        name=form.name,
        kind=form.kind,
        coordinates=form.coordinates
        + tuple(Coordinate(_under(c.name), c.start, c.bounds) for c in SUPERVISED.coordinates),
        coefficients=form.coefficients + tuple(_under(name) for name in SUPERVISED.coefficients),
        to_coefficients=lambda c: form.to_coefficients(own(c)) | prefixed(SUPERVISED.to_coefficients(under(c))),
        chain=lambda g, v: form.chain(own(g), own(v)) | prefixed(SUPERVISED.chain(under(g), under(v))),
        make=make,
    )


def _under(name: str) -> str:
    """`supervised alpha` for `alpha`, `log supervised A` for `log A`."""
    return f"log {UNDER}{name[4:]}" if name.startswith("log ") else f"{UNDER}{name}"
