"""Places of code that model.yaml files of earlier versions name, and their places now."""

from typing import Final

_OLD_PACKAGE: Final = "workers.models."
_NEW_PACKAGE: Final = "agewell.workers.models.library"

_MOVED: Final = {
    "workers.models.colorizer:ColorModel": f"{_NEW_PACKAGE}.colorizer.model:ColorModel",
    "workers.models.nets.attention_unet:AttentionUNet": (
        f"{_NEW_PACKAGE}.attention_unet:AttentionUNet"
    ),
    "workers.models.nets.colorizer:Colorizer": f"{_NEW_PACKAGE}.colorizer.network:Colorizer",
    "workers.models.nets.digits_cnn:DigitsCnn": f"{_NEW_PACKAGE}.digits.network:DigitsCnn",
}


def refuse_moved(entry: str) -> str:
    """Return an entry of model.yaml unchanged, if it is not a place of earlier versions.

    Args:
        entry: `package.module:name`, or `./file.py:name`.

    Raises:
        ValueError: the code has moved. The message says what to write instead.
    """
    if entry in _MOVED:
        raise ValueError(f"the code has moved: write {_MOVED[entry]}")
    if entry.startswith(_OLD_PACKAGE):
        raise ValueError(
            f"the package workers.models is now agewell.workers.models, and its networks are in "
            f"{_NEW_PACKAGE}: write the new place of {entry.partition(':')[2]}"
        )
    return entry
