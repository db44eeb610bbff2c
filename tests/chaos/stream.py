"""A stream of real jobs through a scene."""

import time

from tests.chaos.scene import Scene, Work

BATCH_JOBS = 10
WAITING_MOST = 60
"""The stream keeps so many jobs under way: some run and some wait when a fault strikes."""


class Stream:
    """Sends jobs by agewell's own producer, a few at a time, as fast as they end."""

    def __init__(self, scene: Scene, work: Work, jobs: int) -> None:
        self._scene = scene
        self._work = work
        self._jobs = jobs
        self._struck = self._stopped = False

    def run(self) -> None:
        """Send until so many jobs are acknowledged and all strikes are over, or it is stopped."""
        while not self._stopped and (self._left() > 0 or not self._struck):
            if len(self._scene.unended()) < WAITING_MOST:
                self._send()
            else:
                time.sleep(0.05)
                self._scene.ask()

    def struck(self) -> None:
        """Say that the last strike is over: until then no strike may want for jobs that run."""
        self._struck = True

    def stop(self) -> None:
        self._stopped = True

    def _left(self) -> int:
        return self._jobs - len(self._scene.acknowledged)

    def _send(self) -> None:
        jobs = min(BATCH_JOBS, self._left()) if self._left() > 0 else BATCH_JOBS
        have = self._scene.photos
        photos = [have[n % len(have)] for n in range(jobs * self._work.images_per_job)]
        self._scene.send(photos, self._work)
