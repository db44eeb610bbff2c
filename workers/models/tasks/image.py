"""Task `image`: a picture of the same size as the input."""

from typing import cast

import cv2
import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.model import Model, Parameters, Prediction
from agewell.workers.models.preprocess import as_input, resized


class PictureModel(Model):
    """The network's first output is the picture: (N, C, h, w), 0..1, in the input's channels."""

    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Return `image`: (C, H, W) float32, normalised by model.yaml's `input`."""
        del parameters
        return {"image": as_input(image, self.spec.input)}

    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Return the picture, resized to the original: (H, W, 3) uint8 BGR."""
        del parameters
        planes = next(iter(output.values()))
        picture = np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        if picture.shape[2] == 1:
            picture = cast(Image, cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
        elif self.spec.input.colours == "rgb":
            picture = cast(Image, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return Prediction(image=resized(np.ascontiguousarray(picture), *image.shape[:2]))
