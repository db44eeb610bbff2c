"""Encode the pictures of a prediction as files of the job's format."""

from agewell.shared.errors import ParameterError
from agewell.shared.protocol.formats import FORMATS
from agewell.shared.protocol.messages import Output
from agewell.workers.imaging.codec import encode
from agewell.workers.imaging.image import Image
from agewell.workers.jobs.item_results import Extra
from agewell.workers.models.model import Prediction


def encoded_pictures(
    prediction: Prediction, output: Output, name: str
) -> tuple[bytes | None, list[Extra]]:
    """Encode the image of a prediction, and its further pictures.

    Args:
        prediction: of one image.
        output: the job's format.
        name: the image's name, for errors.

    Returns:
        The file of the image, or None without one, and those of the further pictures.

    Raises:
        ParameterError: the format would change an image whose every value has a meaning.
        UnsupportedPixelsError, ImageTooLargeError, OperationError: see `encode`.
    """

    def encoded(picture: Image) -> bytes:
        return encode(picture, output.format, output.quality, name, output.effort or "fast")

    _check_lossless(prediction, output)
    media_type = FORMATS[output.format].media_type
    extras: list[Extra] = [
        (f".{each}.{output.format}", media_type, encoded(picture))
        for each, picture in prediction.pictures.items()
    ]
    return None if prediction.image is None else encoded(prediction.image), extras


def _check_lossless(prediction: Prediction, output: Output) -> None:
    is_lossy = output.format == "jpeg" or output.quality is not None
    if prediction.exact and prediction.image is not None and is_lossy:
        quality = "" if output.quality is None else f" with quality {output.quality}"
        lossless = ", ".join(each for each in FORMATS if each != "jpeg")
        allowed = f"{lossless}, without a quality, because each gray value is a class"
        raise ParameterError("format", f"{output.format}{quality}", allowed)
