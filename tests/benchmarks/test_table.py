from benchmarks.table import lines, medians, page, slopes


def attempt(name, cpu_s, users=1_000, kind="full"):
    cost = {"cpu_s": cpu_s, "wall_s": cpu_s / 2, "peak_mib": 100.0}
    return {"kind": kind, "users": users, "name": name, "cost": cost, "state_bytes": 0, "output_bytes": 2_000_000}


def test_a_figure_is_the_median_of_its_rounds():
    found = medians([attempt("ours", 1.0), attempt("ours", 9.0), attempt("ours", 2.0)])
    assert found["full", 1_000, "ours"]["cpu_s"] == 2.0
    assert found["full", 1_000, "ours"]["rounds"] == 3


def test_a_ratio_is_taken_to_ours_of_the_same_race():
    rows = [attempt("ours", 2.0), attempt("duckdb", 5.0), attempt("ours", 4.0, kind="delta")]
    told = {tuple(cell.strip() for cell in line.split("|"))[1:8] for line in lines(rows)}
    assert ("full", "1,000", "duckdb", "1", "5.0", "2.50", "2.5") in told
    assert ("delta", "1,000", "ours", "1", "4.0", "1.00", "2.0") in told


def test_who_raced_without_us_has_no_ratio():
    assert "| bare | 1 | 3.0 | - |" in "\n".join(lines([attempt("bare", 3.0)]))


def test_a_slope_is_the_cpu_of_each_added_user():
    rows = [attempt("ours", 2.0), attempt("ours", 5.0, users=3_001_000)]
    assert list(slopes(rows)) == ["| ours | 1,000 → 3,001,000 | 1.0 |"]
    assert "per added user" in page(rows)
    assert "per added user" not in page(rows[:1])
