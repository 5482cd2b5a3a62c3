"""`distlaw mup-check`: whether activations keep their size at every width."""

from pathlib import Path
from typing import Literal

from distlaw.apps.commands.train import require_training
from distlaw.apps.options import WholeNumber
from distlaw.apps.output import console, print_json, print_sentences


def mup_check(
    *,
    widths: str = "32,64,128,256",
    steps: WholeNumber = 4,
    parametrisation: Literal["mup", "standard", "unscaled-head"] = "mup",
    seed: int = 0,
    figure: Path | None = None,
    json: bool = False,
) -> int:
    """Check muP: train models of several widths for a few steps and see that no activation grows with width.

    Slopes are of log size over log width, of what each block adds to and leaves in the residual stream at every step;
    the margin is what the first step adds to a target's logit over the mean logit. A check that fails names what grew,
    or shrank, and exits with status 1. The two controls fail. It takes seconds.

    Args:
        widths: At least four widths with commas between them, multiples of the head size 16.
        steps: Steps of AdamW.
        parametrisation: mup; or standard, one rate for all; or unscaled-head, muP but for the rate of the output layer.
        seed: Of weights and tokens.
        figure: Draw sizes over width into this file (.png, .svg or .pdf).
        json: Print JSON.
    """
    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    wanted = _widths(widths)
    require_training()
    from distlaw.train.coordinate_check import coordinate_check

    check = coordinate_check(widths=wanted, steps=steps, parametrisation=parametrisation, seed=seed)
    if figure is not None:
        from distlaw.report.figures import save_figure
        from distlaw.report.train_figures import coordinate_check_figure

        save_figure(coordinate_check_figure(check), figure)
    if json:
        print_json(
            {
                "parametrisation": check.parametrisation,
                "widths": check.widths,
                "passed": check.passed,
                "failures": check.failures,
                "limit": check.limit,
                "slopes": check.slopes,
                "sizes": check.sizes,
                "margins": check.margins,
                "margin_slope": check.margin_slope,
            }
        )
    else:
        from distlaw.report.tables import coordinate_check_table

        out = console()
        out.print(coordinate_check_table(check))
        print_sentences(*check.failures, bullets=True)
        if figure is not None:
            out.print(f"Figure: {figure}", markup=False, soft_wrap=True)
    return 0 if check.passed else 1


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--widths '{text}' must be whole numbers with commas between them, as 32,64,128,256"
        ) from None
