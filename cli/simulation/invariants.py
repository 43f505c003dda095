"""What has to be true of every history, however much went wrong."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.simulation.destination import FATAL_ITEM, REFUSED_ITEM, compact
from cli.simulation.history import Played, connector_of
from cli.simulation.shop import PREFIX
from connectors.braze.config import BrazeOptions
from connectors.contract.manifest import RunManifest
from connectors.contract.receipts import Fate, read_ledger
from connectors.contract.records import SyncRecord


@dataclass(frozen=True)
class Line:
    """One record of one published run, and what became of it.

    Attributes:
        content: The object that Braze is sent for it.
    """

    manifest: str
    version: int
    user: str
    content: str
    fate: Fate


def broken(played: Played) -> list[str]:
    """Every invariant that a history broke, in a sentence; empty when none."""
    played.world.is_kind = True
    lines = [line for key, manifest in played.published.items() for line in lines_of(played, key, manifest)]
    found = [*played.troubles, *_runs_are_one_chain(played), *_every_record_has_its_end(played, lines)]
    found += [*_receipts_tell_the_truth(played, lines), *_nothing_old_follows_the_new(played, lines)]
    found += [*_profiles_say_what_the_newest_input_says(played), *_calm_times_repeat_nothing(played, lines)]
    return found


def lines_of(played: Played, key: str, manifest: RunManifest) -> Iterator[Line]:
    """The records of a published run."""
    ledger, connector = read_ledger(played.storage, manifest), connector_of("secret")
    options = BrazeOptions.model_validate(manifest.options)
    for file in manifest.files:
        texts = gzip.decompress(played.storage.objects[file.key]).splitlines()
        for text, fate in zip(texts, ledger.fates[file.key], strict=True):
            record = SyncRecord.model_validate_json(text)
            (request,) = connector.requests([record], options, manifest.retired, run_id=manifest.run_id)
            content = compact(json.loads(request.body)["attributes"][0])
            yield Line(key, manifest.version, record.user_id, content, Fate(fate))


def _runs_are_one_chain(played: Played) -> Iterator[str]:
    """I3: of two runs at once one wins."""
    versions = Counter(manifest.version for manifest in played.published.values())
    yield from (f"version {version} was published {count} times" for version, count in versions.items() if count > 1)


def _every_record_has_its_end(played: Played, lines: Sequence[Line]) -> Iterator[str]:
    """I2: of a run whose event came, every record is delivered, rejected or superseded."""
    if played.waiting:
        yield f"{played.waiting} message(s) are left in the queues"
    newest = max((manifest.version for manifest in played.published.values()), default=0)
    for line in lines:
        if line.fate is Fate.OPEN and line.manifest not in played.unannounced:
            yield f"nobody knows what became of {line.user} in version {line.version}"
        if line.fate is Fate.SUPERSEDED and line.version == newest:
            yield f"{line.user} in version {line.version} is superseded, and nothing is newer"


def _receipts_tell_the_truth(played: Played, lines: Sequence[Line]) -> Iterator[str]:
    """I2: what a receipt calls delivered was taken; what it calls rejected the destination refuses."""
    taken = set(played.braze.taken)
    for line in lines:
        if line.fate is Fate.DELIVERED and (line.user, line.content) not in taken:
            yield f"{line.user} in version {line.version} has a receipt and was never told"
        is_refused = any(f'"{item}"' in line.content or f':{item}"' in line.content for item in _REFUSED)
        if line.fate is Fate.REJECTED and not is_refused:
            yield f"{line.user} in version {line.version} is rejected, and nothing refused him"


_REFUSED = (REFUSED_ITEM, FATAL_ITEM)


def _nothing_old_follows_the_new(played: Played, lines: Sequence[Line]) -> Iterator[str]:
    """I8: for each user the versions that were applied never go back.

    One content may be that of several versions; it counts as the oldest that does not go back.
    """
    versions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for line in lines:
        versions[line.user, line.content].append(line.version)
    reached: dict[str, int] = {}
    for user, content in played.braze.taken:
        before = reached.get(user, 0)
        fitting = [version for version in versions[user, content] if version >= before]
        if not fitting:
            yield f"{user} was told what version(s) {versions[user, content]} say after version {before}"
        reached[user] = min(fitting, default=before)


def _profiles_say_what_the_newest_input_says(played: Played) -> Iterator[str]:
    """Once faults stop, two further runs make every profile right; but for those the destination refuses."""
    day, clears = played.last, played.last.options.on_user_removed == "clear"
    gone = played.braze.profiles.keys() - day.lists.keys() - day.failed
    for user in sorted(day.lists.keys() | (gone if clears else set())):
        held, wanted = _ours(played.braze.profiles.get(user, {}), day.options), day.profile(user)
        is_nobody = day.is_held_out(user) and not day.lists[user] and not held  # never told, and nothing to tell
        if held != wanted and not day.is_refused(user) and not is_nobody:
            yield f"{user} should hold {wanted} and holds {held}"


def _ours(profile: Mapping[str, Any], options: BrazeOptions) -> dict[str, Any]:
    """The attributes that today's settings write; all of ours where retired ones are cleared."""
    names = {*options.attribute_names(), options.holdout_attribute()}
    if options.on_attribute_retired == "clear":
        names |= {name for name in profile if name.startswith(PREFIX)}
    return {name: value for name, value in profile.items() if name in names and value}


def _calm_times_repeat_nothing(played: Played, lines: Sequence[Line]) -> Iterator[str]:
    """I4: where nothing goes wrong every record is sent once, unless a newer run came first."""
    owed = sum(line.fate is not Fate.SUPERSEDED for line in lines if line.fate is not Fate.REJECTED)
    if not played.world.rates and len(played.braze.taken) != owed:
        yield f"nothing went wrong, and {len(played.braze.taken)} of {owed} records were sent"
