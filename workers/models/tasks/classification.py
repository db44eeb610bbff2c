"""Task `classification`: the most probable labels of an image."""

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from agewell.workers.imaging.image import Image
from agewell.workers.models.activations import sigmoid, softmax
from agewell.workers.models.arrays import Array, Arrays
from agewell.workers.models.decoding.picking import OutputsError, check_fractions, shown
from agewell.workers.models.model import Model, Parameters, Prediction
from agewell.workers.models.outputs_spec import ClassOutputs
from agewell.workers.models.preprocess import as_input
from agewell.workers.models.tasks.values import Classes, whole

TOP: Final = 5
_TOLERANCE: Final = 1e-3

Values = npt.NDArray[np.float64]


class Classifier(Model):
    """The most probable classes: (N, classes) logits or probabilities."""

    parameters = frozenset({"top"})
    _are_probabilities = False  # the values of the warm-up were

    @cached_property
    def _outputs(self) -> ClassOutputs:
        outputs = self.spec.outputs
        return outputs if isinstance(outputs, ClassOutputs) else ClassOutputs(family="classes")

    @cached_property
    def _classes(self) -> Classes:
        return Classes(self.spec.labels or self.network.labels(), self._outputs.class_count)

    def check_parameters(self, parameters: Parameters) -> None:
        """Check `top`, the number of labels to return.

        Raises:
            ParameterError: it is not a whole number of 1 to 1000, or another name is given.
        """
        super().check_parameters(parameters)
        whole(parameters, "top", TOP, 1000)

    def check_outputs(self, outputs: Arrays) -> None:
        """Check that there is a value for each label, and find out if values are probabilities.

        Raises:
            ModelError: the output has another shape, or another number of classes than labels. Or
                values without an activation are no probabilities.
        """
        found = self._pick(outputs)
        count = int(np.prod(found.shape[1:]))
        if found.ndim < 2 or max(found.shape[1:]) != count:
            self._refuse(found, "expected: (N, classes)")
        known = self._classes.count
        if known is not None and known != count and (known, count) != (2, 1):
            hint = "correct them, or give the network's number as `class_count` in `outputs`"
            self._refuse(found, f"expected: {known} classes, as there are labels; {hint}")
        self._check_values(found.reshape(len(found), count))

    def _check_values(self, values: Array) -> None:
        if self._outputs.activation == "none":
            try:
                check_fractions(values, "probabilities", "Write the `activation` of logits")
            except OutputsError as error:
                raise self._error(f"its outputs do not fit model.yaml: {error}") from None
        sums_to_1 = np.abs(values.sum(axis=1) - 1).max() <= _TOLERANCE
        self._are_probabilities = values.shape[1] > 1 and bool(values.min() >= 0 and sums_to_1)
        if self._are_probabilities and self._outputs.activation is None:
            self._remark(
                "the outputs are probabilities already, so no softmax is applied; to choose, write "
                "the `activation` in model.yaml's `outputs`"
            )

    def _refuse(self, found: Array, expected: str) -> None:
        raise self._error(f"its outputs do not fit model.yaml: {shown(found.shape)}; {expected}")

    def preprocess(self, image: Image, parameters: Parameters) -> dict[str, Array]:
        """Return `image`: (C, H, W) float32, normalised by model.yaml's `input`."""
        del parameters
        return {"image": as_input(image, self.spec.input)}

    def postprocess(self, output: Arrays, image: Image, parameters: Parameters) -> Prediction:
        """Return the `top` most probable labels, by default 5. Unnamed classes have numbers."""
        del image
        probabilities = self._probabilities(self._pick(output).astype(np.float64).ravel())
        best = np.argsort(-probabilities, kind="stable")[: int(parameters.get("top", TOP))]
        classes = [
            {"label": self._classes.name(int(each)), "probability": float(probabilities[each])}
            for each in best
        ]
        return Prediction(values={"classes": classes})

    def _pick(self, outputs: Arrays) -> Array:
        name = self._outputs.output
        if name is None:
            return next(iter(outputs.values()))
        if name not in outputs:
            raise self._error(f"outputs: there is no output {name}; found {', '.join(outputs)}")
        return outputs[name]

    def _probabilities(self, values: Values) -> Values:
        activation = self._outputs.activation or ("none" if self._are_probabilities else "softmax")
        if len(values) > 1 and activation == "softmax":
            return softmax(values, axis=0)
        # Also of a single value, because its softmax is 1 for every image.
        found = values if activation == "none" else sigmoid(values)
        yes_or_no = len(found) == 1 and self._classes.count == 2
        return np.concatenate([1 - found, found]) if yes_or_no else found
