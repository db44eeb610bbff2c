"""Every error of agewell, under the name that users import: the tree of `agewell.shared.errors`."""

from agewell.shared.errors import *  # noqa: F403
from agewell.shared.errors import __all__ as __all__
