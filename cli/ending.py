"""How a run ended for a connector, as is known by now: what a guard held may have been decided about since."""

from __future__ import annotations

from connectors.contract.held import newest_held
from connectors.contract.run_record import ConnectorRecord
from connectors.contract.storage import Storage
from glue_jobs import state

_SAID = {"approved": "held, then approved", "dropped": "held, then dropped"}


def ending(storage: Storage, one: ConnectorRecord) -> str:
    """The outcome that a run's record names; of a held run ``approved`` or ``dropped`` where it waits no more.

    Raises:
        StateError: What it published is damaged.
    """
    if one.outcome != "held":
        return one.outcome
    if state.read_manifest(storage, one.manifest) is not None:
        return "approved"
    held = newest_held(storage, one.connector)
    return "held" if held is not None and held.pointer.manifest == one.manifest else "dropped"


def ending_in_words(ending: str) -> str:
    """The same as a person reads it."""
    return _SAID.get(ending, ending)
