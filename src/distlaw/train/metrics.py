"""The lines of metrics that a run leaves, and what a run that goes on makes of them."""

import json
from pathlib import Path

from distlaw.runs import one_line, written_whole

METRICS = "metrics.jsonl"


def cut_metrics(file: Path, step: int) -> tuple[int, list[str]]:
    """Drop lines beyond the checkpoint that a run goes on from; a last line that a kill cut short is one of them.

    Args:
        file: The metrics; they may not be there.
        step: Steps of the checkpoint.

    Returns:
        The last step that there was a line of, and what to say of lines that were damaged: the file is then kept beside
        as it was.
    """
    try:
        whole = file.read_bytes()
    except FileNotFoundError:
        return 0, []
    kept, last, damaged = [], 0, []
    for number, line in enumerate(whole.splitlines(keepends=True), start=1):
        at = _step_of(line)
        if at is None:
            if line.endswith(b"\n"):  # all but one that a kill cut short
                damaged.append(number)
            continue
        last = max(last, at)
        if at <= step:
            kept.append(line if line.endswith(b"\n") else line + b"\n")
    notes = []
    if damaged:
        aside = file.with_name(f"{file.name}.damaged")
        with written_whole(aside, "metrics") as temporary:
            temporary.write_bytes(whole)
        lines = f"line {damaged[0]}" if len(damaged) == 1 else f"{len(damaged)} lines from line {damaged[0]}"
        notes.append(f"'{one_line(file)}' is damaged: {lines} cannot be read; it is kept as '{aside.name}'")
    with written_whole(file, "metrics") as temporary:
        temporary.write_bytes(b"".join(kept))
    return last, notes


def _step_of(line: bytes) -> int | None:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = said.get("step") if isinstance(said, dict) else None
    return step if type(step) is int and 0 < step < 2**53 else None
