"""Checks of `agewell doctor` on models: those on this machine, and those of the infer workers."""

import re
from pathlib import Path

from agewell.producer.doctor.finding import Finding, note, ok, problem
from agewell.producer.session import Session
from agewell.shared.model_commands import ModelControl

_WEIGHTS = re.compile(r"^weights:\s*[\"']?([^\"'#\n]+?)[\"']?\s*(?:#.*)?$", re.MULTILINE)


def check_models(models_dir: Path) -> Finding:
    """Check that every model's weights lie beside its model.yaml."""
    files = sorted(models_dir.glob("*/*/model.yaml"))
    missing = [
        str(file.with_name(found[1]))
        for file in files
        if (found := _WEIGHTS.search(file.read_text())) and not file.with_name(found[1]).is_file()
    ]
    if missing:
        return problem(
            "models",
            f"weights are missing: {', '.join(missing)}",
            "put the file there (git lfs pull, if it is kept so), or remove the model's folder",
        )
    if not files:
        return note("models", f"none in {models_dir}", "set AGEWELL_MODELS_DIR, to run inference")
    return ok("models", f"{len(files)} in {models_dir}, weights and all")


def check_served_models(session: Session) -> Finding:
    """The versions that an infer worker found to be broken, and why."""
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
            "mend the files or remove the version's directory; `agewell models load NAME VERSION` "
            "tries again",
        )
    versions = {(each.name, each.version) for worker in workers for each in worker.versions}
    return ok("served models", f"{len(versions)} seen by {len(workers)} infer workers, none broken")
