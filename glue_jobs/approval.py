"""A held commit meets a yes or a no. Needs no Spark: everything was written when it was held."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from connectors.contract import layout
from connectors.contract.held import Held, InputObject, let_go, newest_held
from connectors.contract.run_record import RunRecord, read_record
from connectors.contract.storage import Storage
from glue_jobs import state
from glue_jobs.errors import ConfigError, OutOfDateError
from glue_jobs.inputs import changed_since
from glue_jobs.proposal import Proposal
from glue_jobs.state import Committed

_SHOWN = 3


def approve(storage: Storage, connector: str, run_id: str | None = None) -> Held:
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
        raise OutOfDateError(
            f"{connector}: {_shown(changed)} changed since run {held.run_id} read it; run the job again"
        )
    Proposal(Committed(pointer.pointer, held.tag), held.pointer, held.manifest).commit(storage)
    let_go(storage, connector)
    return held


def discard(storage: Storage, connector: str, run_id: str | None = None) -> Held:
    """Forget what is held. The next run decides anew.

    Raises:
        OutOfDateError: Nothing is held, or not that run any more.
    """
    held = _held(storage, connector, run_id)
    let_go(storage, connector, until=held.run_id)
    return held


def read_plan(storage: Storage, run_id: str) -> RunRecord:
    """A plan that was made before.

    Raises:
        ConfigError: There is none of that name.
    """
    try:
        layout.time_of_run(run_id)
    except layout.LayoutError as error:
        raise ConfigError(f"plan: {error}") from error
    plan = read_record(storage, layout.plan_record(run_id))
    if plan is None:
        raise ConfigError(
            f"there is no plan {run_id} in {storage.root}; make one: recsync plan {shlex.quote(storage.root)}"
        )
    return plan


def check_plan(plan: RunRecord, inputs: Sequence[InputObject], storage: Storage, *, is_full: bool) -> None:
    """A run does what a plan said only where everything is as it was.

    Args:
        inputs: What the run is about to read.
        is_full: Whether the run is to send everyone.

    Raises:
        OutOfDateError: An object is another one, something was committed since, the plan did not send everyone, or
            it could not say what would be done for a connector.
    """
    if unseen := [one.connector for one in plan.connectors if one.outcome == "stopped"]:
        raise OutOfDateError(f"plan {plan.run_id} could not say what is done for {_shown(unseen)}; make another one")
    if is_full and not plan.is_full:
        raise OutOfDateError(f"plan {plan.run_id} did not say what sending everyone does; make another one with --full")
    was = {(one.root, one.key): one.mark for one in plan.inputs}
    now = {(one.root, one.key): one.mark for one in inputs}
    changed = [
        f"{root}/{key}" for root, key in sorted(was.keys() | now.keys()) if was.get((root, key)) != now.get((root, key))
    ]
    changed += [
        f"the committed version of {one.connector}"
        for one in plan.connectors
        if one.outcome == "planned" and state.read_pointer(storage, one.connector).tag != one.tag
    ]
    if changed:
        raise OutOfDateError(f"{_shown(changed)} changed since plan {plan.run_id} was made; make another one")


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _held(storage: Storage, connector: str, run_id: str | None) -> Held:
    held = newest_held(storage, connector)
    if held is None:
        raise OutOfDateError(f"{connector}: no run is held")
    if run_id not in (None, held.run_id):
        raise OutOfDateError(f"{connector}: run {run_id} is not held; run {held.run_id} is")
    return held
