"""The pages that agewell adds to Flower: the queues, a job with its images, the broker's queues."""

import asyncio
from pathlib import Path
from typing import Any

from flower.api.tasks import GetQueueLengths
from flower.views import BaseHandler
from flower.views.broker import BrokerView
from tornado.routing import URLSpec
from tornado.web import HTTPError, StaticFileHandler

from shared.errors import AgewellError
from shared.redis_client import REDIS_ERRORS
from workers.context import context
from workers.dashboard.history import History
from workers.dashboard.job import Job, find_job
from workers.dashboard.lengths import Lengths
from workers.dashboard.thumbnails import MEDIA_TYPE, thumbnail

STATIC = Path(__file__).parent / "static"
JOB_ID = r"([0-9A-Za-z-]{1,64})"

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
        self.redirect(self.reverse_url("job", self.get_argument("id", "").strip() or "-"))


class JobPage(Page):
    """One job, with its images."""

    async def get(self, job_id: str) -> None:
        """The page; it looks again for as long as the job is open."""
        job: Job | None = await self.in_thread(find_job, context(), self.capp, job_id)
        if job is None:
            raise HTTPError(404, f"Job {job_id} is unknown: never sent, or its record has expired")
        if self.get_argument("data", None) is not None:
            self.write({"state": job.state, "ended": job.ended})
        else:
            self.render("job.html", job=job)


class Thumbnail(Page):
    """One image of a job, made small on request."""

    def set_default_headers(self) -> None:
        """An image is never anything else, whatever its bytes may say."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _IMAGE_POLICY)

    async def get(self, job_id: str, side: str, number: str) -> None:
        """A PNG or a JPEG of our own making; the bytes that were sent never leave here."""
        job: Job | None = await self.in_thread(find_job, context(), self.capp, job_id)
        pictures = [] if job is None else job.inputs if side == "in" else job.outputs
        if int(number) >= len(pictures) or (ref := pictures[int(number)].ref) is None:
            raise HTTPError(404, "No such image")
        try:
            data = await self.in_thread(thumbnail, context(), ref)
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
    URLSpec(r"/broker", Broker, name="broker"),
    URLSpec(r"/api/queues/length", QueueLengths),
]
