"""The pages that agewell adds to Flower: the queues, a job with its images, the broker's queues."""

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
from agewell.workers.monitoring.dashboard.history import History
from agewell.workers.monitoring.dashboard.job import Job, celery_state, find_job, find_state
from agewell.workers.monitoring.dashboard.lengths import Lengths
from agewell.workers.monitoring.dashboard.thumbnails import MEDIA_TYPE
from agewell.workers.process.context import context

STATIC = Path(__file__).parent / "static"
JOB_ID = r"([^/]{1,1000})"
"""Celery takes any text for a task's id; a slash comes as %2F."""

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_IMAGE_POLICY = "default-src 'none'; sandbox"


class Page(BaseHandler):  # type: ignore[misc]
    """A page of ours: it loads nothing but what is served here."""

    def set_default_headers(self) -> None:
        """Say what a browser may do with what we send."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _PAGE_POLICY)
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what went wrong on a page like the others."""
        error = kwargs.get("exc_info", (None, None))[1]
        reason = error.get_message() if isinstance(error, HTTPError) else ""
        self.render("failed.html", status=status_code, reason=reason)

    def job_url(self, job_id: str) -> str:
        """The address of a job's page; tornado's own would leave the slashes of an id in it."""
        return str(self.reverse_url("job", "-")).removesuffix("-") + quote(job_id, safe="")

    def render_unknown(self, job_id: str, celery: str = "", *, seen: bool = False) -> None:
        """Say that there is no such job, with what may be the reason."""
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
        """Call what waits for Redis, or for a processor, without holding up other pages."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, function, *args)
        except REDIS_ERRORS as error:
            raise HTTPError(503, "Redis does not answer: %s", error) from error


class QueuesPage(Page):
    """What waits: drawn in the browser from `QueuesData`."""

    def get(self) -> None:
        """The page."""
        self.render("queues.html")


class QueuesData(Page):
    """What `QueuesPage` draws."""

    def get(self) -> None:
        """The latest look at the queues, and those before it since `?after`."""
        history: History = self.application.history
        try:
            after = float(self.get_argument("after", "0"))
        except ValueError:
            raise HTTPError(400, "after is a Unix time in seconds") from None
        self.write(history.document(after))


class JobLookup(Page):
    """Where the search field of the queues' page leads."""

    def get(self) -> None:
        """Go to the job of `?id`."""
        self.redirect(self.job_url(self.get_argument("id", "").strip()[:100] or "-"))


class JobPage(Page):
    """One job, with its images."""

    async def get(self, job_id: str) -> None:
        """The page; it looks again for as long as the job is open."""
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
        """The page of an id that is no job's, with what may be the reason."""
        celery = await self.in_thread(celery_state, context(), job_id)
        self.render_unknown(job_id, celery, seen=job_id in self.application.events.state.tasks)


class NoJobPage(Page):
    """Addresses below the jobs' that are none."""

    def get(self, rest: str) -> None:
        """The page of an unknown id."""
        self.render_unknown(rest)


class Thumbnail(Page):
    """One image of a job, made small on request."""

    def set_default_headers(self) -> None:
        """An image is never anything else, whatever its bytes may say."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _IMAGE_POLICY)

    async def get(self, job_id: str, side: str, number: str) -> None:
        """A WebP of our own making; the bytes that were sent never leave here."""
        job: Job | None = await self.in_thread(find_job, context(), self.capp, job_id)
        pictures = [] if job is None else job.inputs if side == "in" else job.outputs
        if int(number) >= len(pictures) or (ref := pictures[int(number)].ref) is None:
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
    """Flower's Broker tab, with a line for each level in which jobs wait."""

    def get_broker(self) -> Lengths:
        """What the tab asks for the queues' lengths."""
        return Lengths(context(), by_level=True)


class QueueLengths(GetQueueLengths):  # type: ignore[misc]
    """Flower's API of the queues' lengths, asked of our own connection."""

    def get_broker(self) -> Lengths:
        """What the API asks for the queues' lengths."""
        return Lengths(context(), by_level=False)


HANDLERS = [
    URLSpec(r"/aging", QueuesPage, name="queues"),
    URLSpec(r"/aging/data", QueuesData, name="queues-data"),
    URLSpec(r"/aging/static/(.*)", StaticFileHandler, {"path": STATIC}, name="our-static"),
    URLSpec(r"/job", JobLookup, name="job-lookup"),
    URLSpec(rf"/job/{JOB_ID}", JobPage, name="job"),
    URLSpec(rf"/job/{JOB_ID}/(in|out)/(\d{{1,3}})", Thumbnail, name="thumbnail"),
    URLSpec(r"/job/(.*)", NoJobPage),
    URLSpec(r"/broker", Broker, name="broker"),
    URLSpec(r"/api/queues/length", QueueLengths),
]
