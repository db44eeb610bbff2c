"""Check of `agewell doctor` for the operations of the CV workers, users' plug-ins among them."""

from collections.abc import Sequence

from agewell.producer.doctor.finding import Finding, note, ok, problem
from agewell.producer.session import Session
from agewell.shared.operation_offers import Offer, OperationOffers
from agewell.shared.protocol.operations import OperationSchema


def check_operations(session: Session) -> Finding:
    """Report plug-ins that a worker cannot use, and operations that differ between workers."""
    offers = OperationOffers(session.client).all()
    failures = _failures(offers)
    if failures:
        return problem(
            "operations",
            "; ".join(failures),
            "fix the module, install it where that worker runs (AGEWELL_OPERATIONS names modules), "
            "and restart the worker; its other operations serve meanwhile",
        )
    differences = [*_partly_offered(offers), *_different(offers)]
    if differences:
        return note(
            "operations",
            "; ".join(differences),
            "install the same packages with operations on every cv worker; until then, workers "
            "give jobs back to the queue that only others can run",
        )
    names = {name for offer in offers for name in offer.names}
    return ok("operations", f"{len(names)}, the same on each of {len(offers)} cv workers")


def _failures(offers: Sequence[Offer]) -> list[str]:
    """Name the modules that a worker cannot use, with the reasons."""
    return sorted(
        {
            f"{offer.worker} cannot use {each.source}: {each.reason}"
            for offer in offers
            for each in offer.failures
        }
    )


def _partly_offered(offers: Sequence[Offer]) -> list[str]:
    """Name the operations that some workers lack, with the workers that have them."""
    names = sorted({name for offer in offers for name in offer.names})
    found = []
    for name in names:
        workers = sorted(each.worker for each in offers if name in each.names)
        if len(workers) < len(offers):
            found.append(f"only on {', '.join(workers)} of {len(offers)} cv workers: {name}")
    return found


def _different(offers: Sequence[Offer]) -> list[str]:
    """Name the users' operations whose images or parameters differ between workers."""
    schemas: dict[str, list[OperationSchema]] = {}
    for offer in offers:
        for each in offer.users:
            schemas.setdefault(each.name, []).append(each)
    return [
        f"{name} has other images or parameters on some cv workers"
        for name, found in sorted(schemas.items())
        if any(each != found[0] for each in found)
    ]
