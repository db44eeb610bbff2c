"""The images and the parameters of one job, as its model gets them."""

from typing import Any

import numpy as np

from agewell.shared.protocol.messages import ImageRef, InferJob
from agewell.workers.imaging.flattening import as_opaque
from agewell.workers.imaging.image import Image
from agewell.workers.jobs.images import Images
from agewell.workers.jobs.item_results import Info


class Inputs:
    """The images and the parameters of one job, with a colour behind transparent pixels."""

    def __init__(self, job: InferJob, images: Images, background: str) -> None:
        """Read the parameters.

        Args:
            job: the job.
            images: its images.
            background: the colour behind transparent pixels, `#rrggbb`.
        """
        self._images = images
        self._background = background
        self._reference_info: Info = {}
        self.parameters = self._parameters(job)

    def image(self, ref: ImageRef) -> tuple[Image, Info]:
        """Return an image as (H, W, 3) uint8 BGR, and what was done to it, for the result.

        Raises:
            AgewellError: the image cannot be fetched or decoded.
        """
        image, flattened = as_opaque(self._images.get(ref), ref.name, self._background)
        info: Info = {"flattened": self._background} if flattened else {}
        return image, info | self._reference_info

    def _parameters(self, job: InferJob) -> dict[str, Any]:
        """Return the job's parameters by name. Palette and reference are arrays."""
        parameters: dict[str, Any] = dict(job.parameters)
        if job.palette:
            rgb = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in job.palette]
            parameters["palette"] = np.array(rgb, np.uint8)
        if job.reference is not None:
            parameters["reference"], info = self.image(job.reference)
            self._reference_info = {f"reference_{key}": value for key, value in info.items()}
        return parameters
