"""A study that was never run: a table of runs from laws with known coefficients, seeded noise and no surprises."""

import numpy as np

from distlaw.laws import EffectiveTokensLaw, PeakedTokensLaw, SupervisedLaw
from distlaw.runs import Runs

ALONE = SupervisedLaw(E=1.7, A=32.0, B=199.0, alpha=0.35, beta=0.4)
CONSTANT = EffectiveTokensLaw(supervised=ALONE, kappa=2.3, m=13.0)
PEAKED = PeakedTokensLaw(supervised=ALONE, kappa=2.4, growth=0.3, m=13.0, lead=0.55)

SIZES = (14e3, 27e3, 55e3, 107e3, 201e3, 390e3, 900e3)
TOKENS = (0.5e6, 1e6, 2e6, 4e6, 8e6, 15e6)
TEACHERS = (
    (27e3, 4e6),
    (55e3, 4e6),
    (55e3, 15e6),
    (107e3, 4e6),
    (107e3, 15e6),
    (201e3, 8e6),
    (390e3, 8e6),
    (900e3, 15e6),
)
STUDENTS = ((14e3, 1e6), (14e3, 4e6), (27e3, 1e6), (27e3, 2e6), (27e3, 4e6), (55e3, 2e6), (107e3, 4e6), (390e3, 8e6))
COLUMNS = (
    "student_params",
    "student_tokens",
    "student_loss",
    "teacher_params",
    "teacher_tokens",
    "teacher_loss",
    "compute",
    "seed",
)


def forward_flops(N):
    """Per token, with a vocabulary and a context that weigh more on a small model."""
    return 2 * N + 200 * N**0.5


def simulate(law=CONSTANT, *, noise=0.004, exponent=0.0, teacher_size=0.0, seeds=2, teachers=TEACHERS, seed=0):
    """A table of supervised and distilled runs.

    Args:
        law: Distillation law; what students reach alone is its supervised law.
        noise: Relative standard deviation over seeds at 2M tokens.
        exponent: Of the noise in tokens.
        teacher_size: Effect of log N_T on log L_S besides that of L_T, over the mean teacher.
        seeds: Seeds of every small cell; the dear supervised ones have one.
        teachers: Size and tokens of each.
        seed: Of the noise.
    """
    rng = np.random.default_rng(seed)
    rows = []

    def run(N, D, loss, s, teacher=(np.nan, np.nan, np.nan)):
        scatter = noise * (D / 2e6) ** exponent
        pays = 0.0 if np.isnan(teacher[0]) else forward_flops(teacher[0]) * D
        rows.append((N, D, loss * np.exp(scatter * rng.normal()), *teacher, 3 * forward_flops(N) * D + pays, s))

    alone = {}
    for N in SIZES:
        for D in TOKENS:
            if 4 * N <= D <= 1200 * N:
                for s in range(seeds if D <= 2e6 else 1):
                    run(N, D, law.supervised.loss(N, D), s)
                alone[N, D] = rows[-1][2]
    given = [(N, D, alone[N, D]) for N, D in teachers]
    middle = np.mean([np.log(N) for N, _, _ in given])
    for N, D in STUDENTS:
        for teacher in given:
            if teacher[0] >= N:
                own = np.exp(teacher_size * (np.log(teacher[0]) - middle))
                for s in range(seeds):
                    run(N, D, law.student_loss(N, D, teacher[2]) * own, s, teacher)
    return Runs(**{name: np.array(column) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)})
