"""Imports files of users as modules: operations, and networks of models."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def import_file(path: Path, name: str) -> ModuleType:
    """Import a Python file under a name, which must be no other module's.

    Args:
        path: the file.
        name: its name in `sys.modules`. If it has been imported under it, that module is returned.

    Raises:
        ImportError: it is not a Python file.
        Exception: any error of the file itself.
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
