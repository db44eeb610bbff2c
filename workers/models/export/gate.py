"""The accuracy gate: how well an 8-bit graph agrees with its float32 network on held-out photos."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from agewell.workers.imaging.image import Image
from agewell.workers.models.agreement import agreement_for
from agewell.workers.models.arrays import Arrays
from agewell.workers.models.image_folder import Folder
from agewell.workers.models.kinds.network import Network
from agewell.workers.models.model import Model
from agewell.workers.models.progress import Progress


@dataclass(frozen=True)
class Gate:
    """The agreement on held-out photos, and the bound that it must reach."""

    measure: str  # such as `same top class`
    unit: str  # `%`, with values from 0 to 1, or `dB`
    value: float  # over all photos
    lowest: float  # of a single photo
    least: float  # the bound
    calibrated: int  # photos
    held_out: int  # photos
    skipped: int  # photos that could not be read

    @property
    def holds(self) -> bool:
        """True if the graph agrees well enough."""
        return self.value >= self.least


def bound(task: str, asked: float | None) -> float:
    """Return the bound of a task: the one that was asked for, or the default.

    Raises:
        ValueError: it is outside the measure's range.
    """
    measure = agreement_for(task)
    if asked is None:
        return measure.least
    if not 0 <= asked <= measure.most:
        allowed = f"0 to {measure.most:g}" if measure.unit == "%" else "0 dB or more"
        raise ValueError(f"--min-agreement {asked:g}: for task {task} ({measure.title}): {allowed}")
    return asked


def measure(
    model: Model, original: Network, other: Network, folder: Folder, least: float, calibrated: int
) -> Gate:
    """Run both networks on the held-out photos, one at a time.

    Args:
        model: its preprocessing and postprocessing are used for both.
        original: the float32 network.
        other: the 8-bit network.
        folder: of the photos.
        least: the bound.
        calibrated: number of photos that `other` was calibrated on, for the report.

    Raises:
        ValueError: no held-out photo can be read.
    """
    agreement = agreement_for(model.spec.task)
    progress = Progress("comparing on held-out images", len(folder.held_out()), folder.say)
    figures = []
    for image, batch in folder.prepare(folder.held_out(), partial(_batch, model)):
        expected, found = (_first(each.forward(batch)) for each in (original, other))
        figures.append(agreement.add(model, image, expected, found))
        progress.step()
    folder.check()
    return Gate(
        measure=agreement.title,
        unit=agreement.unit,
        value=round(agreement.value(), 4),
        lowest=round(min(figures), 4),
        least=least,
        calibrated=calibrated,
        held_out=len(figures),
        skipped=len(folder.skipped),
    )


def inputs(model: Model, folder: Folder) -> Iterator[Arrays]:
    """Prepare the photos to calibrate on, one after the other, each as a batch of one."""
    progress = Progress("calibrating", len(folder.calibration()), folder.say)
    for _, batch in folder.prepare(folder.calibration(), partial(_batch, model)):
        yield batch
        progress.step()


def _batch(model: Model, image: Image) -> Arrays:
    """Prepare one photo as a batch."""
    item = model.preprocess(image, model.sample_parameters(image))
    return {name: array[None] for name, array in item.items()}


def _first(outputs: Arrays) -> Arrays:
    return {name: array[0] for name, array in outputs.items()}
