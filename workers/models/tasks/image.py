"""Task `image`: a picture of the same size as the input."""

from typing import Final, cast

import cv2
import numpy as np

from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding.picking import shown
from agewell.workers.models.geometry import placement_of
from agewell.workers.models.model import Model, Parameters, Prediction
from agewell.workers.models.preprocess import as_input, resized

_AXES: Final = 4
_CHANNELS: Final = (1, 3)
_BEYOND: Final = 0.5
"""Values of pictures overshoot 0..1 at edges, but not by this much."""


class PictureModel(Model):
    """The network's first output is the picture: (N, C, h, w), 0..1, in the input's channels."""

    def check_outputs(self, outputs: Arrays) -> None:
        """Check that the first output is a picture. Warn if its values are not about 0..1.

        Raises:
            ModelError: it has other axes, or neither one channel nor three.
        """
        found = next(iter(outputs.values()))
        if found.ndim != _AXES or found.shape[1] not in _CHANNELS:
            expected = "(N, 1, height, width) or (N, 3, height, width)"
            raise self._error(
                f"its output is no picture: {shown(found.shape)}; expected: {expected}"
            )
        low, high = float(found.min()), float(found.max())
        if low < -_BEYOND or high > 1 + _BEYOND:
            values = f"the output has values of {low:.3g} to {high:.3g}"
            self._remark(f"{values}; pictures are clipped to 0..1, so the network must scale them")

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
        if self.spec.input.fit == "letterbox":
            picture = self._without_border(picture, image)
        return Prediction(image=resized(np.ascontiguousarray(picture), *image.shape[:2]))

    def _without_border(self, picture: Image, image: Image) -> Image:
        """Cut out the part that shows the image. The picture may be larger than the input."""
        place = placement_of(image.shape[0], image.shape[1], self.spec.input)
        window = place.window
        grows_y = picture.shape[0] / place.input_height
        grows_x = picture.shape[1] / place.input_width
        top, left = round(window.top * grows_y), round(window.left * grows_x)
        below = round((window.top + window.height) * grows_y)
        right = round((window.left + window.width) * grows_x)
        return picture[top:below, left:right]
