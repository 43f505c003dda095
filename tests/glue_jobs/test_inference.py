import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract.local_storage import LocalStorage
from glue_jobs.batch_lines import BatchLine, parse_batch_line
from glue_jobs.dry import DryStorage
from glue_jobs.errors import ConfigError, InputError, NoInputError
from glue_jobs.inference import batch_row, find_batch, read_batch
from glue_jobs.meeting import packed_list

IDS = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())


def read(text, key="userId"):
    return parse_batch_line(text.encode(), key)


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        (
            '{"input":{"userId":"4638"},"output":{"recommendedItems":["63992","115149"],"scores":[0.5,0.25]},"error":null}',
            "userId",
            BatchLine("good", "4638", ["63992", "115149"], [0.5, 0.25]),
        ),
        ('{"input":{"userId":"12"},"output":{"recommendedItems":["105"]}}', "userId", BatchLine("good", "12", ["105"])),
        (
            '{"input":{"itemId":"105"},"output":{"recommendedItems":["106","107","49"]}}',
            "itemId",
            BatchLine("good", "105", ["106", "107", "49"]),
        ),
        (
            '{"input":{"userId":"1","filterValues":{"G":"\\"horror\\""}},"output":{"recommendedItems":["2"]}}',
            "userId",
            BatchLine("good", "1", ["2"]),
        ),
        (
            '{"input":{"userId":"891","itemList":["27","886"]},"output":{"recommendedItems":["886","27"],"scores":[0.5,0.25]}}',
            "userId",
            BatchLine("good", "891", ["886", "27"], [0.5, 0.25]),
        ),
        ('{"input":{"itemId":"9"},"output":{"recommendedItems":[]}}', "itemId", BatchLine("good", "9", [])),
        ('{"input":{"itemId":"9"},"error":"cold item"}', "itemId", BatchLine("failed", "9", reason="cold item")),
        (
            '{"input":{"itemId":"9"},"output":null,"error":{"code":5}}',
            "itemId",
            BatchLine("failed", "9", reason='{"code": 5}'),
        ),
        (
            '{"input":{"userId":"1"},"output":{"recommendedItems":["2"]},"error":""}',
            "userId",
            BatchLine("good", "1", ["2"]),
        ),
    ],
)
def test_each_shape_of_a_line_is_read(text, key, expected):
    assert read(text, key) == expected


def test_ids_that_came_as_numbers_keep_every_digit():
    line = read('{"input":{"userId":123456789012345678901234567890},"output":{"recommendedItems":[105,"00105"]}}')
    assert line == BatchLine("good", "123456789012345678901234567890", ["105", "00105"])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '"s"',
        "null",
        '{"input":{"userId":"1"},"output":{"recommendedItems":["2"]}}{"input":{"userId":"3"}}',
        '{"input":{},"output":{"recommendedItems":["2"]}}',
        '{"input":{"userId":""},"output":{"recommendedItems":["2"]}}',
        '{"input":{"userId":null},"output":{"recommendedItems":["2"]}}',
        '{"input":{"userId":"1"},"output":{"recommendedItems":"2"}}',
        '{"input":{"userId":"1"},"output":{"recommendedItems":[null]}}',
        '{"input":{"userId":"1"},"output":[]}',
        "[" * 5000,
    ],
)
def test_what_is_no_line_is_broken_with_a_reason(text):
    line = read(text)
    assert (line.kind, bool(line.reason)) == ("broken", True)


def test_invalid_utf8_is_broken_and_not_repaired():
    assert (
        parse_batch_line(b'{"input":{"userId":"\xff\xfe"},"output":{"recommendedItems":["2"]}}', "userId").kind
        == "broken"
    )


@pytest.mark.parametrize("text", ["", "  ", "\r", "\ufeff"])
def test_blank_lines_are_no_lines(text):
    assert read(text) is None


def test_byte_order_mark_and_line_ends_do_not_matter():
    assert read('\ufeff{"input":{"userId":"1"},"output":{"recommendedItems":["2"]}}\r\n') == BatchLine(
        "good", "1", ["2"]
    )


@pytest.mark.parametrize("scores", ["[0.1]", "[0.1,null]", '["x","y"]', "[NaN,1]", "{}"])
def test_scores_that_do_not_fit_the_items_are_none(scores):
    assert (
        read(f'{{"input":{{"userId":"1"}},"output":{{"recommendedItems":["2","3"],"scores":{scores}}}}}').scores is None
    )


@given(user=IDS, items=st.lists(IDS, max_size=5), spare=st.dictionaries(st.text(max_size=5), st.none() | st.integers()))
def test_any_good_line_gives_back_its_user_and_items(user, items, spare):
    line = {**spare, "input": {**spare, "userId": user}, "output": {"recommendedItems": items}}
    assert read(json.dumps(line, ensure_ascii=False)) == BatchLine("good", user, items)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail(line):
    read_line = parse_batch_line(line, "userId")
    assert read_line is None or read_line.kind in {"good", "failed", "broken"}


def put(folder, *keys):
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")


def test_the_newest_finished_job_of_a_solution_is_taken(tmp_path):
    old, new, running = (f"batch_sims_2026_11_{day}_03_00_00" for day in ("19", "20", "21"))
    put(tmp_path, f"in/{old}/a.out", f"in/{new}/a.out", f"in/{new}/b.out", f"in/{new}/_CHECK", f"in/{running}/_CHECK")
    storage, files = find_batch("in/", LocalStorage(tmp_path))
    assert storage.root == str(tmp_path / "in")
    assert [file.key for file in files] == [f"{new}/a.out", f"{new}/b.out"]


def test_job_folders_are_known_with_and_without_their_first_word(tmp_path):
    put(tmp_path, "in/batch_sims_2026_11_19_03_00_00/a.out", "in/sims_2026_11_20_03_00_00/a.out", "in/other/a.out")
    assert [file.key for file in find_batch("in", LocalStorage(tmp_path))[1]] == ["sims_2026_11_20_03_00_00/a.out"]


def test_a_path_above_two_solutions_takes_neither_and_names_both(tmp_path):
    put(tmp_path, "in/sims/batch_sims_2026_11_21_03_00_00/a.out", "in/ups/batch_ups_2026_11_22_03_00_00/a.out")
    with pytest.raises(InputError, match=r"/in: .* several folders: sims/, ups/; let batchInferencePath name the one"):
        find_batch("in/", LocalStorage(tmp_path))
    assert [file.key for file in find_batch("in/sims/", LocalStorage(tmp_path))[1]] == [
        "batch_sims_2026_11_21_03_00_00/a.out"
    ]


def test_a_plan_finds_what_a_run_finds(tmp_path):
    put(tmp_path, "in/a.out")
    assert find_batch("in/", DryStorage(LocalStorage(tmp_path))) == find_batch("in/", LocalStorage(tmp_path))


def test_a_jobs_own_folder_may_be_named(tmp_path):
    put(tmp_path, "in/a.out", "in/_CHECK")
    _, (file,) = find_batch(str(tmp_path / "in"), LocalStorage(tmp_path / "elsewhere"))
    assert file.key == "a.out"


@pytest.mark.parametrize("keys", [[], ["in/_CHECK"], ["in/batch_s_2026_11_19_03_00_00/_CHECK"], ["in/a.json"]])
def test_f17_without_finished_output_there_is_nothing_to_run_on(tmp_path, keys):
    put(tmp_path, *keys)
    with pytest.raises(NoInputError, match="no finished batch inference"):
        find_batch("in/", LocalStorage(tmp_path))


@pytest.mark.parametrize("address", ["../elsewhere/", "in/../../x", "%2e%2e/x"])
def test_f33_a_relative_path_cannot_leave_the_job_folder(tmp_path, address):
    with pytest.raises(ConfigError, match="batchInferencePath"):
        find_batch(address, LocalStorage(tmp_path))


def test_lines_of_several_files_are_read_with_their_place(spark, tmp_path):
    (tmp_path / "a.out").write_text('{"input":{"userId":"1"},"output":{"recommendedItems":["2"]}}\n\n{"broken\n')
    (tmp_path / "b.out").write_text('{"input":{"userId":"3"},"error":"x"}')
    uris = [f"file://{tmp_path}/{name}" for name in ("a.out", "b.out")]
    rows = read_batch(spark, uris, "userId").orderBy("file", "block", "row").collect()
    assert [(row.file, row.kind, row.key, row.list, row.text) for row in rows] == [
        ("a.out", "good", "1", packed_list(["2"], None), None),
        ("a.out", "broken", None, None, '{"broken'),
        ("b.out", "failed", "3", None, '{"input":{"userId":"3"},"error":"x"}'),
    ]


def test_a_score_beyond_any_float_counts_as_no_scores():
    huge = "9" * 400
    line = read(f'{{"input":{{"userId":"1"}},"output":{{"recommendedItems":["2"],"scores":[{huge}]}}}}')
    assert line == BatchLine("good", "1", ["2"])


def test_scores_that_nobody_asks_for_are_left_behind():
    line = b'{"input":{"userId":"1"},"output":{"recommendedItems":["2"],"scores":[0.5]}}'
    assert batch_row(line, "userId")[:3] == ("good", "1", packed_list(["2"], [0.5]))
    assert batch_row(line, "userId", keeps_scores=False)[:3] == ("good", "1", packed_list(["2"], None))


def test_a_failed_line_whose_error_is_no_text_fails_like_any_other():
    kind, key, _, _, reason = batch_row(b'{"input":{"userId":"1"},"error":"bad \\ud83d"}', "userId")
    assert (kind, key, reason) == ("failed", "1", '"bad \\ud83d"')


@pytest.mark.parametrize("key", ['"\\ud800"', '"1"'])
def test_half_a_surrogate_pair_is_no_id(key):
    """Nothing that is written in UTF-8 could hold it."""
    line = f'{{"input":{{"userId":{key}}},"output":{{"recommendedItems":["2","\\ud800"]}}}}'.encode()
    assert batch_row(line, "userId")[0] == "broken"
