"""One suite for both halves of the storage: a local folder, and S3."""

from __future__ import annotations

import errno
import gzip
import io
import os
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody
from moto import mock_aws
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from connectors.contract import s3_storage
from connectors.contract.layout import LayoutError
from connectors.contract.local_storage import LocalStorage
from connectors.contract.s3_storage import S3Storage
from connectors.contract.storage import Blob, ConflictError, NotFoundError, Storage, StorageError, at_once, open_storage

BAD_KEYS = ["", "/", "/a", "..", "../a", "a/../../b", "a//b", "a/", "./a", "%2e%2e/a", "%252e%252e/a", "a\\b", "a\x00b"]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """An emulated bucket, and the one client that all tests of this file share: building one is slow."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            environment.delenv(name, raising=False)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            environment.setenv(name, "canary")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3_storage._s3.cache_clear()
        s3_storage._s3().create_bucket(Bucket="bucket")
        yield boto3.resource("s3").Bucket("bucket")
        s3_storage._s3.cache_clear()


@pytest.fixture
def s3(bucket) -> Iterator[S3Storage]:
    yield S3Storage("bucket", "job")
    bucket.objects.all().delete()


@pytest.fixture
def hook(s3) -> Iterator[Callable[[str, Any], None]]:
    """Lets a test take part in the client's calls, until it is over."""
    events, hooked = s3_storage._s3().meta.events, []

    def add(event: str, handler: Any) -> None:
        events.register_first(event, handler)
        hooked.append((event, handler))

    yield add
    for event, handler in hooked:
        events.unregister(event, handler)


@pytest.fixture
def local(tmp_path) -> LocalStorage:
    return LocalStorage(tmp_path / "job")


@pytest.fixture(params=["local", "s3"])
def storage(request) -> Storage:
    return request.getfixturevalue(request.param)


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [entry.key for entry in storage.list(prefix)]


# Both halves


def test_what_was_put_is_what_one_gets(storage):
    tag = storage.put("a/b.txt", b"\x00hello")
    assert storage.get("a/b.txt") == Blob(b"\x00hello", tag)
    with storage.open("a/b.txt") as stream:
        assert stream.read() == b"\x00hello"


def sizes(storage):
    return {entry.key: entry.size_bytes for entry in storage.list()}


def test_a_listing_marks_an_object_anew_when_it_changes(storage):
    storage.put("a", b"1")
    (before,) = storage.list()
    storage.put("b", b"1")
    assert next(storage.list()) == before
    storage.put("a", b"22")
    after = next(storage.list())
    assert after.mark != before.mark
    assert abs((after.modified_at - datetime.now(UTC)).total_seconds()) < 3600


def test_an_empty_object_is_an_object(storage):
    storage.put("empty", b"")
    assert storage.get("empty").data == b""
    with storage.open("empty") as stream:
        assert stream.read() == b""
    assert sizes(storage) == {"empty": 0}


def test_a_put_replaces_what_was_there(storage):
    first = storage.put("a", b"1")
    second = storage.put("a", b"2")
    assert first != second
    assert storage.get("a") == Blob(b"2", second)


def test_one_content_has_one_tag(storage):
    assert storage.put("a", b"1") == storage.put("a", b"1") == storage.get("a").tag


@pytest.mark.parametrize("key", ["nothing", "no/thing", "folder", "folder/a/below"])
def test_what_is_not_there_is_named(storage, key):
    storage.put("folder/a", b"1")
    for read in (storage.get, storage.open):
        with pytest.raises(NotFoundError, match=f"{storage.root}/{key} is not there"):
            read(key)


def test_a_listing_names_keys_and_sizes_by_key(storage):
    put = ["b", "a/b", "a-b/c", "a/a", "a.b", "B", "é", "a/b0", "a b/c=d+e~"]
    for size, key in enumerate(put):
        storage.put(key, b"x" * size)
    assert list(sizes(storage).items()) == [(key, put.index(key)) for key in sorted(put)]


def test_a_listing_says_when_an_object_was_written(storage):
    storage.put("a", b"")
    [entry] = storage.list()
    assert abs(datetime.now(UTC) - entry.modified_at) < timedelta(minutes=1)


def test_folders_are_named_and_not_listed(storage):
    for key in ("c", "a/x/1", "a/y/2", "a/3", "a/.z/4", "b/x/5", "ab/6"):
        storage.put(key, b"")
    assert list(storage.folders()) == ["a", "ab", "b"]
    assert list(storage.folders("a/")) == ["x", "y"]
    assert list(storage.folders("a/x/")) == list(storage.folders("nothing/")) == []
    with pytest.raises(LayoutError, match="should end in '/'"):
        list(storage.folders("a"))


def test_a_folder_that_was_emptied_is_none(storage):
    storage.put("a/x/1", b"")
    storage.delete("a/x/1")
    assert list(storage.folders("a/")) == []


def test_a_listing_of_a_folder_leaves_its_neighbours_out(storage):
    for key in ("folder", "folder2/a", "folder_test/b", "a/folder/d"):
        if not (key == "folder" and isinstance(storage, LocalStorage)):
            storage.put(key, b"")
    storage.put("folder/c", b"")
    storage.put("folder/d/e", b"")
    assert keys(storage, "folder/") == ["folder/c", "folder/d/e"]
    assert keys(storage, "folder/d/") == ["folder/d/e"]
    assert keys(storage, "nothing/") == []


@pytest.mark.parametrize("prefix", ["folder", "f", "folder/part-"])
def test_a_prefix_ends_in_a_slash(storage, prefix):
    with pytest.raises(LayoutError, match="should end in '/'"):
        list(storage.list(prefix))


def test_names_that_start_with_a_dot_are_not_listed(storage):
    for key in (".a", "b/.c", ".d/e", "f.g", "b/h"):
        storage.put(key, b"")
    assert keys(storage) == ["b/h", "f.g"]
    assert keys(storage, "b/") == ["b/h"]


def test_a_listing_of_an_empty_folder_is_empty(storage):
    assert list(storage.list()) == []


def test_if_absent_writes_once(storage):
    tag = storage.put("a", b"first", if_absent=True)
    with pytest.raises(ConflictError, match=f"{storage.root}/a"):
        storage.put("a", b"second", if_absent=True)
    assert storage.get("a") == Blob(b"first", tag)


def test_what_is_gone_may_be_written_once_more(storage):
    storage.put("a", b"first", if_absent=True)
    storage.delete("a")
    storage.put("a", b"second", if_absent=True)
    assert storage.get("a").data == b"second"


def test_if_match_replaces_only_what_was_read(storage):
    first = storage.put("a", b"1")
    second = storage.put("a", b"2", if_match=first)
    with pytest.raises(ConflictError, match=f"{storage.root}/a"):
        storage.put("a", b"3", if_match=first)
    assert storage.get("a") == Blob(b"2", second)


@pytest.mark.parametrize("key", ["a", "folder/a"])
def test_what_is_gone_matches_nothing(storage, key):
    tag = storage.put("other", b"1")
    with pytest.raises(ConflictError):
        storage.put(key, b"2", if_match=tag)
    assert keys(storage) == ["other"]


def test_an_empty_tag_matches_nothing(storage):
    storage.put("a", b"1")
    with pytest.raises(StorageError):
        storage.put("a", b"2", if_match="")
    assert storage.get("a").data == b"1"


def test_a_delete_removes_the_object_and_may_be_repeated(storage):
    storage.put("a/b", b"1")
    storage.delete("a/b")
    storage.delete("a/b")
    storage.delete("never/there")
    assert keys(storage) == []


@pytest.mark.parametrize("key", BAD_KEYS)
def test_f33_a_key_that_leaves_the_folder_is_refused_by_every_method(storage, key):
    calls: list[Callable[[], Any]] = [
        lambda: storage.uri(key),
        lambda: storage.get(key),
        lambda: storage.open(key),
        lambda: storage.put(key, b""),
        lambda: storage.put(key, b"", if_absent=True),
        lambda: storage.put(key, b"", if_match="tag"),
        lambda: storage.delete(key),
        lambda: list(storage.list(f"{key}/")),
    ]
    for call in calls:
        with pytest.raises(LayoutError):
            call()


def test_a_storage_can_be_pickled(storage):
    storage.put("a", b"1")
    copy = pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own bytes
    assert copy == storage
    assert copy.get("a").data == b"1"


def test_a_stream_can_be_read_by_gzip_line_by_line(storage):
    lines = [f'{{"userId":"{number}"}}\n'.encode() * 40 for number in range(2_000)]
    storage.put("part.jsonl.gz", gzip.compress(b"".join(lines), 0))
    assert storage.get("part.jsonl.gz").data[:2] == b"\x1f\x8b"
    with storage.open("part.jsonl.gz") as stream, gzip.open(stream) as unzipped:
        assert sum(1 for _ in unzipped) == 80_000


def test_a_gzip_cut_short_is_no_whole_file(storage):
    storage.put("part.jsonl.gz", gzip.compress(b"line\n" * 1_000)[:-10])
    with storage.open("part.jsonl.gz") as stream, gzip.open(stream) as unzipped, pytest.raises(EOFError):
        unzipped.read()


# A local folder


def test_a_path_opens_a_local_folder_and_an_s3_address_a_bucket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_storage(f"{tmp_path}/job/") == LocalStorage(tmp_path / "job")
    assert open_storage("job") == LocalStorage(tmp_path / "job")
    assert open_storage("s3://bucket/etl_jobs/x/") == S3Storage("bucket", "etl_jobs/x")
    assert open_storage("s3://bucket") == S3Storage("bucket", "")


def test_addresses_are_those_that_spark_reads(tmp_path):
    local = LocalStorage(tmp_path)
    assert (local.root, local.uri("a/b")) == (str(tmp_path), f"file://{tmp_path}/a/b")
    below, top = S3Storage("bucket", "a/b"), S3Storage("bucket", "")
    assert (below.root, below.uri("c")) == ("s3://bucket/a/b", "s3://bucket/a/b/c")
    assert (top.root, top.uri("c")) == ("s3://bucket", "s3://bucket/c")


def test_f23_of_many_first_writers_one_wins(local):
    for number in range(20):
        key = f"run-{number}/_manifest.json"
        winners = race(lambda who, key=key: local.put(key, who, if_absent=True))
        assert len(winners) == 1
        assert local.get(key).data == winners[0]


def test_f23_of_many_swaps_of_one_content_one_wins(local):
    read = Blob(b"start", local.put("_current.json", b"start"))
    for _ in range(20):
        winners = race(lambda who, read=read: local.put("_current.json", read.data + who, if_match=read.tag))
        assert len(winners) == 1
        swapped = local.get("_current.json")
        assert swapped.data == read.data + winners[0]
        read = swapped


def race(act: Callable[[bytes], Any], runners: int = 6) -> list[bytes]:
    """Let all act at once, each under a name; who met no conflict has won."""
    barrier = Barrier(runners)

    def run(number: int) -> bytes | None:
        name = str(number).encode()
        barrier.wait(5)
        try:
            act(name)
        except ConflictError:
            return None
        return name

    with ThreadPoolExecutor(runners) as pool:
        return [name for name in pool.map(run, range(runners)) if name is not None]


def test_a_reader_never_sees_half_a_write(local):
    contents = {bytes([letter]) * 200_000 for letter in b"ab"}
    local.put("a", next(iter(contents)))
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(lambda: [local.put("a", content) for content in [*contents] * 15])
        while not writing.done():
            assert local.get("a").data in contents


def test_no_temporary_file_stays_behind(local):
    tag = local.put("a", b"1", if_absent=True)
    with pytest.raises(ConflictError):
        local.put("a", b"2", if_absent=True)
    with pytest.raises(ConflictError):
        local.put("a", b"2", if_match="other")
    local.put("a", b"2", if_match=tag)
    assert {path.name for path in local.folder.iterdir()} == {"a", ".a.lock"}


def test_f33_a_link_that_leads_out_of_the_folder_is_refused(local, tmp_path):
    outside = tmp_path / "job_test"
    outside.mkdir()
    (outside / "secret").write_text("s")
    local.put("inside", b"i")
    (local.folder / "door").symlink_to(outside)
    (local.folder / "window").symlink_to(outside / "secret")
    calls: list[Callable[[], Any]] = [
        lambda: local.get("door/secret"),
        lambda: local.get("window"),
        lambda: local.open("window"),
        lambda: local.uri("door/secret"),
        lambda: local.put("door/new", b""),
        lambda: local.put("window", b"", if_absent=True),
        lambda: local.delete("door/secret"),
        lambda: list(local.list("door/")),
    ]
    for call in calls:
        with pytest.raises(LayoutError, match="leads out"):
            call()
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert "door/secret" not in keys(local)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_may_be_read_by_those_whom_the_umask_lets(local, umask, mode):
    before = os.umask(umask)
    try:
        local.put("folder/first", b"1", if_absent=True)
        local.put("folder/swapped", b"2", if_match=local.put("folder/swapped", b"1"))
        (local.folder / "folder/swapped").chmod(0o400)
        local.put("folder/swapped", b"3")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (local.folder / "folder").iterdir()}
    assert modes["first"] == modes["swapped"] == mode
    assert (local.folder / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_write_to_a_link_replaces_the_link_and_not_what_it_leads_to(local):
    local.put("real", b"1")
    (local.folder / "link").symlink_to("real")
    assert local.get("link").data == b"1"
    with pytest.raises(ConflictError):
        local.put("link", b"2", if_absent=True)
    local.put("link", b"2")
    assert (local.get("real").data, local.get("link").data) == (b"1", b"2")


def test_f31_what_the_disk_refuses_is_named_with_its_reason(local, monkeypatch):
    local.put("a", b"1")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for condition in ({}, {"if_absent": True}, {"if_match": local.get("a").tag}):
        with pytest.raises(StorageError, match="cannot be written: No space left on device"):
            local.put("a", b"2", **condition)
    assert local.get("a").data == b"1"
    assert not [path for path in local.folder.iterdir() if path.name not in ("a", ".a.lock")]


def test_a_file_or_folder_that_may_not_be_read_is_named_and_never_passed_over(local, monkeypatch):
    """Permissions bind no superuser, so the system's answer is made."""
    local.put("folder/a", b"1")
    local.put("b", b"2")
    listed, opened = os.scandir, Path.open

    def denied(path: Any, *_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: denied(path) if str(path).endswith("folder") else listed(path))
        for prefix in ("", "folder/"):
            with pytest.raises(StorageError, match="cannot be listed: Permission denied"):
                list(local.list(prefix))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", denied)
        with pytest.raises(StorageError, match="folder cannot be listed: Permission denied"):
            list(local.folders("folder/"))
    monkeypatch.setattr(Path, "open", lambda path, *more: denied(path) if path.name == "b" else opened(path, *more))
    with pytest.raises(StorageError, match="b cannot be read: Permission denied") as caught:
        local.get("b")
    assert type(caught.value) is StorageError
    assert local.get("folder/a").data == b"1"


def test_a_job_folder_may_itself_be_a_link(tmp_path):
    LocalStorage(tmp_path / "real").put("a", b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert keys(LocalStorage(tmp_path / "link")) == ["a"]
    assert LocalStorage(tmp_path / "link").get("a").data == b"1"


# S3


class Answers:
    """S3's next answers to an operation; after them the emulator answers."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self.calls = 0
        self._answers = list(answers)

    def __call__(self, **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        self.calls += 1
        if not self._answers:
            return None
        status, parsed = self._answers.pop(0)
        parsed = {"ResponseMetadata": {"HTTPStatusCode": status}, **parsed}
        return AWSResponse("https://bucket.s3.amazonaws.com/", status, {}, io.BytesIO()), parsed


def refusal(status: int, code: str) -> tuple[int, dict[str, Any]]:
    return status, {"Error": {"Code": code, "Message": "prose"}}


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """How long this thread would have slept; others, such as those of a Spark that ran before, are let be."""
    waited: list[float] = []
    sleep, ours = time.sleep, threading.get_ident()
    monkeypatch.setattr(
        s3_storage.time, "sleep", lambda s: waited.append(s) if threading.get_ident() == ours else sleep(s)
    )
    return waited


def test_f23_a_409_is_tried_again(s3, hook, waits):
    answers = Answers(*[refusal(409, "ConditionalRequestConflict")] * 4)
    hook("before-call.s3.PutObject", answers)
    tag = s3.put("a", b"1", if_absent=True)
    assert s3.get("a") == Blob(b"1", tag)
    assert (answers.calls, len(waits)) == (5, 4)
    assert all(0 <= waited <= 0.1 * 2**turn for turn, waited in enumerate(waits))


def test_f23_a_409_that_stays_is_a_conflict(s3, hook, waits):
    answers = Answers(*[refusal(409, "ConditionalRequestConflict")] * 99)
    hook("before-call.s3.PutObject", answers)
    with pytest.raises(ConflictError, match="s3://bucket/job/a"):
        s3.put("a", b"1", if_absent=True)
    assert (answers.calls, len(waits)) == (5, 4)


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("get_object", lambda s3: s3.get("a")),
        ("get_object", lambda s3: s3.open("a")),
        ("put_object", lambda s3: s3.put("a", b"")),
        ("delete_object", lambda s3: s3.delete("a")),
    ],
)
def test_f30_another_error_is_named_with_operation_and_address(s3, hook, operation, call):
    hook(f"before-call.s3.{operation.title().replace('_', '')}", Answers(refusal(403, "AccessDenied")))
    with pytest.raises(StorageError, match=f"AccessDenied to {operation} of s3://bucket/job/a") as caught:
        call(s3)
    assert type(caught.value) is StorageError


def unavailable(request: Any, **_: Any) -> AWSResponse:
    """S3 in trouble, on the wire."""
    return answered(request, 503, "SlowDown")


def answered(request: Any, status: int, code: str) -> AWSResponse:
    body = f"<Error><Code>{code}</Code><Message>prose</Message></Error>".encode()
    return AWSResponse(request.url, status, {"content-type": "application/xml"}, Raw(body))


class Raw(io.BytesIO):
    """A body as urllib3 hands it over."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.getvalue()


class OnTheWire:
    """Answers the first calls of an operation in S3's place; after them the emulator answers."""

    def __init__(self, times: int, answer: Callable[..., Any] = unavailable) -> None:
        self.calls = 0
        self._times, self._answer = times, answer

    def __call__(self, request: Any, **more: Any) -> AWSResponse | None:
        self.calls += 1
        return self._answer(request, **more) if self.calls <= self._times else None


OPERATIONS = {
    "GetObject": lambda s3: s3.get("a"),
    "PutObject": lambda s3: s3.put("b", b"2"),
    "DeleteObject": lambda s3: s3.delete("a"),
    "ListObjectsV2": lambda s3: list(s3.list()),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_f30_a_503_is_tried_again_after_growing_waits_with_jitter(s3, hook, waits, operation):
    s3.put("a", b"1")
    wire = OnTheWire(3)
    hook(f"before-send.s3.{operation}", wire)
    OPERATIONS[operation](s3)
    assert (wire.calls, len(waits)) == (4, 3)
    assert all(0 <= waited <= 2**turn for turn, waited in enumerate(waits))


def test_f30_the_waits_are_drawn_anew_each_time(s3, hook, waits):
    s3.put("a", b"1")
    for _ in range(5):
        hook("before-send.s3.GetObject", OnTheWire(1))
        s3.get("a")
    assert len(set(waits)) == 5


def test_f30_a_503_that_stays_is_named(s3, hook, waits):
    wire = OnTheWire(99)
    hook("before-send.s3.GetObject", wire)
    with pytest.raises(StorageError, match="SlowDown to get_object of s3://bucket/job/a"):
        s3.get("a")
    assert wire.calls == s3_storage.TRIES


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "AccessDenied", "AccessDenied to get_object of s3://bucket/job/a; allow s3:GetObject there"),
        (400, "ExpiredToken", "ExpiredToken to get_object of s3://bucket/job/a; the credentials have expired"),
        (404, "NoSuchKey", "s3://bucket/job/a is not there"),
    ],
)
def test_f30_what_no_repeat_mends_fails_at_once_and_names_what_is_missing(s3, hook, waits, status, code, told):
    wire = OnTheWire(99, lambda request, **_: answered(request, status, code))
    hook("before-send.s3.GetObject", wire)
    with pytest.raises(StorageError, match=re.escape(told)) as caught:
        s3.get("a")
    assert (wire.calls, waits) == (1, [])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("condition", [{"if_absent": True}, {"if_match": "tag"}])
def test_f30_a_put_that_was_carried_out_and_answered_503_is_no_conflict(s3, hook, waits, bucket, condition):
    if "if_match" in condition:
        condition = {"if_match": s3.put("a", b"before")}

    def carried_out(request: Any, **_: Any) -> AWSResponse:
        bucket.put_object(Key="job/a", Body=b"ours")
        return unavailable(request)

    hook("before-send.s3.PutObject", OnTheWire(1, carried_out))
    assert s3.put("a", b"ours", **condition) == s3.get("a").tag
    assert s3.get("a").data == b"ours"


def test_f30_a_put_that_is_repeated_after_another_one_wrote_is_a_conflict(s3, hook, waits, bucket):
    def overtaken(request: Any, **_: Any) -> AWSResponse:
        bucket.put_object(Key="job/a", Body=b"theirs")
        return unavailable(request)

    hook("before-send.s3.PutObject", OnTheWire(1, overtaken))
    with pytest.raises(ConflictError):
        s3.put("a", b"ours", if_absent=True)
    assert s3.get("a").data == b"theirs"


def test_f30_an_error_of_a_listing_is_named_too(s3, hook):
    hook("before-call.s3.ListObjectsV2", Answers(refusal(403, "AccessDenied")))
    with pytest.raises(StorageError, match="AccessDenied to list_objects_v2 of s3://bucket/job/folder/"):
        list(s3.list("folder/"))


@pytest.mark.parametrize(
    "call",
    [
        lambda s3: s3.get("a"),
        lambda s3: s3.put("a", b""),
        lambda s3: s3.put("a", b"", if_match="tag"),
        lambda s3: list(s3.list()),
    ],
)
def test_f30_a_bucket_that_is_not_there_is_more_than_an_object_that_is_not(s3, call):
    with pytest.raises(StorageError, match="NoSuchBucket") as caught:
        call(S3Storage("nowhere", "job"))
    assert type(caught.value) is StorageError


@pytest.mark.parametrize("call", [lambda s3: s3.get("a"), lambda s3: s3.put("a", b""), lambda s3: list(s3.list())])
def test_f30_a_call_that_never_reaches_s3_is_named_too(s3, call):
    with pytest.raises(StorageError, match="s3://no bucket/job"):
        call(S3Storage("no bucket", "job"))


@pytest.mark.parametrize("read", [lambda s3: s3.get("a"), lambda s3: s3.open("a").read()])
def test_f48_a_body_cut_short_is_an_error_and_never_the_object(s3, hook, read):
    half = {"ETag": "tag", "Body": StreamingBody(io.BytesIO(b"half"), 8)}
    hook("before-call.s3.GetObject", Answers((200, half)))
    with pytest.raises(StorageError, match="s3://bucket/job/a"):
        read(s3)


def cut(data: bytes, tag: str, size: int) -> tuple[int, dict[str, Any]]:
    """A body that ends before its size."""
    return 200, {"ETag": tag, "Body": StreamingBody(io.BytesIO(data), size)}


class Breaking(io.BytesIO):
    """A body whose connection breaks where it would end."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._error = error

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise self._error
        return data


# As urllib3 raises them; botocore makes errors of them that have a response, which is None.
BREAKS = [ReadTimeoutError(None, "", "stalled"), ProtocolError("reset"), None]


@pytest.mark.parametrize("broken", BREAKS, ids=["stalled", "reset", "ends early"])
@pytest.mark.parametrize("read", [lambda s3: s3.get("a").data, lambda s3: s3.open("a").read()], ids=["get", "open"])
def test_f48_a_body_that_breaks_is_read_on_where_it_broke(s3, hook, waits, read, broken):
    tag = s3.put("a", b"0123456789")

    def breaking(data: bytes, size: int) -> tuple[int, dict[str, Any]]:
        if broken is None:
            return cut(data, tag, size)
        return 200, {"ETag": tag, "Body": StreamingBody(Breaking(data, broken), size)}

    hook("before-call.s3.GetObject", Answers(breaking(b"0123", 10), breaking(b"", 6), breaking(b"45", 6)))
    assert read(s3) == b"0123456789"
    assert len(waits) == 3


def test_f48_a_stream_that_breaks_while_the_object_is_replaced_is_no_mixture(s3, hook, waits):
    tag = s3.put("a", b"0123456789")
    s3.put("a", b"another one")
    hook("before-call.s3.GetObject", Answers(cut(b"0123", tag, 10)))
    with pytest.raises(ConflictError, match="s3://bucket/job/a is not what was read"):
        s3.open("a").read()


def test_f48_a_stream_that_breaks_again_and_again_is_an_error(s3, hook, waits):
    tag = s3.put("a", b"0123456789")
    hook("before-call.s3.GetObject", Answers(*(cut(b"", tag, 10) for _ in range(99))))
    with pytest.raises(StorageError, match="get_object of s3://bucket/job/a failed"):
        s3.open("a").read()
    assert len(waits) == s3_storage.TRIES - 1


def test_a_stream_left_early_gives_its_connection_back(s3, hook):
    body = io.BytesIO(b"1" * 100)
    hook("before-call.s3.GetObject", Answers((200, {"ETag": "tag", "Body": StreamingBody(body, 100)})))
    with s3.open("a") as stream:
        assert stream.read(1) == b"1"
    assert body.closed


def test_jobs_next_to_each_other_do_not_see_each_other(s3):
    for prefix in ("job", "job_test", "job/below", ""):
        S3Storage("bucket", prefix).put("a", b"")
    assert keys(s3) == ["a", "below/a"]
    assert keys(S3Storage("bucket", "job_test")) == ["a"]
    assert keys(S3Storage("bucket", "")) == ["a", "job/a", "job/below/a", "job_test/a"]


def test_a_listing_goes_on_over_many_pages(s3, hook):
    for number in range(5):
        s3.put(f"{number}", b"")
    pages = []
    hook("provide-client-params.s3.ListObjectsV2", lambda params, **_: pages.append(params) or {**params, "MaxKeys": 2})
    assert keys(s3) == ["0", "1", "2", "3", "4"]
    assert len(pages) == 3


def test_folder_markers_of_the_console_are_not_listed(s3, bucket):
    for key in ("job/", "job/folder/", "job/folder/a"):
        bucket.put_object(Key=key)
    assert keys(s3) == ["folder/a"]
    assert keys(s3, "folder/") == ["folder/a"]


def test_a_client_that_cannot_swap_is_refused_before_any_work(s3, monkeypatch):
    s3_storage.check_client()
    members = s3_storage._s3().meta.service_model.operation_model("PutObject").input_shape.members
    monkeypatch.delitem(members, "IfMatch")
    with pytest.raises(StorageError, match=r"boto3 \S+ cannot write on a condition; use 1\.36 or newer"):
        s3_storage.check_client()


# ---- Many calls at once


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_what_is_asked_for_at_once_comes_back_in_order(count):
    assert list(at_once(lambda number: number * 2, range(count))) == [number * 2 for number in range(count)]


def test_of_many_things_only_the_next_thousand_wait():
    asked: list[int] = []
    found = at_once(asked.append, iter(range(10_000)))
    next(found)
    assert len(asked) <= 1000
    found.close()


def test_one_that_fails_ends_it_where_it_stands():
    found = at_once(lambda number: 1 // number, [2, 1, 0, 1])
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
