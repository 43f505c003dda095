"""Records → calls → one outcome a record, whatever the destination answers.

A request that is refused as a whole is sent again in halves until the culprit stands alone; a refused key is
read anew once; nothing is raised for what a destination says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from connectors.base import Connector, Outcome, Reply, Request, SyncOptions, Verdict
from connectors.contract.records import SyncRecord
from connectors.errors import ConfigError

Send: TypeAlias = Callable[[Request], Reply]
# The connector; given True, with its secret read anew.
Connect: TypeAlias = Callable[[bool], Connector]
_Numbered: TypeAlias = tuple[int, SyncRecord]


@dataclass(frozen=True)
class Told:
    """What became of some records.

    Attributes:
        outcomes: One a record, in order: DELIVERED, REJECTED or RETRY.
        requests: Calls made.
        refused: Why the destination refuses our settings, when it does.
        warnings: Records that were sent and that a person should know of, by code.
    """

    outcomes: Sequence[Outcome]
    requests: int
    refused: str = ""
    warnings: Counter[str] = field(default_factory=Counter)


def call(
    connect: Connect, send: Send, records: Sequence[SyncRecord], options: SyncOptions, retired: Sequence[str]
) -> Told:
    """Send some records, and say what became of each."""
    connector = connect(False)
    fitted = [connector.fit(record, options) for record in records]
    outcomes = {at: one.refusal for at, one in enumerate(fitted) if one.refusal is not None}
    kept = [(at, one.record) for at, one in enumerate(fitted) if one.record is not None]
    calling = _Calling(connect, send, options, retired)
    outcomes |= calling.settle(kept)
    warnings = Counter(code for one in fitted for code in one.warnings)
    return Told([outcomes[at] for at in range(len(records))], calling.requests, calling.refused, warnings)


class _Calling:
    """The calls for one set of records."""

    def __init__(self, connect: Connect, send: Send, options: SyncOptions, retired: Sequence[str]):
        self._connect, self._send, self._options, self._retired = connect, send, options, retired
        self._connector = connect(False)
        self._has_fresh_secret = False
        self.requests = 0
        self.refused = ""

    def settle(self, records: Sequence[_Numbered]) -> dict[int, Outcome]:
        """An outcome for each record, by its number."""
        outcomes: dict[int, Outcome] = {}
        groups = [records] if records else []
        while groups:
            group = groups.pop()
            for request in self._connector.requests([record for _, record in group], self._options, self._retired):
                sent = [group[position] for position in request.sent]
                told = dict(zip([at for at, _ in sent], self._outcomes(request, sent), strict=True))
                outcomes |= told
                groups += _smaller(sent, [pair for pair in sent if told[pair[0]].verdict is Verdict.SPLIT], outcomes)
        return outcomes

    def _outcomes(self, request: Request, sent: Sequence[_Numbered]) -> Sequence[Outcome]:
        """What one call gives. After a refusal of our settings no further call is made."""
        if self.refused:
            return [Outcome(Verdict.RETRY, "refused_settings")] * len(sent)
        self.requests += 1
        try:
            return self._connector.outcomes(self._send(request), [record for _, record in sent])
        except ConfigError as error:
            if self._reads_a_fresh_secret():
                outcomes = self.settle(sent)
                return [outcomes[at] for at, _ in sent]
            self.refused = str(error)
            return self._outcomes(request, sent)

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
