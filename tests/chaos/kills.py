"""What can happen to the processes of a stack."""

import signal
import time
from collections.abc import Callable

import psutil

from tests.chaos.scene import Scene
from tests.e2e.stack import command_of, until
from workers.liveness import DEAD_AFTER_S

FOUND_S = 90.0
ON_ITS_WAY_S = 0.1


def process(scene: Scene, words: str) -> psutil.Process:
    """The child of `agewell up` with these words in its command; waited for while it restarts."""

    def find() -> psutil.Process | None:
        for each in psutil.Process(scene.stack.process.pid).children():
            if words in command_of(each):
                return each
        return None

    return until(find, FOUND_S, lambda: scene.stack.said)


def kill(words: str) -> Callable[[Scene], None]:
    """kill -9 of one of the stack's processes."""
    return lambda scene: process(scene, words).kill()


def kill_pool_process(scene: Scene) -> None:
    """kill -9 of a process that runs a job; what the kernel does when memory is short."""
    until(lambda: scene.stack.pool, FOUND_S, lambda: scene.stack.said)[0].kill()


def kill_with_a_message_on_its_way(scene: Scene) -> None:
    """kill -9 of the worker while Redis has handed it a message that it has not read yet."""
    scene.proxy.delay_s = ON_ITS_WAY_S
    # The pool is let go on, so the worker asks for the next message, and is answered slowly.
    time.sleep(3 * ON_ITS_WAY_S)
    process(scene, "-Q cv").kill()
    scene.proxy.delay_s = 0.0


def terminate_worker(scene: Scene) -> None:
    """SIGTERM: running jobs get their time, the rest goes back to the queue."""
    process(scene, "-Q cv").send_signal(signal.SIGTERM)


def stop_worker(scene: Scene) -> None:
    """SIGSTOP for longer than the heartbeat allows, then SIGCONT: its jobs have been given away."""
    worker = process(scene, "-Q cv")
    worker.suspend()
    time.sleep(DEAD_AFTER_S + 6)
    worker.resume()
