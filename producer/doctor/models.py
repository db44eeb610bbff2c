"""Checks of `agewell doctor` on models, on this machine and on the infer workers."""

import re
from collections.abc import Sequence
from pathlib import Path

from agewell.producer.doctor.finding import Finding, note, ok, problem
from agewell.producer.session import Session
from agewell.shared.model_commands import ModelControl

_WEIGHTS = re.compile(r"^weights:\s*[\"']?([^\"'#\n]+?)[\"']?\s*(?:#.*)?$", re.MULTILINE)


def check_models(models_dirs: Sequence[Path]) -> Finding:
    """Check that the weights of every model are in the folder of its model.yaml.

    Args:
        models_dirs: the models directories, at least one.
    """
    files = sorted(path for each in models_dirs for path in each.glob("*/*/model.yaml"))
    places = " and ".join(str(each) for each in models_dirs if each.is_dir()) or models_dirs[0]
    missing = [
        str(file.with_name(found[1]))
        for file in files
        if (found := _WEIGHTS.search(file.read_text())) and not file.with_name(found[1]).is_file()
    ]
    if missing:
        return problem(
            "models",
            f"weights are missing: {', '.join(missing)}",
            "put the file there (`git lfs pull` if Git LFS keeps it), or remove the model's folder",
        )
    if not files:
        do = "set AGEWELL_MODELS_DIR if you want to run models"
        return note("models", f"none in {places}", do)
    return ok("models", f"{len(files)} in {places}, all with their weights")


def check_served_models(session: Session) -> Finding:
    """Report the versions that an infer worker could not load, or not onto its GPU.

    If all is well, name the libraries and devices that run the loaded ones.
    """
    workers = ModelControl(session.client).workers()
    broken = {
        f"{each.name}/{each.version}: {each.problem}"
        for worker in workers
        for each in worker.versions
        if each.problem
    }
    if broken:
        return problem(
            "served models",
            f"{len(broken)} cannot be loaded: {'; '.join(sorted(broken))}",
            "fix the files or remove the version's directory, then run `agewell models load NAME "
            "VERSION`",
        )
    slow = {
        f"{each.name}/{each.version} on {worker.worker}: {each.warning}"
        for worker in workers
        for each in worker.versions
        if each.warning
    }
    if slow:
        return problem(
            "served models",
            "; ".join(sorted(slow)),
            "fix that on the host of the worker and start it again, or set `provider: cpu` in "
            "model.yaml if the CPU is meant",
        )
    versions = {(each.name, each.version) for worker in workers for each in worker.versions}
    runs_on = sorted({each.runs_on for worker in workers for each in worker.versions} - {""})
    loaded = f"; loaded ones run on {' and '.join(runs_on)}" if runs_on else ""
    found = f"{len(versions)} seen by {len(workers)} infer workers, none broken{loaded}"
    return ok("served models", found)
