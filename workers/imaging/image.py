"""The type of decoded images."""

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""(H, W) gray, (H, W, 3) BGR or (H, W, 4) BGR with straight alpha; uint8, 0 to 255."""
