"""What a run's input says of one user, looked up without Spark: only the files that the run's record lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from connectors.contract import batches, layout
from connectors.contract.run_record import RunRecord
from connectors.contract.storage import Storage, open_storage
from glue_jobs import item_lines, pairs
from glue_jobs.batch_lines import BatchLine, parse_batch_line
from glue_jobs.decorate import Piece
from glue_jobs.inputs import changed_since
from glue_jobs.item_lines import ItemLine, Wanted, parse_item
from glue_jobs.lines import LineError, counting_files, place_of, unpacked
from glue_jobs.meeting import Meeting
from glue_jobs.pairs import Pair, pairs_of


@dataclass(frozen=True)
class File:
    """A file of the input."""

    storage: Storage
    key: str

    @property
    def name(self) -> str:
        """What a run orders files by."""
        return self.key.rpartition("/")[2]

    @property
    def address(self) -> str:
        """Where it lies."""
        return f"{self.storage.root}/{self.key}"


@dataclass(frozen=True)
class RunFiles:
    """The files that a run read and that are still what they were.

    Attributes:
        changed: The addresses of those that are not.
    """

    batch: Sequence[File] = ()
    mapping: Sequence[File] = ()
    metadata: Sequence[File] = ()
    excluded: Sequence[File] = ()
    changed: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """A line of the batch that concerns a user.

    Attributes:
        line: Its number in the file, from 1.
        counts: Whether it is the one that answers; another one came first otherwise.
    """

    file: File
    line: int
    read: BatchLine
    counts: bool = True


@dataclass(frozen=True)
class PairRow:
    """A row that maps a user to an item, or says that he does not get one.

    Attributes:
        place: The file's place among those read with it.
    """

    place: int
    file: File
    pair: Pair


@dataclass(frozen=True)
class UserInput:
    """What the input says of a user.

    Attributes:
        mapped: The items he is mapped to, in the order that his lists come in.
        meetings: The same as a run puts it together.
    """

    answers: Sequence[Answer] = ()
    mapped: Sequence[PairRow] = ()
    excluded: Sequence[PairRow] = ()
    meetings: Sequence[Meeting] = field(default=(), repr=False)


def files_of(record: RunRecord, storage: Storage) -> RunFiles:
    """The files of a run's record, by what they hold.

    Args:
        storage: The job folder.
    """
    changed = list(changed_since(record.inputs))
    same = {f"{one.root}/{one.key}" for one in record.inputs}.difference(changed)
    folders = (layout.MAPPING, layout.METADATA)
    others = [
        File(open_storage(one.root), one.key)
        for one in record.inputs
        if not (one.root == storage.root and one.key.startswith(folders))
    ]
    return RunFiles(
        _in_order((file for file in others if file.key.endswith(batches.ENDINGS)), same),
        _in_order(_listed(storage, layout.MAPPING, pairs.ENDINGS), same),
        _in_order(_listed(storage, layout.METADATA, item_lines.ENDINGS), same),
        _in_order((file for file in others if file.key.endswith(pairs.ENDINGS)), same),
        changed,
    )


def _listed(storage: Storage, folder: str, endings: tuple[str, ...]) -> Iterator[File]:
    return (File(storage, entry.key) for entry in counting_files(storage, folder, endings))


def _in_order(files: Iterable[File], same: Collection[str]) -> list[File]:
    """Those that are still the same, in the order that a run takes them."""
    return sorted((file for file in files if file.address in same), key=lambda file: place_of(file.key))


def look_up(user_id: str, files: RunFiles, *, is_mapped: bool) -> UserInput:
    """What the input says of a user.

    Args:
        is_mapped: Whether his lists are those of the items he is mapped to; else they are made for himself.

    Raises:
        InputError: A file is cut or damaged.
    """
    excluded = _rows_of(user_id, files.excluded, ranked=False)
    never = [_meeting(user_id, "excluded", row, row.pair.item_id) for row in excluded]
    if not is_mapped:
        answers = _first_counts(_answers({user_id}, files.batch, "userId"))
        own = [_of_line(user_id, answer) for answer in answers]
        return UserInput(answers, (), excluded, _sorted([*own, *never]))
    mapped = sorted(_rows_of(user_id, files.mapping, ranked=True), key=_rank)
    answers = _first_counts(_answers({row.pair.item_id for row in mapped}, files.batch, "itemId"))
    by_item = {answer.read.key: answer for answer in answers if answer.counts}
    his = [_of_mapping(user_id, row, by_item.get(row.pair.item_id)) for row in mapped]
    return UserInput(answers, mapped, excluded, _sorted([*his, *never]))


def user_ids(files: RunFiles, *, is_mapped: bool) -> Iterator[str]:
    """Everyone the input names; many of them more than once."""
    for file in files.mapping if is_mapped else ():
        yield from (pair.user_id for pair in pairs_of(file.storage, file.key, ranked=True))
    for _, _, line in _lines(() if is_mapped else files.batch):
        read = parse_batch_line(line, "userId")
        yield from [read.key] if read and read.key else []


def pieces_of(item_ids: Collection[str], files: RunFiles, wanted: Wanted) -> dict[str, Piece]:
    """The metadata of some items, as a run takes it: an item's first line counts."""
    found: dict[str, Piece] = {}
    for _, _, line in _lines(files.metadata if wanted.asking else ()):
        item = _item(line, wanted) if _mentions(line, item_ids) else None
        if item is not None and item.item_id in item_ids:
            found.setdefault(item.item_id, item.piece)
    return found


def _item(line: bytes, wanted: Wanted) -> ItemLine | None:
    """The item of a line; None where it is none."""
    try:
        return parse_item(line, wanted)
    except LineError:
        return None


def _answers(keys: Collection[str], files: Sequence[File], key_name: str) -> list[Answer]:
    """The lines that answer for one of the keys."""
    found = []
    for file, number, line in _lines(files if keys else ()):
        read = parse_batch_line(line, key_name) if _mentions(line, keys) else None
        if read is not None and read.key in keys:
            found.append(Answer(file, number, read))
    return found


def _first_counts(answers: Sequence[Answer]) -> list[Answer]:
    """Of several lines for one key the first good one counts, or the first one where none is good."""
    first: dict[str | None, Answer] = {}
    for answer in sorted(answers, key=lambda one: one.read.kind != "good"):
        first.setdefault(answer.read.key, answer)
    return [Answer(one.file, one.line, one.read, counts=first[one.read.key] is one) for one in answers]


def _rows_of(user_id: str, files: Sequence[File], *, ranked: bool) -> list[PairRow]:
    rows = (
        PairRow(place, file, pair)
        for place, file in enumerate(files)
        for pair in pairs_of(file.storage, file.key, ranked=ranked)
    )
    return [row for row in rows if row.pair.user_id == user_id]


def _lines(files: Iterable[File]) -> Iterator[tuple[File, int, bytes]]:
    """Every line of some files, with its number from 1."""
    for file in files:
        with unpacked(file.storage, file.key) as stream:
            for number, line in enumerate(stream, 1):
                yield file, number, line


def _mentions(line: bytes, ids: Iterable[str]) -> bool:
    """Whether a line of JSON may name one of the ids: they stand in it as they are, or are written with escapes."""
    return b"\\" in line or any(one.encode("utf-8", "surrogatepass") in line for one in ids)


def _rank(row: PairRow) -> tuple[bool, int]:
    """Ranked rows come first; those of one rank stay as they stand in their files."""
    return row.pair.rank is None, row.pair.rank or 0


def _of_line(user_id: str, answer: Answer) -> Meeting:
    read, kind = answer.read, "list" if answer.read.kind == "good" else answer.read.kind
    place = (answer.file.name, 0, answer.line)
    return Meeting(user_id, kind, True, None, *place, None, read.item_ids, read.scores)


def _of_mapping(user_id: str, row: PairRow, answer: Answer | None) -> Meeting:
    kind = "unmatched" if answer is None else "list" if answer.read.kind == "good" else answer.read.kind
    met = _meeting(user_id, kind, row, row.pair.item_id)
    return met._replace(item_ids=answer.read.item_ids, scores=answer.read.scores) if answer else met


def _meeting(user_id: str, kind: str, row: PairRow, item_id: str) -> Meeting:
    return Meeting(user_id, kind, False, row.pair.rank, row.file.name, row.place, row.pair.line, item_id)


def _sorted(meetings: Iterable[Meeting]) -> list[Meeting]:
    """As `attribute.meet` orders them."""
    return sorted(
        meetings, key=lambda one: (one.rank is None, one.rank or 0, one.file or "", one.block or 0, one.row or 0)
    )
