"""Health: whether a destination is in trouble, and until when it is left alone.

One small object for each connector of a job folder, swapped by its tag, so that of many functions at once one
opens the circuit and one probes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import Field

from connectors.contract import layout
from connectors.contract.documents import DamagedError, read_tagged
from connectors.contract.storage import ConflictError, NotFoundError, Storage
from connectors.contract.wire import VersionedModel

# After this many failing batches in a row the circuit opens; a refused key opens it at once.
OPENS_AFTER = 3
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 900.0


class Health(VersionedModel):
    """A destination in trouble; one that is well has no such object.

    Attributes:
        failures: Failing batches in a row.
        open_until: No call is made before; None while the circuit is closed.
        wait_s: How long it was opened for; doubles with each probe that fails.
        reason: Why, in a sentence.
        since: When the trouble began.
    """

    failures: int = Field(ge=1)
    open_until: datetime | None = None
    wait_s: float = Field(default=0, ge=0)
    reason: str = ""
    since: datetime

    def opens_in_s(self, now: datetime) -> float:
        """How long no call may be made, in seconds; 0 when one may."""
        return max(0.0, (self.open_until - now).total_seconds()) if self.open_until else 0.0

    def after_failure(self, reason: str, now: datetime, *, is_refused: bool) -> Health:
        """The next state when another batch failed."""
        failures = self.failures + 1
        if not is_refused and failures < OPENS_AFTER and not self.open_until:
            return self.model_copy(update={"failures": failures, "reason": reason})
        wait_s = min(max(FIRST_WAIT_S, self.wait_s * 2), LONGEST_WAIT_S)
        until = now + timedelta(seconds=wait_s)
        return Health(failures=failures, open_until=until, wait_s=wait_s, reason=reason, since=self.since)


def read_health(storage: Storage, connector: str) -> tuple[Health | None, str | None]:
    """The health of a connector and the tag to swap it by; None when it is well."""
    try:
        return read_tagged(storage, layout.health(connector), Health)
    except NotFoundError:
        return None, None
    except DamagedError:
        return None, storage.get(layout.health(connector)).tag


def note_failure(storage: Storage, connector: str, reason: str, now: datetime, *, is_refused: bool) -> None:
    """A batch failed as a whole. Of several functions that say so at once one is heard."""
    was, tag = read_health(storage, connector)
    before = was or Health.model_construct(failures=0, open_until=None, wait_s=0.0, reason="", since=now)
    after = before.after_failure(reason, now.astimezone(UTC), is_refused=is_refused)
    try:
        storage.put(layout.health(connector), after.to_json().encode(), if_absent=tag is None, if_match=tag)
    except ConflictError:
        return


def note_success(storage: Storage, connector: str) -> None:
    """The destination took something: it is well."""
    storage.delete(layout.health(connector))
