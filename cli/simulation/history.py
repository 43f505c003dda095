"""One history: some days of runs, delivered by functions that crash, to a Braze that fails; then calm.

What is played is Spark, AWS and the network. Deciding, writing, committing, enqueueing and delivering are the
product's own code.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, starmap
from random import Random

from cli.simulation.destination import SimulatedBraze
from cli.simulation.queue import SimulatedQueue
from cli.simulation.shop import Day, draw_days
from cli.simulation.storage import SimulatedStorage
from cli.simulation.world import CrashError, RestlessError, World
from connectors.base import Connector, Destination, Limits
from connectors.braze.connector import BrazeConnector
from connectors.contract import layout
from connectors.contract.layout import JobFolder
from connectors.contract.manifest import RunManifest
from connectors.contract.storage import StorageError
from functions.calls import Pause
from functions.deliver import deliver
from functions.enqueue import enqueue_part, fan_out
from functions.newest import NEWEST_MAX_AGE_S, Newest
from functions.parts import EnqueueError
from glue_jobs import state
from glue_jobs.errors import ConflictError, StateError, UnpublishedError
from glue_jobs.meeting import Meeting, of_told
from glue_jobs.output import WritePlan, together, write_users
from glue_jobs.proposal import JobRun, Kept, Proposal, propose, tell_plan
from glue_jobs.snapshot import read_parted
from glue_jobs.writers import write_items

FOLDER = JobFolder.parse("/simulated/etl_jobs/user_personalization/shop")
# As the template sets them: how long a message waits for old calls to end, and for a function that died.
DELAY_S, VISIBILITY_S = 30.0, 1_860.0
_RECORDS_A_MESSAGE, _RECORDS_A_CALL = 4, 2
_TASKS = 2

# What may go wrong, in bad times: of 100 times so many.
WILD = {
    "crash": 0.004,
    "storage answers 503": 0.004,
    "queue refuses an entry": 0.05,
    "queue doubles a message": 0.05,
    "queue hands a message out twice": 0.05,
    "event never comes": 0.15,
    "event comes late": 0.2,
    "event comes twice": 0.2,
    "throttled": 0.08,
    "unavailable": 0.08,
    "key refused": 0.02,
    "not reached": 0.04,
    "answer lost": 0.06,
    "answer garbled": 0.03,
}


@dataclass
class Played:
    """A history as it ended.

    Attributes:
        published: Every published run, by its manifest's key.
        days: Manifest's key → the input it was made from.
        unannounced: Manifests whose event never came.
        last: The input of the last two runs, made when nothing went wrong any more.
        troubles: What should never be raised, and what never came to rest.
        conflicts: Runs that lost to another one.
        waiting: Messages that are left in the queues.
    """

    seed: int
    storage: SimulatedStorage
    braze: SimulatedBraze
    world: World
    last: Day
    published: dict[str, RunManifest] = field(default_factory=dict)
    unannounced: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    runs: int = 0
    conflicts: int = 0
    waiting: int = 0


def play(seed: int) -> Played:
    """A history from its seed."""
    random.seed(seed)  # the product's own jitter
    history = _History(seed)
    try:
        history.play()
    except RestlessError as error:
        history.played.troubles.append(str(error))
    return history.played


def connector_of(secret: str) -> Connector:
    """Braze as a connector of small calls, so that messages are settled in parts."""
    connector = BrazeConnector(Destination("http://127.0.0.1:1", secret, allow_loopback=True))
    connector.limits = Limits(_RECORDS_A_CALL, BrazeConnector.limits.max_bytes)  # type: ignore[misc]  # of this one
    return connector


class _History:
    def __init__(self, seed: int) -> None:
        draw = Random(f"days of {seed}")  # noqa: S311 - repeatable on purpose
        self._world = World(seed, _rates(draw))
        number = draw.randint(1, 8)
        self._days = draw_days(draw, number, Random(f"the holdouts of {seed}"))  # noqa: S311
        self._gaps_s = [draw.choice([5.0, 60.0, 600.0, 86_400.0]) for _ in self._days]
        self._storage = SimulatedStorage(self._world, FOLDER.root, self._put)
        braze = SimulatedBraze(self._world, "secret")
        self.played = Played(seed, self._storage, braze, self._world, self._days[-1])
        self._work_queue = SimulatedQueue(self._world, delay_s=0, visibility_s=VISIBILITY_S, wake=self._enqueue)
        self._queue = SimulatedQueue(self._world, delay_s=DELAY_S, visibility_s=VISIBILITY_S, wake=self._deliver)
        self._pauses = [Pause(self._world.monotonic) for _ in range(3)]
        self._connector = connector_of("secret")

    def play(self) -> None:
        for day, gap_s in zip(self._days, self._gaps_s, strict=True):
            self._run(day)
            if self._world.random.random() < 0.1:
                self._run(day)
            self._world.pass_time(gap_s)
        self._world.is_kind = True
        for _ in range(2):
            self._run(self.played.last)
            self._world.come_to_rest()
        self.played.waiting = len(self._work_queue) + len(self._queue)

    @contextmanager
    def _survived(self) -> Iterator[None]:
        """A process may die here; what should never be raised is kept."""
        try:
            yield
        except (CrashError, StorageError, EnqueueError, UnpublishedError):
            return
        except ConflictError:
            self.played.conflicts += 1
        except StateError as error:
            self.played.troubles.append(str(error))

    # The Glue job

    def _run(self, day: Day) -> None:
        """A run decides now, and commits a little later: another one may come between."""
        self.played.runs += 1
        with self._survived():
            proposal = self._proposal(day)
            self._world.later(self._world.random.choice([0.0, 1.0, 100.0]), lambda: self._commit(proposal))
            self._world.pass_time(0.5)

    def _commit(self, proposal: Proposal) -> None:
        with self._survived():
            proposal.commit(self._storage)

    def _proposal(self, day: Day) -> Proposal:
        now, run_id = self._world.now(), layout.new_run_id(self._world.now())
        run = JobRun(FOLDER, self._storage, day.config, now, run_id, day.is_full)
        committed = state.recover(self._storage, "braze")[0] if day.is_full else self._pointer()
        tell = tell_plan(run, "braze", committed)
        known = None if day.is_full else state.read_known_items(self._storage, committed)
        plan, catalogue = WritePlan(self._storage, "braze", run_id, False, tell, b"key"), day.catalogue(known)
        rows = sorted(chain(day.rows(), self._told(committed)), key=lambda row: str(row.user_id))
        tasks = [[row for row in rows if _task_of(row) == task] for task in range(_TASKS)]
        reports = [write_users(task, plan, catalogue, name=f"{n:05d}-0") for n, task in enumerate(tasks)]
        files, counts = together(reports).settled()
        key = layout.items("braze", tell.version, run_id)
        items = write_items(self._storage, key, catalogue.pieces)
        told = propose(run, "braze", committed, tell, files=files, counts=counts, kept=Kept(items))
        manifest = told.manifest.model_copy(update={"records_per_request": _RECORDS_A_MESSAGE})
        return Proposal(committed, told.pointer, manifest)

    def _pointer(self) -> state.Committed:
        return state.read_pointer(self._storage, "braze")

    def _told(self, committed: state.Committed) -> Iterator[Meeting]:
        """The rows of the snapshot."""
        return starmap(of_told, read_parted(self._storage, committed.pointer.snapshot if committed.pointer else ()))

    # Events and functions

    def _put(self, key: str) -> None:
        """S3 tells of a manifest: once, twice, late or never."""
        if layout.connector_of_manifest(key) is None:
            return
        self.played.published[key] = RunManifest.model_validate_json(self._storage.objects[key])
        if self._world.goes_wrong("event never comes"):
            self.played.unannounced.add(key)
            return
        for _ in range(2 if self._world.goes_wrong("event comes twice") else 1):
            after_s = self._world.random.uniform(60, 5_000) if self._world.goes_wrong("event comes late") else 1.0
            self._world.later(after_s, self._announce(key))

    def _announce(self, key: str) -> Callable[[], None]:
        return lambda: self._work_queue.add(json.dumps({"event": key}))

    def _enqueue(self) -> None:
        """The enqueue function: one message at a time."""
        for received in self._work_queue.receive(1):
            with self._survived():
                message = json.loads(received.body)
                if "event" in message:
                    fan_out(self._storage, message["event"], self._work_queue, sleep=self._world.pass_time)
                else:
                    _, key = layout.split_manifest_uri(message["manifest"])
                    sleep, now = self._world.pass_time, self._world.now
                    enqueue_part(self._storage, key, message["part"], self._queue, sleep=sleep, now=now)
                self._work_queue.delete(received.message_id)

    def _deliver(self) -> None:
        """The deliver function: a batch of messages, by one of several workers."""
        if not (batch := self._queue.receive(self._world.random.randint(1, 5))):
            return
        newest = Newest(NEWEST_MAX_AGE_S, self._world.monotonic)
        with self._survived():
            settlement = deliver(
                batch,
                lambda fresh: self._connector,
                self.played.braze,
                lambda root: self._storage,
                self._queue,
                newest=newest,
                pause=self._world.random.choice(self._pauses),
                now=self._world.now,
                sleep=self._world.pass_time,
            )
            self.played.troubles += [f"poison: {reason}" for reason in settlement.poison.values()]
            self._world.may_crash()
            for received in batch:
                if (wait_s := settlement.waits_s.get(received.message_id)) is not None:
                    self._queue.hide(received.message_id, wait_s)
                else:
                    self._queue.delete(received.message_id)


def _task_of(row: Meeting) -> int:
    """Which task a user's rows go to: the same in every process."""
    return sum((row.user_id or "").encode()) % _TASKS


def _rates(draw: Random) -> dict[str, float]:
    """How bad the times are: calm, or everything wrong now and then, or a few things often."""
    mood = draw.random()
    if mood < 0.1:
        return {}
    if mood < 0.6:
        return WILD
    return {what: min(0.6, 4 * rate) for what, rate in WILD.items() if draw.random() < 0.3}
