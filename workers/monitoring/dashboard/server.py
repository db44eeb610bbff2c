"""Flower's application with agewell's settings and pages."""

import logging
import signal
import sys
from typing import Any

from celery import Celery
from flower.app import Flower, rewrite_handler
from flower.options import options
from flower.urls import settings as flower_settings
from flower.utils import prepend_url
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop, PeriodicCallback

from agewell.shared.celery.app import make_app
from agewell.shared.errors import AgewellError
from agewell.shared.settings import Settings
from agewell.workers.monitoring.dashboard.events import make_events
from agewell.workers.monitoring.dashboard.gate import OPEN_PATH, Gate, Refused
from agewell.workers.monitoring.dashboard.history import SAMPLE_EVERY_S, History
from agewell.workers.monitoring.dashboard.layout import Layout
from agewell.workers.monitoring.dashboard.pages import HANDLERS
from agewell.workers.monitoring.dashboard.thumbnails import Thumbnails
from agewell.workers.process import logs, runtime
from agewell.workers.process.context import context, exit_with_error, settings
from agewell.workers.process.pulse import note_healthy
from agewell.workers.process.ready import notify_ready

MAX_TASKS = 10_000
"""How many tasks Flower remembers. Writing them to disk blocks it for a fraction of a second."""

SAVE_EVERY_MS = 60_000
"""Milliseconds between two saves of the tasks to disk."""

log = logging.getLogger(__name__)


class Dashboard(Flower):  # type: ignore[misc]
    """Flower with access control and agewell's pages."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self.agewell = settings
        self.thumbnails = Thumbnails(settings)
        self.history = History(context().client, settings)
        self._gate = Gate(settings.flower_login())
        prefix = settings.flower_url_prefix.strip("/")
        self._open = f"/{prefix}{OPEN_PATH}" if prefix else OPEN_PATH
        loop = IOLoop.current()
        super().__init__(
            options=options,
            capp=app,
            events=make_events(app, options, loop),
            io_loop=loop,
            template_loader=Layout(),
            **_flower_settings(prefix),
        )
        ours = [rewrite_handler(each, prefix) for each in HANDLERS] if prefix else HANDLERS
        self.add_handlers(r".*", ours)  # these take precedence over Flower's own

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return the handler of a request, or the refusal if it may not pass."""
        status = None if request.path == self._open else self._gate.refusal(request)
        if status is not None:
            return self.get_handler_delegate(request, Refused, {"status": status})
        return super().find_handler(request, **kwargs)

    async def sample(self) -> None:
        """Sample the queues in a thread, so that a slow Redis delays no page."""
        note_healthy(self.agewell.health_dir, "flower")
        await self.io_loop.run_in_executor(None, self.history.sample)


def _flower_settings(prefix: str) -> dict[str, Any]:
    """Return Flower's settings for tornado, as its own command makes them."""
    moved = ("login_url", "static_url_prefix") if prefix else ()
    return {
        **flower_settings,
        **{name: prepend_url(flower_settings[name], prefix) for name in moved},
    }


def _set_options(settings: Settings) -> None:
    login = settings.flower_login()
    chosen = {
        "address": settings.flower_host,
        "port": settings.flower_port,
        "url_prefix": settings.flower_url_prefix.strip("/"),
        "basic_auth": [] if login is None else [login],
        "db": str(settings.state_dir / "flower"),
        "persistent": True,
        "state_save_interval": SAVE_EVERY_MS,
        "max_tasks": MAX_TASKS,
        "tasks_columns": "name,args,state,received,runtime,worker,uuid",
    }
    for name, value in chosen.items():
        setattr(options, name, value)


def main() -> None:
    """Serve the dashboard until SIGTERM or SIGINT."""
    try:
        found = settings()
        _set_options(found)
    except AgewellError as error:
        exit_with_error(error)
    logs.install()
    logging.basicConfig(
        level=found.log_level, format="[%(asctime)s: %(levelname)s/%(name)s] %(message)s"
    )
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    runtime.prepare(found)
    dashboard = Dashboard(make_app(found), found)
    signal.signal(signal.SIGTERM, lambda *_: dashboard.io_loop.add_callback_from_signal(sys.exit))
    port = dashboard.start_http_server()
    log.info("listening on %s, port %d", found.flower_host, port)
    notify_ready()
    PeriodicCallback(dashboard.sample, SAMPLE_EVERY_S * 1000).start()
    dashboard.io_loop.add_callback(dashboard.sample)
    try:
        dashboard.start()
    except (KeyboardInterrupt, SystemExit):
        pass
    finally:
        dashboard.stop()
        dashboard.thumbnails.stop()
