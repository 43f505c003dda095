"""Records → calls → one outcome a record, whatever the destination answers.

A request that is refused as a whole is sent again in halves until the culprit stands alone; a refused key is
read anew once; while a destination asks us to wait no call is made; nothing is raised for what it says.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias

from connectors.base import Connector, Fitted, Outcome, Reply, Request, Verdict
from connectors.contract.records import SyncRecord
from connectors.errors import ConfigError
from functions.intake import Run

Send: TypeAlias = Callable[[Request], Reply]
# The connector; given True, with its secret read anew: the same object when it is the same secret.
Connect: TypeAlias = Callable[[bool], Connector]
_Numbered: TypeAlias = tuple[int, SyncRecord]

# As long as any message waits.
LONGEST_PAUSE_S = 900.0
# Why a call was not made: a newer run is published; the function's time is nearly over; we were asked to wait.
SUPERSEDED, OUT_OF_TIME, THROTTLED = "superseded", "out_of_time", "throttled"
NOT_MADE = frozenset({SUPERSEDED, OUT_OF_TIME, THROTTLED})
# Failures of a call that cannot have reached the destination.
_NOT_SENT = NOT_MADE | {"NotConnected", "ConnectTimeout"}
# No call is made while our settings are refused; and a connector may fail over some records, which is a fault of ours.
# None of it says anything about the destination.
_REFUSED, FAILED = "refused_settings", "connector_failed"


class Pause:
    """How long a destination that throttles asked not to be called. Shared by all calls of a process.

    Without it every message of a batch would hear for itself what the first one was told. It outlasts a batch, so it
    goes by the clock on the wall: the other one may stand still while a function waits to be called.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._until_s = 0.0

    def left_s(self) -> float:
        """Seconds until the next call; 0 when one may be made."""
        return min(LONGEST_PAUSE_S, max(0.0, self._until_s - self._clock()))

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
        fault: Where the connector failed; empty where it did not.
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


def not_called(records: Sequence[SyncRecord], refused: str) -> Told:
    """No call is made for these records, as our settings are refused."""
    return Told([Outcome(Verdict.RETRY, _REFUSED)] * len(records), requests=0, refused=refused)


def call(
    connector: Connector, connect: Connect, send: Send, records: Sequence[SyncRecord], run: Run, pause: Pause
) -> Told:
    """Send some records, and say what became of each.

    Args:
        connect: Asked for another connector once the destination refuses the key of this one.
    """
    calling = _Calling(connector, connect, send, run, pause)
    fitted = [calling.fit(record) for record in records]
    outcomes = {at: one.refusal for at, one in enumerate(fitted) if one.refusal is not None}
    outcomes |= calling.settle([(at, one.record) for at, one in enumerate(fitted) if one.record is not None])
    return Told(
        [outcomes[at] for at in range(len(records))],
        calling.requests,
        calling.refused,
        calling.unanswered,
        Counter(code for one in fitted for code in one.warnings),
        calling.is_answered,
        calling.fault,
    )


class _Calling:
    """The calls for one set of records."""

    def __init__(self, connector: Connector, connect: Connect, send: Send, run: Run, pause: Pause) -> None:
        self._connector, self._connect, self._send = connector, connect, send
        self._run, self._pause = run, pause
        self._has_fresh_secret = False
        self.requests = self.unanswered = 0
        self.refused = self.fault = ""
        self.is_answered = False

    def fit(self, record: SyncRecord) -> Fitted:
        """A record as the destination will keep it whole; one over which the connector fails comes again."""
        try:
            return self._connector.fit(record, self._run.options)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept
            return Fitted(None, self._failed(error))

    def settle(self, records: Sequence[_Numbered]) -> dict[int, Outcome]:
        """An outcome for each record, by its number."""
        outcomes: dict[int, Outcome] = {}
        groups = [records] if records else []
        while groups:
            group = groups.pop()
            for request in self._requests(group, outcomes):
                sent = [group[position] for position in request.sent]
                told = dict(zip([at for at, _ in sent], self._outcomes(request, sent), strict=True))
                outcomes |= told
                groups += _smaller(sent, [pair for pair in sent if told[pair[0]].verdict is Verdict.SPLIT], outcomes)
        return outcomes

    def _requests(self, group: Sequence[_Numbered], outcomes: dict[int, Outcome]) -> Sequence[Request]:
        """The calls that carry some records; none where the connector fails, which is then their outcome."""
        manifest, records = self._run.manifest, [record for _, record in group]
        try:
            return self._connector.requests(records, self._run.options, manifest.retired, run_id=manifest.run_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept
            outcomes |= dict.fromkeys([at for at, _ in group], self._failed(error))
            return []

    def _failed(self, error: Exception) -> Outcome:
        """Keep where the connector failed, without what it said: that may name a user."""
        places = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{Path(place.filename).name}:{place.lineno}" for place in reversed(places))
        self.fault = f"{type(error).__name__} in {where}"
        return Outcome(Verdict.RETRY, FAILED)

    def _outcomes(self, request: Request, sent: Sequence[_Numbered]) -> Sequence[Outcome]:
        """What one call gives. After a refusal of our settings, and while we are asked to wait, none is made."""
        if self.refused:
            return [Outcome(Verdict.RETRY, _REFUSED)] * len(sent)
        if left_s := self._pause.left_s():
            return [Outcome(Verdict.RETRY, THROTTLED, retry_after_s=left_s)] * len(sent)
        try:
            return self._heard(request, [record for _, record in sent])
        except ConfigError as error:
            refusal = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept
            return [self._failed(error)] * len(sent)
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
        self.is_answered |= reply.status == HTTPStatus.TOO_MANY_REQUESTS
        self.is_answered |= any(one.verdict is not Verdict.RETRY for one in outcomes)
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
