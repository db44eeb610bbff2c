"""A cv worker whose broker takes a message for lost after a second: kombu's visibility timeout."""

from agewell.workers.cv import app
from tests.chaos.clocks import VISIBILITY_TIMEOUT_S

app.conf.broker_transport_options |= {"visibility_timeout": VISIBILITY_TIMEOUT_S}
