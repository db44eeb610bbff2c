"""The Celery app of workers that hold models: `celery -A agewell.workers.infer worker -Q infer`.

With the threads pool: jobs wait side by side for their batches. torch is imported when the first
model is asked for, in this process, and in no parent of it.
"""

from agewell.shared.celery.app import make_app
from agewell.workers.consuming import undecodable
from agewell.workers.consuming.connection import WorkerAMQP
from agewell.workers.inference import agent
from agewell.workers.jobs import store_away, time_limit
from agewell.workers.maintenance import rescue
from agewell.workers.process import heartbeat, logs, ready, runtime, slots
from agewell.workers.process.context import settings

runtime.prepare(settings())
ready.announce()
logs.install()

app = make_app(settings(), include=["agewell.workers.inference.tasks"], amqp=WorkerAMQP)
app.conf.worker_concurrency = settings().infer_concurrency
heartbeat.install(app)
rescue.install(app)
time_limit.install(app, settings())
store_away.install(app)
slots.install(app)
undecodable.install(app)
agent.install()
