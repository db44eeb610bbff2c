"""Faults of the processes of a stack."""

import contextlib
import importlib.util
import signal
import time
from collections.abc import Callable, Iterator

import psutil

from agewell.workers.process.heartbeat import DEAD_AFTER_S
from tests.chaos.scene import Scene
from tests.support.stack import command_of, until

FOUND_S = 90.0
ON_ITS_WAY_S = 0.1

Strike = Callable[[Scene], list[str] | None]
"""Lets a fault happen. Returns the jobs that it struck, or None if it knows only that some ran."""


def without_torch() -> str:
    """Why no infer worker can be struck. Empty if one can."""
    return (
        ""
        if importlib.util.find_spec("torch")
        else "torch is not installed (pip install 'agewell[workers]')"
    )


def process(scene: Scene, words: str) -> psutil.Process:
    """Find the child of `agewell up` with these words in its command, or wait for its restart."""

    def find() -> psutil.Process | None:
        for each in psutil.Process(scene.stack.process.pid).children():
            if words in command_of(each):
                return each
        return None

    return until(find, FOUND_S, lambda: scene.stack.log)


def resume(family: list[psutil.Process]) -> None:
    """SIGCONT to those that are still there."""
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.resume()


def freeze_in_mid_job(
    scene: Scene, words: str, jobs: int = 1
) -> tuple[list[psutil.Process], list[str]]:
    """Stop a worker and its children (SIGSTOP) while jobs run in it.

    Args:
        scene: with a stream of jobs that this worker runs.
        words: of the worker's command.
        jobs: so many must be running at least.

    Returns:
        The worker, first, and its children; the jobs that run.
    """

    def caught() -> tuple[list[psutil.Process], list[str]] | None:
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            worker = process(scene, words)
            for each in (worker, *worker.children(recursive=True)):
                family.append(each)
                each.suspend()
            held = [each for each in scene.running() if _is_of(scene, each, worker)]
            if len(held) >= jobs:
                return family, held
        resume(family)
        return None

    return until(caught, FOUND_S, lambda: f"{words} runs {jobs} jobs: {scene.stack.log}")


def _is_of(scene: Scene, job_id: str, worker: psutil.Process) -> bool:
    """True if this life of a worker has started the job, and not an earlier one."""
    return float(scene.record(job_id, "started_at")[0]) > worker.create_time()


def kill(words: str, jobs: int = 1) -> Strike:
    """kill -9 of a worker while so many jobs run in it, at least."""

    def strike(scene: Scene) -> list[str]:
        [worker, *_], held = freeze_in_mid_job(scene, words, jobs)
        worker.kill()  # `agewell up` ends what it leaves behind
        return held

    return strike


def terminate(words: str, jobs: int = 1) -> Strike:
    """SIGTERM of a worker while so many jobs run: they get their time, the rest goes back."""

    def strike(scene: Scene) -> list[str]:
        family, held = freeze_in_mid_job(scene, words, jobs)
        family[0].send_signal(signal.SIGTERM)
        resume(family)
        return held

    return strike


def freeze_process_of_a_job(scene: Scene) -> tuple[psutil.Process, str]:
    """Stop a process of the cv worker's pool (SIGSTOP) while it runs a job. Returns both."""

    def caught() -> tuple[psutil.Process, str] | None:
        with frozen(scene.stack.pool) as pool:
            running = scene.running()
            for job_id, pid in scene.processes_of_jobs().items():
                if job_id in running and pid in pool:
                    return pool.pop(pid), job_id
        return None

    return until(caught, FOUND_S, lambda: f"a process runs a job: {scene.stack.log}")


@contextlib.contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[dict[int, psutil.Process]]:
    """Stop processes (SIGSTOP) for a while: by their numbers, those that are to go on after it."""
    held = {each.pid: each for each in processes}
    try:
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
        yield held
    finally:
        resume(list(held.values()))


def kill_pool_process(scene: Scene) -> list[str]:
    """kill -9 of a process that runs a job."""
    found, job_id = freeze_process_of_a_job(scene)
    found.kill()
    return [job_id]


def kill_with_a_message_on_its_way(scene: Scene) -> None:
    """kill -9 of the worker while Redis has handed it a message that it has not read yet."""
    scene.proxy.delay_s = ON_ITS_WAY_S
    # The pool is let go on, so the worker asks for the next message, and is answered slowly.
    time.sleep(3 * ON_ITS_WAY_S)
    process(scene, "-Q cv").kill()
    scene.proxy.delay_s = 0.0


def stop_worker(scene: Scene) -> None:
    """SIGSTOP for longer than the heartbeat allows, then SIGCONT: its jobs have been given away."""
    worker = process(scene, "-Q cv")
    worker.suspend()
    time.sleep(DEAD_AFTER_S + 6)
    worker.resume()
