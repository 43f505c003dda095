"""What Glue reads is a function of its content, and stays where it is."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from connectors.contract import layout
from connectors.contract.local_storage import LocalStorage
from functions import publish_glue_assets as publisher

ROOT = Path(__file__).parents[2]


@pytest.fixture
def top(tmp_path):
    """A small folder of the shape that the build makes."""
    for name, text in {
        "connectors/__init__.py": "",
        "connectors/base.py": "X = 1\n",
        "glue_jobs/__init__.py": "",
        "glue_jobs/related_items_etl.py": "print('related')\n",
        "glue_jobs/__pycache__/sync.cpython-313.pyc": "left over",
        "wheels/5.1/one-1-py3-none-any.whl": "wheel",
        "wheels/6.0/one-1-py3-none-any.whl": "wheel of 6.0",
        "wheels/6.0/.ready": "",
        "wheels/any/two-1-py3-none-any.whl": "for both",
    }.items():
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "top"


def names(data: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


def test_glue_gets_scripts_the_library_and_the_wheels_of_each_version(top):
    found = publisher.assets(top)
    assert sorted(found) == [
        "glue-5.1.gluewheels.zip",
        "glue-6.0.gluewheels.zip",
        "recsync.zip",
        "related_items_etl.py",
    ]
    assert names(found["recsync.zip"]) == [
        "connectors/__init__.py",
        "connectors/base.py",
        "glue_jobs/__init__.py",
        "glue_jobs/related_items_etl.py",
    ]
    for version in ("5.1", "6.0"):
        house = zipfile.ZipFile(io.BytesIO(found[f"glue-{version}.gluewheels.zip"]))
        wheels = ["wheels/one-1-py3-none-any.whl", "wheels/two-1-py3-none-any.whl"]
        assert house.namelist() == [*wheels[:1], "wheels/requirements.txt", *wheels[1:]]
        assert house.read("wheels/requirements.txt") == b"one==1\ntwo==1\n"


def test_there_is_a_script_for_every_job_type():
    assert {f"{job_type}_etl.py" for job_type in layout.JOB_TYPES} <= publisher.assets(ROOT).keys()


def test_equal_files_give_equal_zips_whatever_their_times_and_order(top):
    first = publisher.assets(top)
    for path in top.rglob("*.py"):
        text = path.read_text()
        path.unlink()
        path.write_text(text)
        path.chmod(0o600)
    assert publisher.assets(top) == first
    files = [("b", b"2"), ("a", b"1")]
    assert publisher.packed(files) == publisher.packed(reversed(files))


@pytest.mark.parametrize(
    "changed",
    [
        "connectors/base.py",
        "glue_jobs/related_items_etl.py",
        "wheels/5.1/one-1-py3-none-any.whl",
        "wheels/any/two-1-py3-none-any.whl",
    ],
)
def test_one_changed_byte_gives_another_prefix(top, changed):
    before = publisher.prefix(publisher.assets(top))
    (top / changed).write_text((top / changed).read_text() + " ")
    assert publisher.prefix(publisher.assets(top)) != before


def test_what_was_published_is_kept_and_not_written_again(top, tmp_path):
    storage, found = LocalStorage(tmp_path / "bucket"), publisher.assets(top)
    address = publisher.publish(storage, found)
    assert address == f"{storage.root}/{publisher.prefix(found)}"
    written = {entry.key: entry.modified_at for entry in storage.list("glue/")}
    assert len(written) == len(found)
    (top / "connectors/base.py").write_text("X = 2\n")
    assert publisher.publish(storage, publisher.assets(top)) != address
    assert publisher.publish(storage, found) == address
    after = {entry.key: entry.modified_at for entry in storage.list("glue/")}
    assert len(after) == 2 * len(found)
    assert written.items() <= after.items()


def test_the_library_runs_from_its_zip(tmp_path):
    """As Glue puts it on the path: nothing of this project but the zip."""
    (tmp_path / "recsync.zip").write_bytes(publisher.assets(ROOT)["recsync.zip"])
    code = "import connectors.registry as r, glue_jobs.config; print(r.connector_class('braze').__module__, r.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'recsync.zip')!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("connectors.braze.connector ")
    assert "recsync.zip" in done.stdout


@pytest.fixture
def cloudformation():
    """Where CloudFormation waits for an answer: what came, with its headers."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            came.append((json.loads(self.rfile.read(int(self.headers["Content-Length"]))), self.headers))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/signed?x=1", came
        server.shutdown()
        thread.join()


@pytest.fixture
def call(cloudformation, monkeypatch, tmp_path):
    """Call the handler, with a folder for the bucket."""
    url, came = cloudformation
    monkeypatch.setattr(
        "connectors.contract.storage.open_storage", lambda address: LocalStorage(tmp_path / address[5:])
    )

    def handle(request_type: str, **more):
        event = {"RequestType": request_type, "ResponseURL": url, "StackId": "s", "RequestId": "r"}
        event |= {"LogicalResourceId": "GlueAssets", "ResourceProperties": {"Bucket": "assets"}, **more}
        publisher.lambda_handler(event, None)
        answer, headers = came.pop()
        assert not headers["Content-Type"]
        return answer

    return handle


def test_cloudformation_is_told_the_prefix_and_the_resource_keeps_its_id(call, tmp_path):
    created = call("Create")
    assert created["Status"] == "SUCCESS"
    assert created["Data"]["Prefix"].startswith(f"{tmp_path}/assets/glue/")
    updated = call("Update", PhysicalResourceId=created["PhysicalResourceId"])
    assert updated == created


def test_to_be_deleted_keeps_what_a_running_job_may_read(call, tmp_path):
    created = call("Create")
    deleted = call("Delete", PhysicalResourceId=created["PhysicalResourceId"])
    assert deleted["Status"] == "SUCCESS"
    assert "Data" not in deleted
    assert list((tmp_path / "assets" / "glue").rglob("recsync.zip"))


def test_what_goes_wrong_is_told_and_not_waited_for(call):
    failed = call("Create", ResourceProperties={})
    assert (failed["Status"], failed["Reason"]) == ("FAILED", "KeyError: 'Bucket'")
