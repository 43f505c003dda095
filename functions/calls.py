"""Records → calls → one outcome a record, whatever the destination answers.

A request that is refused as a whole is sent again in halves until the culprit stands alone; a refused key is
read anew once; while a destination asks us to wait no call is made; nothing is raised for what it says.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from connectors.base import Connector, Outcome, Reply, Request, Verdict
from connectors.contract.records import SyncRecord
from connectors.errors import ConfigError
from functions.intake import Run

Send: TypeAlias = Callable[[Request], Reply]
# The connector; given True, with its secret read anew: the same object when it is the same secret.
Connect: TypeAlias = Callable[[bool], Connector]
_Numbered: TypeAlias = tuple[int, SyncRecord]

# As long as any message waits.
LONGEST_PAUSE_S = 900.0
# Why a call was not made: a newer run is published; the function's time is nearly over.
SUPERSEDED, OUT_OF_TIME = "superseded", "out_of_time"
NOT_MADE = frozenset({SUPERSEDED, OUT_OF_TIME})
# Failures of a call that cannot have reached the destination.
_NOT_SENT = NOT_MADE | {"NotConnected", "ConnectTimeout"}
THROTTLED = "throttled"


class Pause:
    """How long a destination that throttles asked not to be called. Shared by all calls of a process.

    Without it every message of a batch would hear for itself what the first one was told.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s = 0.0

    def left_s(self) -> float:
        """Seconds until the next call; 0 when one may be made."""
        return max(0.0, self._until_s - self._clock())

    def begin(self, wait_s: float) -> None:
        """Make no call for so many seconds. A longer pause that is under way stays."""
        self._until_s = max(self._until_s, self._clock() + min(wait_s, LONGEST_PAUSE_S))


@dataclass(frozen=True)
class Told:
    """What became of some records.

    Attributes:
        outcomes: One a record, in order: DELIVERED, REJECTED or RETRY.
        requests: Calls made.
        refused: Why the destination refuses our settings, when it does.
        warnings: Records that were sent and that a person should know of, by code.
        unanswered: Records in calls that may have arrived and got no answer: if they did, they will arrive twice.
        fault: Where the connector failed, by its own fault; empty where it did not.
        is_answered: Whether the destination said something that only one who is well says: it took, refused or
            throttled some. What was refused here, without a call, says nothing about it.
    """

    outcomes: Sequence[Outcome]
    requests: int
    refused: str = ""
    unanswered: int = 0
    warnings: Counter[str] = field(default_factory=Counter)
    is_answered: bool = False
    fault: str = ""


def nothing_told(records: Sequence[SyncRecord], *, refused: str = "", fault: str = "") -> Told:
    """No call was made for these records, and all have to come again."""
    outcome = Outcome(Verdict.RETRY, "refused_settings" if refused else "connector_failed")
    return Told([outcome] * len(records), requests=0, refused=refused, fault=fault)


def call(
    connector: Connector, connect: Connect, send: Send, records: Sequence[SyncRecord], run: Run, pause: Pause
) -> Told:
    """Send some records, and say what became of each.

    Args:
        connect: Asked for another connector once the destination refuses the key of this one.
    """
    fitted = [connector.fit(record, run.options) for record in records]
    outcomes = {at: one.refusal for at, one in enumerate(fitted) if one.refusal is not None}
    kept = [(at, one.record) for at, one in enumerate(fitted) if one.record is not None]
    calling = _Calling(connector, connect, send, run, pause)
    outcomes |= calling.settle(kept)
    warnings = Counter(code for one in fitted for code in one.warnings)
    in_order = [outcomes[at] for at in range(len(records))]
    return Told(in_order, calling.requests, calling.refused, calling.unanswered, warnings, calling.is_answered)


class _Calling:
    """The calls for one set of records."""

    def __init__(self, connector: Connector, connect: Connect, send: Send, run: Run, pause: Pause) -> None:
        self._connector, self._connect, self._send = connector, connect, send
        self._run, self._pause = run, pause
        self._has_fresh_secret = False
        self.requests = self.unanswered = 0
        self.refused = ""
        self.is_answered = False

    def settle(self, records: Sequence[_Numbered]) -> dict[int, Outcome]:
        """An outcome for each record, by its number."""
        outcomes: dict[int, Outcome] = {}
        groups = [records] if records else []
        while groups:
            group = groups.pop()
            for request in self._requests([record for _, record in group]):
                sent = [group[position] for position in request.sent]
                told = dict(zip([at for at, _ in sent], self._outcomes(request, sent), strict=True))
                outcomes |= told
                groups += _smaller(sent, [pair for pair in sent if told[pair[0]].verdict is Verdict.SPLIT], outcomes)
        return outcomes

    def _requests(self, records: Sequence[SyncRecord]) -> Sequence[Request]:
        manifest = self._run.manifest
        return self._connector.requests(records, self._run.options, manifest.retired, run_id=manifest.run_id)

    def _outcomes(self, request: Request, sent: Sequence[_Numbered]) -> Sequence[Outcome]:
        """What one call gives. After a refusal of our settings, and while we are asked to wait, none is made."""
        if self.refused:
            return [Outcome(Verdict.RETRY, "refused_settings")] * len(sent)
        if left_s := self._pause.left_s():
            return [Outcome(Verdict.RETRY, THROTTLED, retry_after_s=left_s)] * len(sent)
        try:
            return self._heard(request, [record for _, record in sent])
        except ConfigError as error:
            refusal = error
        try:
            if self._reads_a_fresh_secret():
                outcomes = self.settle(sent)
                return [outcomes[at] for at, _ in sent]
        except ConfigError as error:  # the new one is not even of a form to be tried
            refusal = error
        self.refused = str(refusal)
        return self._outcomes(request, sent)

    def _heard(self, request: Request, sent: Sequence[SyncRecord]) -> Sequence[Outcome]:
        """Make one call, and remember what holds for the next ones too."""
        reply = self._send(request)
        self.requests += reply.failure not in NOT_MADE
        if reply.status == 0 and reply.failure not in _NOT_SENT:
            self.unanswered += len(sent)
        outcomes = self._connector.outcomes(reply, sent)
        self.is_answered |= any(one.verdict is not Verdict.RETRY or one.code == THROTTLED for one in outcomes)
        self._pause.begin(max((outcome.retry_after_s or 0.0 for outcome in outcomes), default=0.0))
        return outcomes

    def _reads_a_fresh_secret(self) -> bool:
        """The key may have been rotated since it was read: whether there is another one to try, once."""
        if self._has_fresh_secret:
            return False
        self._has_fresh_secret = True
        was, self._connector = self._connector, self._connect(True)
        return self._connector is not was


def _smaller(
    sent: Sequence[_Numbered], refused: Sequence[_Numbered], outcomes: dict[int, Outcome]
) -> list[Sequence[_Numbered]]:
    """What of a call has to be sent again among fewer; one who was alone is rejected."""
    if len(sent) == 1 and refused:
        at = refused[0][0]
        outcomes[at] = replace(outcomes[at], verdict=Verdict.REJECTED)
        return []
    middle = (len(refused) + 1) // 2 if len(refused) == len(sent) else len(refused)
    return [half for half in (refused[:middle], refused[middle:]) if half]
