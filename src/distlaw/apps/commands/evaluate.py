"""`distlaw evaluate`: a run or any model folder on held-out tokens."""

from dataclasses import asdict
from pathlib import Path

from distlaw.apps.commands.train import CACHE, require_training
from distlaw.apps.output import console, print_json


def evaluate(
    run: Path,
    *,
    config: Path | None = None,
    teacher: Path | None = None,
    tokens: int = 0,
    cache: Path = CACHE,
    json: bool = False,
) -> None:
    """Measure a model on validation tokens: against the data, and against its teacher.

    Args:
        run: Run directory, or any model folder together with --config.
        config: Run directory whose data is measured on; the run's own by default.
        teacher: Teacher to compare with; the run's own by default.
        tokens: Validation tokens to measure on; 0 takes all.
        cache: Folder of tokenised data.
        json: Print JSON.
    """
    require_training()
    from distlaw.train.config import read_resolved
    from distlaw.train.evaluate import evaluate as measure
    from distlaw.train.loop import one_thread_on_cpu
    from distlaw.train.prepare import prepare
    from distlaw.train.teacher import open_teacher, require_same_tokenizer, with_teachers_tokenizer

    one_thread_on_cpu()
    folder = config or run
    while not (folder / "config.toml").is_file() and folder.parent != folder and config is None:
        folder = folder.parent  # a student of several lies below its run
    resolved = read_resolved(folder / "config.toml")
    model = open_teacher(run)
    path = teacher or (Path(resolved.teacher.path) if resolved.teacher and resolved.teacher.path else None)
    other = None if path is None else open_teacher(path)
    data = prepare(with_teachers_tokenizer(resolved, model, cache.expanduser()).data, cache.expanduser())
    require_same_tokenizer(model, data.tokenizer)
    if other is not None:
        require_same_tokenizer(other, data.tokenizer)
    found = measure(
        model.model,
        data.split("validation"),
        vocab_size=data.vocab_size,
        tokens=tokens,
        teacher=None if other is None else other.model,
    )
    content = {"run": str(run), "params": model.params, "teacher": path and str(path), **asdict(found)}
    if json:
        print_json(content)
    else:
        from distlaw.report.tables import evaluation_table

        console().print(evaluation_table(content))
