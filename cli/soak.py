"""make soak: a large run delivered to a destination that fails all the time, and the books afterwards.

No Spark: a run is written as a job would leave it, then enqueued and delivered by the functions' own code. The
Braze emulator is a process of its own; waits pass faster than they say, calls take the time they take.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from cli import embedded
from cli.emulators.braze import BrazeEmulator
from cli.emulators.faults import Fault, FaultPlan
from connectors.base import Destination
from connectors.braze.config import BrazeOptions
from connectors.braze.connector import BrazeConnector
from connectors.contract import layout
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import RunManifest
from connectors.contract.receipts import Fate
from connectors.http import Sender
from glue_jobs.decorate import Catalogue, upsert_line
from glue_jobs.writers import PartWriter

RATES = {Fault.THROTTLED: 0.10, Fault.UNAVAILABLE: 0.05, Fault.RESET_AFTER: 0.03, Fault.LATE: 0.02}
READ_LIMIT_S, LATE_S = 0.5, 0.8
CONCURRENCY = 32
_WAITS_PASS = 100.0
_ITEMS = 10


class FastClock:
    """Time in which waits are short: a second of it is a hundredth of a real one."""

    def monotonic(self) -> float:
        """Seconds from some moment on."""
        return time.monotonic() * _WAITS_PASS

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds / _WAITS_PASS)


@dataclass(frozen=True)
class Books:
    """What became of every record, from both ends.

    Attributes:
        repeated: Objects that Braze took beyond one a record.
        wrong: Profiles that are missing or hold something else than was sent.
    """

    records: int
    delivered: int
    rejected: int
    superseded: int
    dead_lettered: int
    open: int
    repeated: int
    wrong: int
    calls: int
    seconds: float
    peak_mib: int

    @property
    def is_balanced(self) -> bool:
        """Whether nothing was lost: every record has one fate, and every profile is right."""
        settled = self.delivered + self.rejected + self.superseded + self.dead_lettered
        return settled == self.records and self.open == 0 and self.wrong == 0


def soak(records: int, seed: int, *, concurrency: int = CONCURRENCY) -> Books:
    """Deliver so many records while 20 of 100 calls fail."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="recsync-soak-") as top:
        storage = LocalStorage(Path(top) / "etl_jobs/user_personalization/soak")
        key, manifest = publish(storage, records)
        fates, calls, objects, wrong = _deliver(storage, key, manifest, seed, concurrency)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    delivered, rejected = fates[Fate.DELIVERED], fates[Fate.REJECTED]
    others = (fates[Fate.SUPERSEDED], fates[Fate.DEAD_LETTERED], fates[Fate.OPEN])
    seconds = time.monotonic() - began
    return Books(records, delivered, rejected, *others, objects - delivered, wrong, calls, seconds, peak_mib)


def publish(storage: LocalStorage, records: int) -> tuple[str, RunManifest]:
    """A run of so many small records, as a job leaves it."""
    run_id = layout.new_run_id(datetime.now(UTC))
    parts = PartWriter(storage, lambda number: layout.part("braze", run_id, f"{number:05d}"))
    catalogue = Catalogue(())
    for number in range(records):
        parts.write(upsert_line(user_id(number), catalogue.items(item_ids(number))))
    files = parts.close()
    manifest = RunManifest(
        job="user_personalization/soak",
        run_id=run_id,
        connector="braze",
        version=1,
        acknowledge="onDelivery",
        options=BrazeOptions(attribute_prefix="recs_", payload_shape="ids").model_dump(by_alias=True, mode="json"),
        records_per_request=BrazeConnector.limits.max_records,
        counts={"records": records},
        files=files,
        digest=parts.digest,
        created_at=datetime.now(UTC),
    )
    key = layout.manifest("braze", run_id)
    storage.put(key, manifest.to_json().encode(), if_absent=True)
    return key, manifest


def user_id(number: int) -> str:
    """The n-th user."""
    return f"u{number:08d}"


def item_ids(number: int) -> list[str]:
    """The n-th user's list."""
    return [str(1000 + (number * 7 + rank) % 5000) for rank in range(_ITEMS)]


def _deliver(
    storage: LocalStorage, key: str, manifest: RunManifest, seed: int, concurrency: int
) -> tuple[Counter[Fate], int, int, int]:
    """The fates, the calls made, and the objects and wrong profiles that Braze counts."""
    ours, theirs = multiprocessing.Pipe()
    api_key = secrets.token_hex(16)
    braze = multiprocessing.Process(
        target=_serve, args=(theirs, api_key, seed, manifest.counts["records"]), daemon=True
    )
    braze.start()
    connector = BrazeConnector(Destination(ours.recv(), api_key, allow_loopback=True))
    send, calls, waiting = Sender(read_timeout_s=READ_LIMIT_S), 0, 1
    while waiting:
        delivery = embedded.deliver_run(
            storage,
            key,
            manifest,
            connector,
            send,
            concurrency=concurrency,
            report=lambda text: None,
            clock=FastClock(),
        )
        calls, waiting = calls + delivery.requests, delivery.waiting
    ours.send("done")
    stats, wrong = ours.recv()
    braze.join()
    return Counter(delivery.fates), calls, stats["objects"], wrong


def _serve(pipe: Connection, api_key: str, seed: int, records: int) -> None:
    """The destination's process: serve until told to stop, then say what was taken."""
    plan = FaultPlan(RATES, seed=seed, late_s=LATE_S)
    with BrazeEmulator(api_key, faults=plan) as braze:
        pipe.send(braze.endpoint)
        pipe.recv()
        time.sleep(LATE_S)
    profiles = braze.account.profiles
    wrong = sum(profiles.get(user_id(n), {}).get("recs_itemId") != item_ids(n) for n in range(records))
    pipe.send((asdict(braze.account.stats), wrong + max(0, len(profiles) - records)))


def lines(books: Books, seed: int) -> Iterator[str]:
    """The books, for a person."""
    yield f"seed {seed}: {books.records:,} records, {books.calls:,} calls, {books.seconds:.1f} s, {books.peak_mib} MiB"
    yield f"delivered {books.delivered:,}, rejected {books.rejected:,}, superseded {books.superseded:,}"
    yield f"dead-lettered {books.dead_lettered:,}, open {books.open:,}, wrong profiles {books.wrong:,}"
    yield f"repeated {books.repeated:,} ({100 * books.repeated / max(1, books.records):.2f} %)"
    yield "nothing lost" if books.is_balanced else "THE BOOKS DO NOT BALANCE"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; exit code 1 when the books do not balance."""
    parser = argparse.ArgumentParser(prog="python -m cli.soak", description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=None, help="repeat a run; a fresh one is drawn otherwise")
    arguments = parser.parse_args(argv)
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    books = soak(arguments.records, seed)
    sys.stdout.write("\n".join(lines(books, seed)) + "\n")
    return 0 if books.is_balanced else 1


if __name__ == "__main__":
    sys.exit(main())
