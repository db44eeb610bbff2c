"""The Celery app of the workers that run operations: `celery -A workers.app worker -Q cv`."""

from shared.celery_app import make_app
from workers import heartbeat, logs, pause, pool_writes, readiness, runtime, slots, time_limit
from workers.consuming import undecodable
from workers.consuming.connection import WorkerAMQP
from workers.context import settings

# Here, before the pool's processes inherit the environment and import OpenCV, numba and fpie.
runtime.prepare(settings())
readiness.announce()
logs.install()

app = make_app(settings(), include=["workers.tasks"], amqp=WorkerAMQP)
heartbeat.install(app)
time_limit.install(app, settings())
pause.install(app)
slots.install(app)
pool_writes.install()
undecodable.install(app)
