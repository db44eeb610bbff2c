"""The pages that agewell adds to Flower: the queues, a job with its images, and queue lengths."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flower.api.tasks import GetQueueLengths
from flower.views import BaseHandler
from flower.views.broker import BrokerView
from tornado.routing import URLSpec
from tornado.web import HTTPError, StaticFileHandler

from agewell.shared.errors import AgewellError, PassingError, ThumbnailError
from agewell.shared.redis.connection import REDIS_ERRORS
from agewell.workers.monitoring.dashboard.history import WINDOWS_S, History
from agewell.workers.monitoring.dashboard.job import Job, celery_state, find_job, find_state
from agewell.workers.monitoring.dashboard.lengths import Lengths
from agewell.workers.monitoring.dashboard.thumbnails import MEDIA_TYPE
from agewell.workers.process.context import context

STATIC = Path(__file__).parent / "static"
JOB_ID = r"([^/]{1,1000})"
"""Celery accepts any text as a task's id. A slash arrives as %2F."""

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_IMAGE_POLICY = "default-src 'none'; sandbox"


class Page(BaseHandler):  # type: ignore[misc]
    """A page of agewell. It loads only files from this server."""

    def set_default_headers(self) -> None:
        """Set the headers that restrict the browser."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _PAGE_POLICY)
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show an error on a page like the others."""
        error = kwargs.get("exc_info", (None, None))[1]
        reason = error.get_message() if isinstance(error, HTTPError) else ""
        self.render("failed.html", status=status_code, reason=reason)

    def job_url(self, job_id: str) -> str:
        """Return the address of a job's page.

        Unlike tornado's `reverse_url`, it quotes slashes in the id.
        """
        return str(self.reverse_url("job", "-")).removesuffix("-") + quote(job_id, safe="")

    def render_unknown(self, job_id: str, celery: str = "", *, seen: bool = False) -> None:
        """Show that there is no such job, with possible reasons.

        Args:
            job_id: the id.
            celery: the state of a Celery task with this id, empty if it has no result.
            seen: True if Flower has seen a task with this id.
        """
        done_s, other_s = context().settings.lifetimes_s
        self.set_status(404)
        self.render(
            "unknown.html",
            job_id=job_id,
            celery=celery,
            seen=seen,
            done_s=done_s,
            other_s=other_s,
        )

    async def in_thread(self, function: Any, *args: Any) -> Any:
        """Call a blocking function in a thread, so that other pages are not delayed.

        Raises:
            HTTPError: 503 if Redis does not answer.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(None, function, *args)
        except REDIS_ERRORS as error:
            raise HTTPError(503, "Redis does not answer: %s", error) from error


class QueuesPage(Page):
    """The waiting jobs of each queue, drawn in the browser from `QueuesData`."""

    def get(self) -> None:
        """Send the page."""
        self.render("queues.html")


class QueuesData(Page):
    """The numbers that `QueuesPage` draws."""

    def get(self) -> None:
        """Send the latest state of the queues, and the samples of `?window` since `?after`."""
        history: History = self.application.history
        try:
            after = float(self.get_argument("after", "0"))
        except ValueError:
            raise HTTPError(400, "?after must be a Unix time in seconds") from None
        window = self.get_argument("window", str(WINDOWS_S[0]))
        if window not in map(str, WINDOWS_S):
            raise HTTPError(400, f"?window must be one of {', '.join(map(str, WINDOWS_S))} seconds")
        self.write(history.document(after, int(window)))


class JobLookup(Page):
    """The target of the search field on the queues' page."""

    def get(self) -> None:
        """Redirect to the page of the job with the id in `?id`."""
        self.redirect(self.job_url(self.get_argument("id", "").strip()[:100] or "-"))


class JobPage(Page):
    """One job, with its images."""

    async def get(self, job_id: str) -> None:
        """Send the page.

        With `?data`, send only the state: the page polls it while the job is open.
        """
        if self.get_argument("data", None) is not None:
            found: dict[str, Any] = await self.in_thread(find_state, context(), job_id)
            self.set_status(200 if "ended" in found else 404)
            self.write(found)
            return
        job: Job | None = await self.in_thread(find_job, context(), self.capp, job_id)
        if job is not None:
            self.render("job.html", job=job, url=self.job_url(job_id))
        else:
            await self._say_unknown(job_id)

    async def _say_unknown(self, job_id: str) -> None:
        """Show that an id is not a job's, with possible reasons."""
        celery = await self.in_thread(celery_state, context(), job_id)
        self.render_unknown(job_id, celery, seen=job_id in self.application.events.state.tasks)


class NoJobPage(Page):
    """Unknown addresses below `/job`."""

    def get(self, rest: str) -> None:
        """Show that there is no such job."""
        self.render_unknown(rest)


class Thumbnail(Page):
    """A thumbnail of one image of a job, made on request."""

    def set_default_headers(self) -> None:
        """Make the browser treat the answer as an image, even if its bytes look like a page."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _IMAGE_POLICY)

    async def get(self, job_id: str, item: str, field: str) -> None:
        """Send a WebP that was made here. The bytes that a client sent never leave the server."""
        job: Job | None = await self.in_thread(find_job, context(), self.capp, job_id)
        ref = None if job is None else job.image(int(item), field)
        if ref is None:
            raise HTTPError(404, "No such image")
        try:
            data = await self.application.thumbnails.make(ref)
        except (ThumbnailError, PassingError) as error:
            raise HTTPError(503, "%s", error) from error
        except AgewellError as error:
            raise HTTPError(404, "%s", error) from error
        self.set_header("Content-Type", MEDIA_TYPE)
        self.set_header("Cache-Control", "private, max-age=3600, immutable")
        self.write(data)


class Broker(BrokerView):  # type: ignore[misc]
    """Flower's Broker tab, with one line for each level that has waiting jobs."""

    def get_broker(self) -> Lengths:
        """Return the source of the queue lengths."""
        return Lengths(context(), by_level=True)


class QueueLengths(GetQueueLengths):  # type: ignore[misc]
    """Flower's API for queue lengths, read over agewell's own connection."""

    def get_broker(self) -> Lengths:
        """Return the source of the queue lengths."""
        return Lengths(context(), by_level=False)


HANDLERS = [
    URLSpec(r"/aging", QueuesPage, name="queues"),
    URLSpec(r"/aging/data", QueuesData, name="queues-data"),
    URLSpec(r"/aging/static/(.*)", StaticFileHandler, {"path": STATIC}, name="our-static"),
    URLSpec(r"/job", JobLookup, name="job-lookup"),
    URLSpec(rf"/job/{JOB_ID}", JobPage, name="job"),
    URLSpec(rf"/job/{JOB_ID}/(\d{{1,3}})/(\w{{1,100}})", Thumbnail, name="thumbnail"),
    URLSpec(r"/job/(.*)", NoJobPage),
    URLSpec(r"/broker", Broker, name="broker"),
    URLSpec(r"/api/queues/length", QueueLengths),
]
