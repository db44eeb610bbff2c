"""Celery app of the workers that run image operations.

Start it with `celery -A agewell.workers.cv worker -Q cv`.
"""

from agewell.shared.celery.app import make_app
from agewell.workers.consuming import pool_writes, reconnecting, undecodable
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.jobs import offers, store_outage, time_limit
from agewell.workers.maintenance import rescue
from agewell.workers.process import heartbeat, logs, ready, runtime, slots
from agewell.workers.process.context import settings

# First of all: the pool's processes inherit this environment and then import OpenCV and numba.
runtime.prepare(settings())
ready.announce()
logs.install()

app = make_app(settings(), include=["agewell.workers.jobs.tasks"], amqp=WorkerAMQP)
reconnecting.install(app)
heartbeat.install(app)
rescue.install(app)
time_limit.install(app, settings())
store_outage.install(app)
slots.install(app)
offers.install(app)
pool_writes.install()
undecodable.install(app)
