"""The Celery app of the workers that hold models: `celery -A workers.infer worker -Q infer`.

With the threads pool: jobs wait side by side for their batches. torch is imported when the first
model is asked for, in this process, and in no parent of it.
"""

from shared.celery_app import make_app
from workers import heartbeat, logs, model_agent, pause, readiness, runtime, slots, time_limit
from workers.consuming import undecodable
from workers.consuming.connection import WorkerAMQP
from workers.context import settings

runtime.prepare(settings())
readiness.announce()
logs.install()

app = make_app(settings(), include=["workers.infer_tasks"], amqp=WorkerAMQP)
app.conf.worker_concurrency = settings().infer_concurrency
heartbeat.install(app)
time_limit.install(app, settings())
pause.install(app)
slots.install(app)
undecodable.install(app)
model_agent.install()
