"""FLOPs: the count that budgets are made of against the matrix products that the real models compute.

`distlaw.costs` counts a forward pass by tables 11 and 12 of arXiv 2502.08606. Here the models themselves are built,
small ones on the CPU and large ones without memory on torch's meta device, and two others count: torch, as the products
pass through its dispatcher, and a sum over the modules' own shapes. They differ in what they count:

- costs take causal attention at half, as what a token needs; the products are over the whole square, masked or not,
  and that is what torch counts;
- costs count the softmax (2.5 a score) and the embedding (2 d_model); torch counts products only.

So the same products are counted if ``F - embedding - softmax = torch - attention / 2``.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distlaw.charts import Axis, Chart, Guide, Kind, Panel, Series
from distlaw.costs import Architecture
from distlaw.labs.findings import Effect, Finding, Findings, Preset, Table, below, effect_series, over_seeds, within
from distlaw.labs.flop_counts import Counts, Shape, count, seconds_per_token
from distlaw.labs.lab import Bench, Lab
from distlaw.runs import format_quantity

LAYERS: dict[Preset, dict[str, tuple[int, ...]]] = {
    "quick": {"tiny": (1, 2, 3, 4, 5, 6), "small": (4, 8), "paper": (8, 21, 40)},
    "full": {
        "tiny": (1, 2, 3, 4, 5, 6),
        "small": (4, 5, 6, 7, 8, 9, 10),
        "paper": (8, 9, 10, 11, 14, 17, 21, 24, 29, 34, 40),
    },
}
"""Depths of the families of three studies; the paper's are the rows of its table 13."""
TIMED = "tiny"
REPEATS: dict[Preset, int] = {"quick": 4, "full": 12}
NEAR = 0.1


def shapes(preset: Preset) -> list[Shape]:
    """What is counted."""
    from distlaw.sweep.study import read_study

    found = []
    for family, depths in LAYERS[preset].items():
        study = read_study(family)
        for layers in depths:
            config = replace(study.family, layers=layers)
            found.append(
                Shape(family=family, config=config, vocab_size=study.data.vocab_size, context=study.data.context)
            )
    return found


def examine(bench: Bench) -> Findings:
    """Count every shape three times, and time the small ones."""
    from distlaw.train.process import one_thread_on_cpu

    one_thread_on_cpu()
    wanted = shapes(bench.preset)
    counted = {}
    for done, shape in enumerate(wanted):
        bench.progress(f"counting {format_quantity(shape.architecture.n_params)}", done, len(wanted))
        counted[shape] = count(shape, "cpu" if shape.family == TIMED else "meta")
    bench.progress("timing", len(wanted), len(wanted))
    timed = {s: seconds_per_token(s, REPEATS[bench.preset]) for s in wanted if s.family == TIMED}
    return report(counted, timed)


def report(counted: Mapping[Shape, Counts], timed: Mapping[Shape, NDArray[np.float64]]) -> Findings:
    """Lay the counts side by side.

    Args:
        counted: By shape, in the order of the tables.
        timed: Seconds per token, forward and backward, one a repeat.
    """
    exact = {shape: shape.architecture for shape in counted}
    F = {shape: one.forward_flops for shape, one in exact.items()}
    products = {s: F[s] - 2 * a.d_model - 2.5 * a.n_heads * a.n_ctx * a.n_layers for s, a in exact.items()}
    against_torch = [products[s] / (c.forward - c.attention / 2) - 1 for s, c in counted.items()]
    against_shapes = [(c.linear + c.attention) / c.forward - 1 for c in counted.values()]
    passes = [c.backward / c.forward for c in counted.values()]
    rule = [2 * a.n_params / F[s] - 1 for s, a in exact.items()]
    closed = [a.forward_flops_closed_form / F[s] - 1 for s, a in exact.items()]
    whole = [3 * F[s] / (c.forward + c.backward) - 1 for s, c in counted.items()]
    spread = over_seeds(_spread(timed, {s: 3 * f for s, f in F.items()}))
    by_params = over_seeds(_spread(timed, {s: 6 * a.n_params for s, a in exact.items()}))
    rows = [
        (shape.family, a.n_params, a.n_ctx, F[shape], c.forward, *(100 * e for e in errors), ratio)
        for (shape, c), a, ratio, *errors in zip(
            counted.items(), exact.values(), passes, against_torch, whole, closed, rule, strict=True
        )
    ]
    return Findings(
        findings=(
            _exactly(
                "the count of budgets has the products that torch counts, with causal attention at half",
                against_torch,
                "largest relative difference over all shapes, softmax and embedding left out",
                1e-9,
            ),
            _exactly(
                "torch counts the products that the shapes of the modules say",
                against_shapes,
                "largest relative difference over all shapes",
                1e-9,
            ),
            _exactly(
                "a backward pass costs twice a forward pass",
                [ratio / 2 - 1 for ratio in passes],
                "largest relative difference over all shapes, as torch counts",
                1e-9,
            ),
            _exactly(
                "eq. 69 is within 1 % of the count by tables 11 and 12",
                closed,
                "largest relative difference over all shapes",
                0.01,
            ),
            _exactly(
                f"6 N D is within {NEAR:.0%} of the FLOPs of training",
                rule,
                "largest relative difference over all shapes, as 2 N a token is from a forward pass",
                NEAR,
            ),
            Finding(
                claim="one rate of FLOPs a second gives the time of a token within a factor of two, whatever the shape",
                effect=spread,
                verdict=below(spread, 2.0),
                measured="largest over least FLOPs a second by the count, of the timed shapes on one thread; by 6 N it"
                f" is {by_params.value:.3g}",
            ),
        ),
        tables=(
            Table(
                title="FLOPs of a token",
                columns=(
                    "family",
                    "N",
                    "context",
                    "forward, tables 11-12",
                    "forward, torch",
                    "products against torch's, %",
                    "training against torch's, %",
                    "eq. 69, %",
                    "2 N or 6 N D, %",
                    "backward over forward",
                ),
                rows=tuple(rows),
            ),
            _times(timed),
        ),
        charts=(_chart(exact, rule, closed, timed),),
        notes=(
            "Counts have no randomness, so their intervals have no width; times are of one thread, and their intervals"
            " are over repeats.",
            "Torch counts attention over the whole square, though half of it is masked, if it is computed as products,"
            " as here. Its counter does not know the fused attention that models take by default on a CPU, and then"
            " counts none. Of a GPU's it counts the square, and 2.5 times that on the way back.",
        ),
    )


def _exactly(claim: str, errors: list[float], measured: str, margin: float) -> Finding:
    """A finding about the error that is farthest from 0; it has no randomness."""
    worst = 100 * max(errors, key=abs)
    effect = Effect(value=worst, interval=(worst, worst), unit="%")
    return Finding(claim=claim, effect=effect, verdict=within(effect, 100 * margin), measured=measured)


def _spread(timed: Mapping[Shape, NDArray[np.float64]], flops: Mapping[Shape, float]) -> NDArray[np.float64]:
    """Largest over least FLOPs a second of the shapes, one a repeat."""
    rates = np.array([flops[shape] / seconds for shape, seconds in timed.items()])
    return rates.max(axis=0) / rates.min(axis=0)


def _times(timed: Mapping[Shape, NDArray[np.float64]]) -> Table:
    rows = []
    for shape, seconds in timed.items():
        spent, a = over_seeds(1e6 * seconds), shape.architecture
        rates = [1e-9 * flops / float(seconds.mean()) for flops in (3 * a.forward_flops, 6 * a.n_params)]
        rows.append((a.n_params, spent.value, *spent.interval, *rates))
    return Table(
        title="Time of a token, forward and backward",
        columns=("N", "microseconds", "from", "to", "1e9 FLOPs a second by the count", "by 6 N"),
        rows=tuple(rows),
    )


def _chart(
    exact: Mapping[Shape, Architecture],
    rule: list[float],
    closed: list[float],
    timed: Mapping[Shape, NDArray[np.float64]],
) -> Chart:
    n = np.array([a.n_params for a in exact.values()], dtype=np.float64)
    families = np.array([shape.family for shape in exact])
    marks: tuple[tuple[str, list[float], Kind], ...] = (("2 N", rule, "line-points"), ("eq. 69", closed, "dashed"))
    errors = [
        Series(name=f"{name}, {family} family", x=n[mine], y=100 * np.array(values)[mine], kind=kind, colour=colour)
        for name, values, kind in marks
        for colour, family in enumerate(dict.fromkeys(families.tolist()))
        if (mine := families == family).any()
    ]
    size = np.array([exact[shape].n_params for shape in timed], dtype=np.float64)
    rates = [
        (name, [over_seeds(1e-9 * flops(exact[shape]) / seconds) for shape, seconds in timed.items()])
        for name, flops in (("by the count, 3 F", lambda a: 3 * a.forward_flops), ("by 6 N", lambda a: 6 * a.n_params))
    ]
    return Chart(
        name="flops",
        title="What a token costs, and what rules of thumb say",
        columns=2,
        panels=(
            Panel(
                title="against the count by tables 11 and 12",
                x=Axis(label="parameters N", scale="log"),
                y=Axis(label="error, %"),
                series=tuple(errors),
                guides=(Guide(axis="y", at=0.0),),
            ),
            Panel(
                title="training on one thread",
                x=Axis(label="parameters N", scale="log"),
                y=Axis(label="1e9 FLOPs a second"),
                series=tuple(
                    effect_series(name, size, effects, colour=colour) for colour, (name, effects) in enumerate(rates)
                ),
            ),
        ),
    )


LAB = Lab(
    name="flops",
    about="budgets count the matrix products of the real model, and 6 N D does not",
    source="tables 11 to 13, eq. 69",
    examine=examine,
)
