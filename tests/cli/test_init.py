"""A folder that validates and runs, out of nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import init
from cli.config_schema import config_schema
from connectors import registry
from connectors.contract.layout import JOB_TYPES
from connectors.contract.local_storage import LocalStorage
from glue_jobs.config import load_config


@pytest.mark.parametrize("job_type", JOB_TYPES)
def test_what_init_makes_validates_and_runs(recsync, spark, tmp_path, job_type):
    code, out, err = recsync("init", tmp_path / "my shop", "--type", job_type, "--output", "json")
    folder = json.loads(out)["folder"]
    assert (code, folder) == (0, str(tmp_path / "my shop/etl_jobs" / job_type / "first_job"))
    assert err.splitlines()[-1] == f"next: recsync validate '{folder}'"
    assert recsync("validate", folder)[0] == 0
    code, out, err = recsync("run", folder, "--output", "json")
    assert code == 0, err
    (run,) = json.loads(out)["runs"]
    assert run["counts"]["new"] == run["counts"]["records"] > 50


@pytest.mark.parametrize("job_type", JOB_TYPES)
def test_a_path_says_the_type(recsync, tmp_path, job_type):
    folder = tmp_path / "etl_jobs" / job_type / "mine"
    assert recsync("init", folder)[0] == 0
    assert load_config(LocalStorage(folder)).warnings == []
    assert (folder / "input/user_item_mapping").is_dir() == (job_type == "related_items")


def test_an_editor_finds_the_schema_of_every_connector_there_is(recsync, tmp_path):
    folder = tmp_path / "etl_jobs/user_personalization/mine"
    recsync("init", folder)
    named = json.loads((folder / "config.json").read_text())["$schema"]
    assert json.loads((folder / named).read_text()) == config_schema(registry.names())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["etl_jobs/related_items/mine", "--type", "user_personalization"], "is the place of a related_items job"),
        (["shop", "--type", "related"], "there is no job type 'related'; there are: related_items, user_person"),
        (["s3://shop/etl_jobs/related_items/mine"], "init writes on this machine"),
        (["shop/etl_jobs/userpersonalization/x"], "should end in etl_jobs/<job_type>/<job_name>"),
        (["shop/etl_jobs/related_items/größe"], "a job_name of A-Z a-z 0-9 . _ -"),
        (["shop/etl_jobs"], "should end in etl_jobs/<job_type>/<job_name>"),
        (["~nobody-at-all/shop"], "~nobody-at-all/shop: Could not determine home directory"),
        (["/proc/shop"], "/proc/shop/etl_jobs/user_personalization/first_job cannot be written: "),
    ],
)
def test_what_cannot_be_made_is_named_and_nothing_is_written(recsync, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = recsync("init", *words)
    assert (code, said in err) == (2, True), err
    assert list(tmp_path.iterdir()) == []


def test_init_writes_over_nothing(recsync, tmp_path):
    folder = tmp_path / "etl_jobs/related_items/mine"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    code, _, err = recsync("init", folder)
    assert (code, "is there already, and not empty" in err) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    assert recsync("init", folder)[0] == 0


def test_every_job_type_has_its_template():
    assert set(init._WRITE) == set(JOB_TYPES)
    assert Path(init.SCHEMA).suffix == ".json"
