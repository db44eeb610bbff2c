"""Celery app of the workers that run models.

Start it with `celery -A agewell.workers.infer worker -Q infer`. It uses the threads pool, so that
many jobs can wait for the same batch. torch is imported when the first model is requested, in this
process and never in a parent of it.
"""

from agewell.shared.celery.app import make_app
from agewell.workers.consuming import reconnecting, undecodable
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.inference import agent
from agewell.workers.jobs import store_outage, time_limit
from agewell.workers.maintenance import rescue
from agewell.workers.process import heartbeat, logs, ready, runtime, slots
from agewell.workers.process.context import settings

runtime.prepare(settings())
ready.announce()
logs.install()

app = make_app(settings(), include=["agewell.workers.inference.tasks"], amqp=WorkerAMQP)
app.conf.worker_concurrency = settings().infer_concurrency
reconnecting.install(app)
heartbeat.install(app)
rescue.install(app)
time_limit.install(app, settings())
store_outage.install(app)
slots.install(app)
undecodable.install(app)
agent.install()
