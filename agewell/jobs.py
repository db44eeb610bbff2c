"""The jobs of agewell's own operations, and the steps that run them in a pipeline.

from agewell import Client
from agewell.jobs import ResizeItem, ResizeJob

with Client.open() as client:
(image,) = client.put("photo.jpg")
job_id = client.send(ResizeJob(items=(ResizeItem(image=image),), width=800))
"""

from agewell.shared.protocol.built_in_jobs import *  # noqa: F403
from agewell.shared.protocol.built_in_jobs import __all__ as __all__
