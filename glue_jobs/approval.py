"""A held commit meets a yes or a no. Needs no Spark: everything was written when it was held."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.contract.held import Held, let_go, newest_held
from connectors.contract.storage import Storage
from glue_jobs import state
from glue_jobs.errors import OutOfDateError
from glue_jobs.inputs import changed_since
from glue_jobs.proposal import Proposal
from glue_jobs.state import Committed

_SHOWN = 3


@dataclass(frozen=True)
class Approved:
    """A commit that was made.

    Attributes:
        manifest: The key of what was published.
    """

    held: Held
    manifest: str


def approve(storage: Storage, connector: str, run_id: str | None = None) -> Approved:
    """Commit and publish what is held: exactly what was looked at, or nothing.

    Args:
        run_id: The run that was looked at; None takes the newest.

    Raises:
        OutOfDateError: Nothing is held, or not that run any more, or what it stands on has changed.
        ConflictError: Another run committed at this very moment.
    """
    held = _held(storage, connector, run_id)
    pointer = state.read_pointer(storage, connector)
    if pointer.tag != held.tag:
        raise OutOfDateError(
            f"{connector}: run {held.run_id} was held before version {pointer.version} was committed; run the job again"
        )
    if changed := list(changed_since(held.inputs)):
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise OutOfDateError(
            f"{connector}: {', '.join(changed[:_SHOWN])}{more} changed since run {held.run_id} read it; "
            "run the job again"
        )
    Proposal(Committed(pointer.pointer, held.tag), held.pointer, held.manifest).commit(storage)
    let_go(storage, connector)
    return Approved(held, held.pointer.manifest)


def discard(storage: Storage, connector: str, run_id: str | None = None) -> Held:
    """Forget what is held. The next run decides anew.

    Raises:
        OutOfDateError: Nothing is held, or not that run any more.
    """
    held = _held(storage, connector, run_id)
    let_go(storage, connector)
    return held


def _held(storage: Storage, connector: str, run_id: str | None) -> Held:
    held = newest_held(storage, connector)
    if held is None:
        raise OutOfDateError(f"{connector}: no run is held")
    if run_id not in (None, held.run_id):
        raise OutOfDateError(f"{connector}: run {run_id} is not held; run {held.run_id} is")
    return held
