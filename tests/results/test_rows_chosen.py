"""scripts/tables.py: which rows are shown, what they come to, and which can be run."""

import statistics

from snnbench.config import CONFIGS
from tests.lab import ROW
from tests.results.test_tables import COUNTED, lines


def test_the_first_line_of_a_table_says_what_it_comes_to(lab, tables):
    _, out, _ = tables("demo")
    assert "0 of 1 rows reproduced; 1 outside the tolerance; 1 more cannot be run here." in out
    lab.edit_row("acc: 90.0", f"acc: {statistics.mean(map(lab.best, COUNTED)) + 0.5:.2f}")
    assert "1 of 1 rows reproduced; 1 more cannot be run here." in tables("demo")[1]
    lab.edit_row("epochs: 3", "epochs: 4")
    assert "0 of 1 rows reproduced; 1 without a finished run; 1 more" in tables("demo")[1]
    _, out, _ = tables("demo", "dalif")
    rows = len(list((CONFIGS / "experiment/dalif").glob("*")))
    unknown = out.count("unknown [")
    assert f"0 of {rows} rows reproduced; {rows} without a finished run; reported value unknown: {unknown}." in out
    assert f"All 2 tables: 0 of {rows + 1} rows reproduced" in out


def names(out):
    return {line[1] for line in lines(out) if len(line) > 3 and line[1] != "row"}


def test_rows_are_chosen_by_paper_name_pattern_and_data(tables):
    _, out, _ = tables("dalif/cifar100*", "--format", "csv")
    assert names(out) == {f"cifar100_resnet{depth}_t{T}" for depth in (19, 20) for T in (2, 4)}
    _, out, _ = tables("dalif/cifar100_resnet20_t2", "--format", "csv")
    assert names(out) == {"cifar100_resnet20_t2"}
    _, out, _ = tables("dalif/cifar100_resnet20", "--format", "csv")
    assert names(out) == {"cifar100_resnet20_t2", "cifar100_resnet20_t4"}
    _, both, _ = tables("dalif", "--data", "cifar100", "--data", "imagenet", "--format", "csv")
    assert {name.partition("_")[0] for name in names(both)} == {"cifar100", "imagenet"}
    _, out, _ = tables("demo", "--runnable", "--format", "csv")
    assert names(out) == {"digits_convnet_t2"}
    _, out, _ = tables("--data", "imagenet", "--format", "csv")
    assert all("imagenet" in name for name in names(out))
    assert "Runs of no row" not in out


def test_what_can_be_run_is_listed_with_value_proof_and_time(lab, tables):
    _, out, _ = tables("rows", "--format", "csv")
    by_name = {line[1]: line for line in lines(out)}
    runnable = {f"{path.parent.name}/{path.stem}" for path in (lab.configs / "experiment").glob("*/*.yaml")}
    assert set(by_name) - {"row"} == runnable
    header = by_name["row"]
    row = dict(zip(header, by_name[ROW], strict=True))
    assert (row["reported"], row["compared"]) == ("90.00", "-")
    fastest = min(lab.result(run)["seconds"]["wall"] / lab.result(run)["epochs"]["run"] for run in COUNTED)
    number, unit = row["time"].removesuffix(" [a]").split()
    assert unit == "s"
    assert float(number) <= 3 * fastest + 0.1  # for the three epochs of the row
    logged = dict(zip(header, by_name["sew/imagenet_resnet18_t4"], strict=True))
    assert logged["compared"] == "7 of 12"
    assert "augmentation" in logged["not compared"]
    assert by_name["arlif/cifar10_resnet18_t4"][4].endswith("h [b]")  # as its head says
    _, out, _ = tables("rows", "dalif", "--proved", "--format", "csv")
    assert names(out) <= {f"dalif/{path.stem}" for path in (CONFIGS / "experiment/dalif").glob("*")}
