"""The GPUs of this machine, and those that `agewell up --gpus` names.

It asks the driver and never CUDA: a process that has used CUDA breaks CUDA in its children.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agewell.shared.errors import ParameterError

SMI_TIMEOUT_S = 20.0

_UUID = re.compile(r"GPU UUID:\s*(GPU-[0-9a-f-]+)")  # in the driver's file `information`
_SMI_GPU = re.compile(r"^GPU (\d+): .*\(UUID: (GPU-[0-9a-f-]+)\)")
_SMI_SLICE = re.compile(r"^\s+MIG .*\(UUID: (MIG-[\w/-]+)\)")
_COUNT = re.compile(r"[1-9][0-9]{0,2}")
_NAME = re.compile(r"(0|[1-9][0-9]{0,2}|GPU-[0-9A-Fa-f-]+|MIG-[\w/-]+)")

ALLOWED = (
    "all, how many, or which: 0 or device=1, 0,2, GPU-... or MIG-... as `nvidia-smi -L` shows them"
)


@dataclass(frozen=True)
class Gpu:
    """One GPU of this machine."""

    index: str
    uuid: str = ""  # "" if the driver does not show it
    slices: tuple[str, ...] = ()  # the names of its MIG devices

    def is_named(self, name: str) -> bool:
        """Return True if a name means this GPU or a part of it. CUDA takes the start of a UUID."""
        if name.isdecimal():
            return name == self.index
        return any(each.startswith(name) for each in (self.uuid, *self.slices))


def find_gpus(driver: Path) -> tuple[Gpu, ...]:
    """List the GPUs of this machine, without CUDA.

    Args:
        driver: the driver's folder with one folder for each GPU, by PCI address. `nvidia-smi` adds
            MIG devices, and replaces a folder that is not there, as in WSL.
    """
    smi = _from_smi()
    if not driver.exists():
        return smi
    folders = sorted(driver.glob("*"))
    slices = {gpu.uuid: gpu.slices for gpu in smi}
    uuids = [_uuid(folder) for folder in folders]
    return tuple(Gpu(str(n), uuid, slices.get(uuid, ())) for n, uuid in enumerate(uuids))


def _uuid(folder: Path) -> str:
    try:
        found = _UUID.search((folder / "information").read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def _from_smi() -> tuple[Gpu, ...]:
    """Read the output of `nvidia-smi -L`: a line for each GPU, and below it its MIG devices."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        done = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found: list[Gpu] = []
    for line in done.stdout.splitlines():
        if gpu := _SMI_GPU.match(line):
            found.append(Gpu(gpu[1], gpu[2]))
        elif found and (part := _SMI_SLICE.match(line)):
            last = found.pop()
            found.append(Gpu(last.index, last.uuid, (*last.slices, part[1])))
    return tuple(found)


def parse_gpus(text: str, found: Sequence[Gpu], visible: str | None) -> tuple[str, ...]:
    """Read the option `--gpus`.

    Args:
        text: `all`, how many, or which: indexes, UUIDs and names of MIG devices, in any mixture.
            A single number is a count, except for 0, which is the first GPU. As in Docker,
            `device=1` is the GPU of that index.
        found: the GPUs of this machine.
        visible: CUDA_VISIBLE_DEVICES, which bounds `all` and a count.

    Returns:
        A value of CUDA_VISIBLE_DEVICES for each worker, without duplicates.

    Raises:
        ParameterError: the text is none of these, or names a GPU that this machine does not have.
    """
    given = text.strip()
    if given == "all":
        return _allowed(visible) if visible else tuple(gpu.index for gpu in found)
    if _COUNT.fullmatch(given):
        return _first(int(given), visible)
    names = [part.strip() for part in given.removeprefix("device=").split(",")]
    if not all(_NAME.fullmatch(name) for name in names):
        raise ParameterError("--gpus", repr(text), ALLOWED)
    return _without_duplicates(names, found)


def _allowed(visible: str) -> tuple[str, ...]:
    """Return the devices of CUDA_VISIBLE_DEVICES. -1 hides all GPUs."""
    return tuple(part.strip() for part in visible.split(",") if part.strip() != "-1")


def _first(count: int, visible: str | None) -> tuple[str, ...]:
    if not visible:
        return tuple(str(index) for index in range(count))
    mine = _allowed(visible)
    if count > len(mine):
        allowed = f"at most {len(mine)}, as CUDA_VISIBLE_DEVICES is {visible}"
        raise ParameterError("--gpus", str(count), allowed)
    return mine[:count]


def _without_duplicates(names: Sequence[str], found: Sequence[Gpu]) -> tuple[str, ...]:
    """Check that each name means one device. A GPU may be named by its index and by its UUID."""
    chosen: dict[str, str] = {}
    for name in names:
        chosen.setdefault(_device(name, found), name)
    return tuple(chosen.values())


def _device(name: str, found: Sequence[Gpu]) -> str:
    """Return the UUID of the device that a name means, or the name if it cannot be checked."""
    if not found or not _can_be_checked(name, found):
        return name
    owners = [gpu for gpu in found if gpu.is_named(name)]
    devices = [each for gpu in owners for each in (gpu.uuid, *gpu.slices) if each.startswith(name)]
    if name.isdecimal() and owners:
        return owners[0].uuid or name
    if len(devices) == 1:
        return devices[0]
    reason = f"{name!r}, which is {'the start of several' if devices else 'not on this machine'}"
    raise ParameterError("--gpus", reason, _names(found))


def _can_be_checked(name: str, found: Sequence[Gpu]) -> bool:
    if name.startswith("MIG-"):
        return any(gpu.slices for gpu in found)
    return name.isdecimal() or all(gpu.uuid for gpu in found)


def _names(found: Sequence[Gpu]) -> str:
    """List all names that the option could have here."""
    names = [f"{gpu.index} or {gpu.uuid}" if gpu.uuid else gpu.index for gpu in found]
    return ", ".join([*names, *(each for gpu in found for each in gpu.slices)])
