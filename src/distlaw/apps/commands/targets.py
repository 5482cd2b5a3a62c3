"""`distlaw targets`: a teacher's targets, written once and read by any number of students."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from distlaw.apps.commands.train import CACHE, interruptible, require_training
from distlaw.apps.output import console, print_json, progress_bar
from distlaw.runs import counted

targets = App(name="targets", help="A teacher's targets on disk: written once, read by any number of students.")


@targets.command
def capture(
    config: Path,
    *,
    out: Path,
    kind: Literal["dense", "dense-16", "top-k", "sampled"] = "dense",
    top_k: int | None = None,
    samples: int | None = None,
    temperature: float = 1.0,
    teacher: str | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
    cache: Path = CACHE,
    json: bool = False,
) -> None:
    """Write a teacher's targets for the data of a run; `teacher.targets` then names the folder.

    Killed and called again, it goes on.

    Args:
        config: The student's config.
        out: Folder of the targets.
        kind: dense (float32, exact), dense-16 (steps of 1/2048 nats), top-k (with the mass of the rest) or sampled
            (unbiased).
        top_k: Tokens kept, for top-k.
        samples: Draws a position, for sampled.
        temperature: tau.
        teacher: Teacher, instead of the file's.
        changes: Replace a value of the file, as data.context=256; may be given again.
        cache: Folder of tokenised data.
        json: Print JSON.
    """
    require_training()
    from distlaw.train.config import read_config
    from distlaw.train.process import one_thread_on_cpu
    from distlaw.train.stored import capture_targets

    one_thread_on_cpu()
    resolved = read_config(config, distill=True, overrides=changes, teacher=teacher)
    with interruptible(), progress_bar("blocks") as progress:
        capture_targets(
            resolved,
            out,
            cache=cache.expanduser(),
            kind=kind,
            temperature=temperature,
            top_k=top_k,
            samples=samples,
            progress=progress,
        )
    inspect(out, json=json)


@targets.command
def inspect(folder: Path, *, verify: bool = False, json: bool = False) -> int:
    """Say what a folder of targets holds; exits with 1 where --verify finds something missing or damaged.

    Args:
        folder: Folder of targets.
        verify: Read all of it and check every block.
        json: Print JSON.
    """
    require_training()
    from distlaw.train.target_cache import describe, faults

    found = describe(folder)
    wrong = []
    if verify:
        with progress_bar("shards") as progress:
            wrong = faults(folder, progress)
    content = {
        "folder": str(folder),
        **asdict(found.key),
        "blocks": found.blocks,
        "captured_blocks": found.captured_blocks,
        "bytes": found.bytes,
        "bytes_per_token": found.bytes_per_token,
        "faults": wrong if verify else None,
    }
    if json:
        print_json(content)
    else:
        kind = found.key.kind + "".join(f", {n} {v}" for n in ("top_k", "samples") if (v := getattr(found.key, n)))
        out = console()
        out.print(f"{folder}: {kind} targets at temperature {found.key.temperature:g}", markup=False, soft_wrap=True)
        out.print(
            f"{found.captured_blocks} of {counted(found.blocks, 'block')} of {found.key.context} tokens,"
            f" {found.bytes:,} bytes, {found.bytes_per_token:.1f} a token",
            markup=False,
            soft_wrap=True,
        )
        if verify:
            out.print("\n".join(wrong) if wrong else "every block is as it was written", markup=False, soft_wrap=True)
    return 1 if wrong else 0
