"""Poisson blending as an operation. The folder `poisson` has the solver."""

from typing import Annotated

from pydantic import Field

from agewell.shared.protocol.operations import Offset
from agewell.workers.imaging.channels import as_bgr, as_mask
from agewell.workers.imaging.image import Image
from agewell.workers.operations.context import JobContext
from agewell.workers.operations.declaration import operation
from agewell.workers.operations.poisson import blend
from agewell.workers.operations.poisson.blend import Gradient
from agewell.workers.operations.result import Info


@operation(command="poisson", example="bird.jpg bird-mask.png sky.jpg --at 840,110")
def poisson_blend(
    source: Image,
    mask: Image,
    destination: Image,
    *,
    context: JobContext,
    gradient: Gradient = "src",
    mask_on_source: Annotated[
        Offset | None, Field(json_schema_extra={"option": "source-at"})
    ] = None,
    mask_on_destination: Annotated[Offset, Field(json_schema_extra={"option": "at"})] = (0, 0),
) -> tuple[Image, Info]:
    """Blend sources seamlessly into destinations: Poisson blending.

    Args:
        source: the images to blend in. uint8, (H, W) gray or (H, W, 3) BGR.
        mask: masks of the sources, white on black. uint8, (h, w) gray or (h, w, 3), no alpha.
        destination: the images to blend into. uint8, (H', W') gray or (H', W', 3) BGR.
        context: the backend, its threads, and the largest region.
        gradient: the gradients to keep: of the source, the stronger of both, or their mean.
        mask_on_source: (x, y) of the mask's top left corner, in pixels of the source. Left out:
            the mask must have the source's size.
        mask_on_destination: (x, y) of the mask's top left corner, in pixels of the destination.

    Returns:
        (H', W', 3) uint8 BGR, and facts about the solution: the backend, the iterations, the
        residual in gray levels, and if it has converged.

    Raises:
        UnsupportedPixelsError: an image has an alpha channel.
        ShapeError, MaskError, BackendError: see `poisson.blend.poisson_blend`.
    """
    result = blend.poisson_blend(
        as_bgr(source, "source"),
        as_mask(mask, "mask"),
        as_bgr(destination, "destination"),
        gradient=gradient,
        mask_on_source=mask_on_source,
        mask_on_destination=mask_on_destination,
        backend=context.settings.poisson_backend,
        max_pixels=context.settings.poisson_max_pixels,
        threads=context.settings.threads_per_job,
        checkpoint=context.checkpoint,
    )
    return result.image, {
        "backend": result.backend,
        "iterations": result.iterations,
        "residual": result.residual,
        "converged": result.converged,
    }
