"""Check of `agewell doctor` for the operations of the CV workers, users' plug-ins among them."""

from collections.abc import Sequence

from agewell.producer.doctor.finding import Finding, note, ok, problem
from agewell.producer.session import Session
from agewell.shared.operation_offers import Offer, OperationOffers


def check_operations(session: Session) -> Finding:
    """Report plug-ins that a worker cannot use, and operations that only some workers have."""
    offers = OperationOffers(session.client).all()
    failures = sorted(
        {
            f"{offer.worker} cannot use {each.source}: {each.reason}"
            for offer in offers
            for each in offer.failures
        }
    )
    if failures:
        return problem(
            "operations",
            "; ".join(failures),
            "fix the module, install it where that worker runs (AGEWELL_OPERATIONS names modules), "
            "and restart the worker; its other operations serve meanwhile",
        )
    partly = _partly_offered(offers)
    if partly:
        return note(
            "operations",
            "; ".join(partly),
            "install the same packages with operations on every cv worker; until then, only those "
            "workers run such jobs, and the others give them back to the queue",
        )
    names = {name for offer in offers for name in offer.names}
    return ok("operations", f"{len(names)}, the same on each of {len(offers)} cv workers")


def _partly_offered(offers: Sequence[Offer]) -> list[str]:
    """Name the operations that some workers lack, with the workers that have them."""
    names = sorted({name for offer in offers for name in offer.names})
    found = []
    for name in names:
        workers = sorted(each.worker for each in offers if name in each.names)
        if len(workers) < len(offers):
            found.append(f"only on {', '.join(workers)} of {len(offers)} cv workers: {name}")
    return found
