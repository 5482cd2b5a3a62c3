"""`distlaw lab`: one claim of the study, tried again."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from distlaw.apps.commands.train import require_training
from distlaw.apps.output import console, print_json, print_sentences
from distlaw.apps.study_run import Where

if TYPE_CHECKING:
    from distlaw.labs.files import Outcome


def lab(
    name: str,
    *,
    preset: Literal["quick", "full"] = "quick",
    out: Path = Path("labs"),
    seed: int = 0,
    where: Where = Where(),
    json: bool = False,
) -> int:
    """Try a claim of the study again: a table, a figure, and a verdict with the effect measured.

    Verdicts are holds, does not hold, or undecided at this scale; a claim that does not hold is a result, and the exit
    status is 0. An interrupted lab goes on with the same command. Labs in one folder share runs.

    Args:
        name: calibration, divergence, flops, handover, kernel-regression, learning-rate, mixing, patience,
            pointer-mapping, temperature, truncation, weak-to-strong; or all, for one page with every lab.
        preset: quick, a few minutes on two cores, or full, about an hour.
        out: Folder; a lab's report, figures and findings.json are in a folder of its name in it, and README.md there is
            a page over all labs that were run.
        seed: First of the seeds.
        where: Where runs are done.
        json: Print lab, claim, effect, interval and verdict as JSON, with all else that was found.
    """
    from distlaw.labs.registry import NAMES, open_lab
    from distlaw.runs import one_line

    if seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {seed}")
    names = NAMES if name == "all" else (name,)
    if name != "all":
        open_lab(name)
    require_training()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out '{one_line(out)}' cannot be made ({error.strerror})") from None
    from distlaw.apps.lab_run import run_labs
    from distlaw.labs.files import outcomes_in
    from distlaw.report.lab_page import write_lab, write_labs

    found: list[Outcome] = []

    def finished(outcome: "Outcome") -> None:
        found.append(outcome)
        write_lab(outcome, out / outcome.lab)
        if not json:
            from distlaw.report.lab_tables import verdict_lines

            print_sentences(*verdict_lines(outcome))

    if not run_labs(
        [open_lab(one) for one in names], preset=preset, seed=seed, out=out, where=where, finished=finished
    ):
        return 1
    write_labs(outcomes_in(out), out)
    if json:
        contents = [outcome.as_dict() for outcome in found]
        print_json({"labs": contents} if name == "all" else contents[0])
    else:
        page = out / "README.md" if name == "all" else out / name / "README.md"
        console().print(f"Page: {page}", markup=False, soft_wrap=True)
    return 0
