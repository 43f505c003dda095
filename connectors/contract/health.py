"""Health: whether a destination is in trouble, and until when it is left alone.

One small object for each connector of a job folder, swapped by its tag, so that of many functions at once one
opens the circuit and one probes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Circuit:
    """A connector's health as it was read. Of several who swap what they read the first is heard, and no other.

    Attributes:
        health: None when it is well.
        tag: What it is swapped by; None where there is no such object.
    """

    storage: Storage
    connector: str
    health: Health | None
    tag: str | None

    @property
    def is_to_be_probed(self) -> bool:
        """Whether it was open, so that one message has to find out how the destination is."""
        return self.health is not None and self.health.open_until is not None

    def closed_s(self, now: datetime) -> float:
        """How long no call may be made, in seconds; 0 when one may."""
        return self.health.opens_in_s(now) if self.health else 0.0

    def claimed(self, now: datetime) -> Circuit | None:
        """The circuit, its probe left to nobody else for longer than a call takes; None where someone was faster."""
        if self.health is None:
            return None
        until = now.astimezone(UTC) + timedelta(seconds=FIRST_WAIT_S)
        return self._swapped(self.health.model_copy(update={"open_until": until}))

    def note_failure(self, reason: str, now: datetime, *, is_refused: bool) -> None:
        """A batch failed as a whole. Of several batches that failed side by side one counts."""
        before = self.health or Health.model_construct(failures=0, open_until=None, wait_s=0.0, reason="", since=now)
        self._swapped(before.after_failure(reason, now.astimezone(UTC), is_refused=is_refused))

    def note_success(self) -> None:
        """The destination answered: it is well."""
        if self.health is not None:
            note_success(self.storage, self.connector)

    def _swapped(self, health: Health) -> Circuit | None:
        """With another health; None where someone was faster."""
        key, data = layout.health(self.connector), health.to_json().encode()
        try:
            tag = self.storage.put(key, data, if_absent=self.tag is None, if_match=self.tag)
        except ConflictError:
            return None
        return replace(self, health=health, tag=tag)


def read_circuit(storage: Storage, connector: str) -> Circuit:
    """The circuit of a connector. A health that nobody can read says nothing, and is overwritten.

    Raises:
        NewerFormatError: A newer release wrote it.
        StorageError: It cannot be read this time.
    """
    try:
        return Circuit(storage, connector, *read_tagged(storage, layout.health(connector), Health))
    except NotFoundError:
        return Circuit(storage, connector, None, None)
    except DamagedError:
        return Circuit(storage, connector, None, storage.get(layout.health(connector)).tag)


def note_success(storage: Storage, connector: str) -> None:
    """The destination is well, whatever was known of it."""
    storage.delete(layout.health(connector))
