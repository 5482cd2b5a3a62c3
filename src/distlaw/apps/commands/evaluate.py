"""`distlaw evaluate`: runs or any model folders on held-out tokens."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distlaw.apps.commands.train import CACHE, require_training
from distlaw.apps.output import console, print_json
from distlaw.runs import one_line, require_folder

if TYPE_CHECKING:
    from distlaw.train.evaluate import Evaluation


def evaluate(
    run: Path,
    *others: Path,
    config: Path | None = None,
    teacher: Path | None = None,
    tokens: int = 0,
    cache: Path = CACHE,
    figure: Path | None = None,
    json: bool = False,
) -> None:
    """Measure models on validation tokens: against the data, and against their teacher.

    Args:
        run: Run directory, or any model folder together with --config.
        others: More of them.
        config: Run directory whose data is measured on; the run's own by default.
        teacher: Teacher to compare with; the run's own by default.
        tokens: Validation tokens to measure on; 0 takes all.
        cache: Folder of tokenised data.
        figure: Draw the reliability diagrams side by side into this file (.png, .svg or .pdf).
        json: Print JSON.
    """
    if figure is not None:
        from distlaw.report.figures import require_figure_path

        require_figure_path(figure)
    require_training()
    from distlaw.train.process import one_thread_on_cpu

    one_thread_on_cpu()
    runs = list(dict.fromkeys([run, *others]))
    contents, measured = [], {}
    for one in runs:
        content, found = _measured(one, config, teacher, tokens, cache.expanduser())
        contents.append({"run": str(one), **content, **asdict(found)})
        alike = [other.resolve().name for other in runs].count(one.resolve().name) > 1
        measured[str(one) if alike else one.resolve().name] = found
    if figure is not None:
        from distlaw.report.figures import save_figure
        from distlaw.report.train_figures import reliability_figure

        save_figure(reliability_figure(measured), figure)
    if json:
        print_json(contents[0] if len(contents) == 1 else {"runs": contents})
        return
    from distlaw.report.tables import evaluation_table

    out = console()
    for number, content in enumerate(contents):
        out.print(*([] if number == 0 else [""]), evaluation_table(content), sep="\n")
    if figure is not None:
        out.print(f"Figure: {figure}", markup=False, soft_wrap=True)


def _folder_of_config(run: Path, config: Path | None) -> Path:
    """Where the data of a run is described: the folder given, or the run's own or the next above it that has a config.

    Raises:
        ValueError: A path is not there, or nothing describes the data.
    """
    if not run.exists():
        raise ValueError(f"run '{one_line(run)}' is not there: name a run directory, or a model folder with --config")
    if config is not None:
        require_folder(config, "--config")
    # A student of several lies below its run.
    for folder in [run, *run.absolute().parents] if config is None else [config]:
        if (folder / "config.toml").is_file():
            return folder
    if config is None:
        raise ValueError(f"run '{one_line(run)}' has no config.toml: name the run whose data to measure on as --config")
    raise ValueError(f"--config '{one_line(config)}' has no config.toml: name a run directory")


def _measured(
    run: Path, config: Path | None, teacher: Path | None, tokens: int, cache: Path
) -> tuple[dict[str, Any], "Evaluation"]:
    from distlaw.train.config import read_resolved
    from distlaw.train.evaluate import evaluate as measure
    from distlaw.train.prepare import prepare
    from distlaw.train.teacher import open_teacher, require_same_tokenizer, with_teachers_tokenizer

    resolved = read_resolved(_folder_of_config(run, config) / "config.toml")
    model = open_teacher(run)
    path = teacher or (Path(resolved.teacher.path) if resolved.teacher and resolved.teacher.path else None)
    other = None if path is None else open_teacher(path)
    data = prepare(with_teachers_tokenizer(resolved, model, cache).data, cache)
    require_same_tokenizer(model, data.tokenizer)
    if other is not None:
        require_same_tokenizer(other, data.tokenizer)
    found = measure(
        model.model,
        data.split("validation"),
        vocab_size=data.vocab_size,
        tokens=tokens,
        teacher=other,
        head=model.head,
    )
    return {"params": model.params, "teacher": path and str(path)}, found
