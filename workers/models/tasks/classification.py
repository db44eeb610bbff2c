"""Task `classification`: the most probable labels of an image."""

import numpy as np

from agewell.shared.errors import ParameterError
from agewell.workers.imaging.image import Image
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.model import Model, Parameters, Prediction
from agewell.workers.models.preprocess import as_input

TOP = 5


class Classifier(Model):
    """Softmax over the network's first output: (N, classes) logits."""

    parameters = frozenset({"top"})

    def check_parameters(self, parameters: Parameters) -> None:
        """Check `top`, the number of labels to return.

        Raises:
            ParameterError: it is not a whole number of 1 to 1000, or another name is given.
        """
        super().check_parameters(parameters)
        top = parameters.get("top", TOP)
        if not isinstance(top, int) or isinstance(top, bool) or not 1 <= top <= 1000:
            raise ParameterError("top", repr(top), "1 to 1000, a whole number")

    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Return `image`: (C, H, W) float32, normalised by model.yaml's `input`."""
        del parameters
        return {"image": as_input(image, self.spec.input)}

    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Return the `top` most probable labels, by default 5. Unnamed classes have numbers."""
        del image
        logits = next(iter(output.values())).astype(np.float64).ravel()
        weights = np.exp(logits - logits.max())
        probabilities = weights / weights.sum()
        best = np.argsort(-probabilities, kind="stable")[: int(parameters.get("top", TOP))]
        classes = [
            {"label": self._label(int(each)), "probability": float(probabilities[each])}
            for each in best
        ]
        return Prediction(values={"classes": classes})

    def _label(self, number: int) -> str:
        labels = self.spec.labels or self.network.labels()
        return labels[number] if number < len(labels) else str(number)
