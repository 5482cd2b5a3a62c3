"""A study whose runs take no time: what is tested is everything around the training."""

from collections.abc import Callable

from distlaw.sweep.lease import claim
from distlaw.sweep.state import note_failure, read_record, write_record
from distlaw.sweep.store import Store
from distlaw.sweep.study import Study, study_of
from distlaw.sweep.worker import Report, Task

SMALL = """
[data]
source = "synthetic"
vocab_size = 64
context = 16
synthetic_tokens = 200_000
[family]
aspect_ratio = 8
head_size = 8
[training]
batch_tokens = 256
validation_tokens = 2048
[[protocols]]
name = "alone"
students = { params = [1e3, 6e3], tokens = [4096, 8192] }
seeds = [0, 1]
[[protocols]]
name = "taught"
teachers = { params = [6e3, 20e3], tokens_per_param = [2] }
students = { params = [1e3, 6e3], tokens = [4096] }
"""


def small(**changes) -> Study:
    text = SMALL
    for old, new in changes.items():
        text += f"\n[{old}]\n{new}\n"
    return study_of(text, "small")


class Simulated:
    """An executor whose jobs end at once, as `outcome` says: an error, or None for a run that went well."""

    def __init__(self, workers: int = 2, outcome: Callable[[Task], Exception | None] = lambda _task: None):
        self.workers, self.outcome = workers, outcome
        self.pending: list[Task] = []
        self.order: list[str] = []

    def free(self) -> int:
        return self.workers - len(self.pending)

    def submit(self, task: Task) -> None:
        assert self.free() > 0
        self.pending.append(task)

    def wait(self, timeout: float) -> list[Report]:  # noqa: ARG002
        reports = [self.do(task) for task in self.pending]
        self.pending.clear()
        return reports

    def stop(self) -> list[Report]:
        reports = [Report(job=task.job.id, ending="stopped") for task in self.pending]
        self.pending.clear()
        return reports

    def close(self) -> None:
        pass

    def do(self, task: Task) -> Report:
        store, job = Store(task.url), task.job
        held = claim(store, job.id, task.after)
        if held is None:
            return Report(job=job.id, ending="held")
        with held:
            if all(read_record(store, run.id) is not None for run in job.runs):
                held.forget()
                return Report(job=job.id, ending="done")
            self.order.append(job.id)
            error = self.outcome(task)
            if isinstance(error, ChildProcessError):
                return Report(job=job.id, ending="died", error=str(error))
            if error is not None:
                note_failure(store, job.id, str(error))
                return Report(job=job.id, ending="failed", error=str(error))
            for run in job.runs:
                write_record(store, run, record_of(task, run))
            held.forget()
        return Report(job=job.id, ending="done")


def record_of(task: Task, run) -> dict:
    shape = task.study.shape(run)
    loss = 1.5 + 20 / shape.n_params**0.4 + 80 / run.tokens**0.5
    if run.teacher is not None:
        loss = max(loss * 0.98, 1.6)
    return {
        "name": run.id,
        "job": task.job.id,
        "student_params": shape.n_params,
        "student_tokens": run.tokens,
        "student_loss": loss,
        "teacher_loss": None if run.teacher is None else 2.5 + run.teacher.layers / 100,
        "seed": run.seed,
        "wall_seconds": 1.0,
        "teacher": run.teacher and run.teacher.id,
    }
