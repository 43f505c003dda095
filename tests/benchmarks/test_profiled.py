from benchmarks.data import write_for_you
from benchmarks.jobs import Size
from benchmarks.profiled import Watch, full_run


def test_every_stage_of_a_worker_is_timed_and_profiled(tmp_path):
    watch = Watch(profiles=True)
    full_run(write_for_you(tmp_path, Size(users=30, items=10)), 30, watch)
    assert list(watch.took_s) == [
        "(JSON alone)",
        "parse lines",
        "rows from Arrow",
        "(lists)",
        "lists, decisions",
        "records packed",
        "snapshot",
        "story",
    ]
    assert list(watch.profiles) == list(watch.took_s)
