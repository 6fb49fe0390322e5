"""scripts/tables.py --check on a folder of real runs."""

import shutil
import statistics

from tests.lab import ROW, ROW_FILE
from tests.results.test_tables import COUNTED


def check(tables, *words):
    code, out, err = tables("--check", ROW, *words)
    return code, out + err


def test_check_agrees_differs_or_has_nothing_to_compare(lab, tables):
    mean = statistics.mean(map(lab.best, COUNTED))
    code, out = check(tables)
    assert code == 1
    assert f"reproduced {mean:.2f} ± " in out
    assert "(n=3), reported 90.00" in out
    lab.row_file.write_text(ROW_FILE.replace("acc: 90.0", f"acc: {mean + 0.9:.2f}"))
    code, out = check(tables)
    assert code == 0
    assert "within ± 1" in out
    lab.row_file.write_text(ROW_FILE.replace("acc: 90.0", f"acc: {mean - 1.1:.2f}"))
    assert check(tables)[0] == 1
    lab.row_file.write_text(ROW_FILE.replace("acc: 90.0", "acc: null"))
    code, out = check(tables)
    assert code == 2
    assert "no accuracy is known" in out


def test_check_compares_under_the_papers_protocol(lab, tables):
    last = statistics.mean(lab.result(name)["accuracy"]["last_epoch"] for name in COUNTED)
    for name in COUNTED:
        accuracy = lab.result(name)["accuracy"] | {"best_test_epoch": {"acc": 99.5, "epoch": 0}}
        lab.edit_result(name, accuracy=accuracy)
    assert "reproduced 99.50" in check(tables)[1]
    lab.edit_row("best_test_epoch", "unknown")
    code, out = check(tables)
    assert f"reproduced {last:.2f}" in out
    assert "last epoch, since the paper's protocol is not known" in out
    lab.edit_row("protocol: unknown", "protocol: validation_chosen")
    code, out = check(tables)
    assert code == 2


def test_check_without_a_finished_run_says_what_there_is(lab, tables):
    for name in (*COUNTED, "seed0_again"):
        shutil.rmtree(lab.runs[name])
    code, out = check(tables)
    assert code == 2
    assert "no finished run" in out
    assert "--at 3" in out
    assert "the machine is on fire" in out


def test_a_single_seed_is_called_so(lab, tables):
    for name in ("seed1", "resumed"):
        shutil.rmtree(lab.runs[name])
    assert "(single seed)" in check(tables)[1]


def test_check_against_a_milestone_takes_unfinished_runs_of_the_recipe_too(lab, tables):
    names = (*COUNTED, "interrupted", "short")  # not the other recipe's, the subset's, or the same seed again
    curves = {run: (lab.runs[run] / "metrics.csv").read_text().splitlines() for run in names}
    column = curves["seed0"][0].split(",").index("test/acc")
    values = [float(curve[2].split(",")[column]) for curve in curves.values()]
    mean = statistics.mean(values)
    lab.edit_row("milestones: {1: 50.0", f"milestones: {{1: {mean + 2:.3f}")
    code, out = check(tables, "--at", "2")
    assert code == 0, out
    assert "(after 2 epochs)" in out
    assert f"reproduced {mean:.2f} ± {statistics.stdev(values):.2f} (n=5)" in out
    lab.edit_row(f"1: {mean + 2:.3f}", f"1: {mean + 4:.3f}")
    assert check(tables, "--at", "2")[0] == 1
    code, out = check(tables, "--at", "1")
    assert code == 2
    assert "Known: 2, 3." in out


def test_check_of_a_row_that_does_not_exist(tables):
    code, _, err = tables("--check", "demo/digits_convnet_t3")
    assert code == 2
    assert f"Did you mean '{ROW}'?" in err
