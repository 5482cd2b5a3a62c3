"""Workers of a Ray cluster: a job is a task, which Ray puts on a node that has room for it.

What makes a study survive faults is not Ray but leases: a task is never retried by Ray (`max_retries=0`). Whether the
owner of a lease is dead, only somebody can tell who has watched it for a while, and the driver does; a task that Ray
started again would hold a CPU for that time, and Ray repeats without end what runs out of memory. So a lost worker or
node is a job that died, which the driver gives out again once its lease is free.
"""

import logging
import math
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from distlaw.runs import one_line
from distlaw.sweep.state import STUDY
from distlaw.sweep.store import Store
from distlaw.sweep.worker import Report, Task, work

_LOOK = 5.0  # seconds between looks at the cluster's size
_GRACE = 120.0  # seconds in which a job that was asked to stop may write its checkpoint
_CONNECT = 10.0  # seconds in which a cluster's head must answer


class RayCluster:
    """An executor on a Ray cluster whose nodes have this package, and see the study's folder or URL."""

    def __init__(
        self,
        address: str = "auto",
        *,
        workers: int = 0,
        processes_per_run: int = 1,
        gpus_per_process: float | None = None,
    ) -> None:
        """Connect to a cluster, or start one on this machine.

        A run of several processes is one task of as many CPUs and GPUs: Ray never spreads a task over nodes, and
        all its GPUs are visible to it. (In a placement group of a bundle each it would see those of one bundle.)

        Args:
            address: host:port of the cluster's head; auto: RAY_ADDRESS, or the cluster that this machine is part of;
                local: start Ray here.
            workers: Jobs at a time; 0: as many as the cluster has room for, looked up as it grows and shrinks. What
                exceeds the room waits in Ray, where an autoscaler sees it.
            processes_per_run: Processes of a run.
            gpus_per_process: GPUs of each; below 1, runs share one. None: 1 if the cluster has GPUs now, else 0.

        Raises:
            ValueError: Ray is not installed, there is no cluster, or none of its nodes is large enough for a run.
        """
        try:
            import ray
        except ImportError:
            raise ValueError("Ray is not installed: pip install 'distlaw[cluster]'") from None
        self._ray: Any = ray
        self._running: dict[Any, str] = {}
        _connect(address, num_cpus=workers * processes_per_run or None)
        try:
            gpus = gpus_per_process
            if gpus is None:
                gpus = float("GPU" in ray.cluster_resources())
            self._needs = {"CPU": float(processes_per_run), "GPU": gpus * processes_per_run}
            self._grows = not workers
            self._looked = time.monotonic()
            self.workers = workers or self._room()
            if not self.workers:
                raise ValueError(
                    f"no node of the Ray cluster at '{one_line(address)}' has the {processes_per_run} CPU and"
                    f" {self._needs['GPU']:g} GPU of a run: start a larger one; if an autoscaler will, give --workers"
                )
            # A process that has used a GPU keeps it, and its next task may be given another: with GPUs Ray takes a
            # new process for every task (max_calls=1). On CPUs processes stay, and import torch once.
            task = ray.remote(num_cpus=self._needs["CPU"], num_gpus=self._needs["GPU"], max_retries=0)
            self._begin = task(_do)
        except BaseException:
            self.close()
            raise

    def free(self) -> int:
        """Jobs that may be given out now."""
        if self._grows and time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            self.workers = max(self._room(), 1)  # a job that waits in Ray takes the first node that comes back
        return max(self.workers - len(self._running), 0)

    def submit(self, task: Task) -> None:
        """Give a job to Ray."""
        self._running[self._begin.remote(task, str(Path.cwd()))] = task.job.id

    def wait(self, timeout: float) -> list[Report]:
        """Reports of the jobs that have ended, and of those whose worker or node was lost.

        Raises:
            ValueError: A node cannot do any job: it has not this package, or does not see the study.
        """
        tasks = list(self._running)
        if not tasks:
            time.sleep(timeout)
            return []
        ended, _ = self._ray.wait(tasks, timeout=timeout)
        if ended:
            ended, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return [self._report(task) for task in ended]

    def stop(self) -> list[Report]:
        """Ask all to write a checkpoint and end; what has not begun is taken back."""
        for task in self._running:
            self._ray.cancel(task)
        deadline, reports = time.monotonic() + _GRACE, []
        while self._running and time.monotonic() < deadline:
            reports += self.wait(1.0)
        return reports

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here; jobs under way end without a checkpoint."""
        self._ray.shutdown()

    def _room(self) -> int:
        """Runs that fit on the nodes."""
        return sum(
            min(math.floor(node["Resources"].get(name, 0) / need + 1e-6) for name, need in self._needs.items() if need)
            for node in self._ray.nodes()
            if node["Alive"]
        )

    def _report(self, task: Any) -> Report:  # noqa: ANN401
        errors = self._ray.exceptions
        job = self._running.pop(task)
        try:
            return self._ray.get(task)
        except errors.TaskCancelledError:
            return Report(job=job, ending="stopped")
        except errors.RayTaskError as error:  # what a job itself raises comes back as a report
            raise ValueError(f"a node of the Ray cluster cannot work: {one_line(error.cause)}") from None
        except errors.RayError as error:
            return Report(job=job, ending="died", error=one_line(f"{type(error).__name__}: {error}"))


def _connect(address: str, num_cpus: int | None) -> None:
    import ray

    here = address == "local"
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if "://" in address:
        raise ValueError(
            f"address '{one_line(address)}': give host:port, as head:6379, from a machine of the cluster; from outside,"
            " `ray job submit` brings a command into it"
        )
    options: dict[str, Any] = {"num_cpus": num_cpus, "object_store_memory": 100 << 20} if here else {}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        host, _, port = address.rpartition(":")
        if host and port.isdigit():  # where nothing answers, Ray itself tries for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if here else None,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
            **options,
        )
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"no Ray cluster at '{one_line(address)}' ({one_line(error)}): start one with `ray start --head`, or say"
            " --address local"
        ) from None
    finally:
        with suppress(ValueError):  # not the main thread, where Ray took no signal
            signal.signal(signal.SIGTERM, handler)


def _do(task: Task, folder: str) -> Report:
    """A job, in a process of Ray.

    Raises:
        ValueError: The study cannot be seen from here.
    """
    import ray

    if not ray.get_gpu_ids():  # Ray hides GPUs only from tasks that are given others
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # `ray.cancel` acts as if SIGINT came, whatever node this is; for the training loop SIGTERM says: leave.
    signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    if task.study.limits.processes_per_run > 1:
        # It only acts as if: a wait for torchrun goes on, unless a true signal wakes it.
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    with suppress(OSError):  # relative paths mean what they mean to the driver, where its folder is shared
        os.chdir(folder)
    try:
        if Store(task.url).read(STUDY) is not None:
            return work(task)
    except Exception as error:  # of the store, say: another attempt may do better
        return Report(job=task.job.id, ending="died", error=one_line(f"{type(error).__name__}: {error}"))
    raise ValueError(
        f"'{one_line(task.url)}' has no {STUDY} on {socket.gethostname()}: --out must be a folder that all nodes share,"
        " as an absolute path, or a URL that all can open"
    )
