"""scripts/tables.py on a folder of real runs."""

import csv
import io
import json
import shutil
import statistics
from html.parser import HTMLParser

import pytest

from tests.lab import ROW

COUNTED = ("seed0", "seed1", "resumed")
APART = {
    "seed0_again": "seed 0 again",
    "other_recipe": "another recipe than the row's: optimizer.lr 0.001 (row: 0.005)",
    "failed": "failed after 1 of 3 epochs (RuntimeError: the machine is on fire)",
    "interrupted": "interrupted after 2 of 3 epochs",
    "short": "2 of the row's 3 epochs",
    "subset": "not the real data: subset",
}


def lines(text):
    return list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))


def row_of(text):
    header, *body = lines(text)
    (line,) = (line for line in body if line[1] == "digits_convnet_t2")
    return dict(zip(header, line, strict=True))


def test_the_mean_is_over_the_seeds_of_the_row_and_everything_else_is_named(lab, tables):
    code, out, _ = tables("demo", "--format", "csv")
    assert code == 0
    values = [lab.best(name) for name in COUNTED]
    row = row_of(out)
    assert row["reported"] == "90.00 [a]"
    assert row["reproduced"] == f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} (n=3)"
    assert row["difference"] == f"{statistics.mean(values) - 90:+.2f}"
    assert row["protocol"] == "best test epoch"
    last = [lab.result(name)["accuracy"]["last_epoch"] for name in COUNTED]
    assert row["last epoch"].startswith(f"{statistics.mean(last):.2f} ")
    assert row["epochs"] == "3 of 3"
    assert row["status"] == "outside ± 1; 6 not counted"
    for name, why in APART.items():
        (note,) = (line for line in out.splitlines() if str(lab.runs[name]) in line and "not counted for" in line)
        assert why in note
    for name in COUNTED:
        assert f"# {lab.runs[name]}:" not in out


def test_a_resumed_run_is_one_run(lab, tables):
    others = [name for name in lab.runs if name != "resumed"]
    for name in others:
        shutil.rmtree(lab.runs[name])
    _, out, _ = tables("demo", "--format", "csv")
    assert row_of(out)["reproduced"] == f"{lab.best('resumed'):.2f} (single seed)"


def test_copies_and_damage_are_named_and_the_rest_is_shown(lab, tables):
    shutil.copytree(lab.runs["seed0"], lab.outputs / "z_backup" / "run")
    (lab.runs["seed1"] / "result.json").write_text("{")
    _, out, _ = tables("demo", "--format", "csv")
    assert "(n=2)" in row_of(out)["reproduced"]
    assert f"# {lab.outputs / 'z_backup' / 'run'}: a copy of {lab.runs['seed0']}" in out
    assert f"# {lab.runs['seed1']}: result.json is damaged" in out


def test_a_row_edited_after_the_runs_is_named(lab, tables):
    lab.edit_row("batch_size: 128", "batch_size: 64")
    _, out, _ = tables("demo", "--format", "csv")
    assert row_of(out)["reproduced"] == "-"
    assert row_of(out)["status"] == "no finished run of this recipe; 9 not counted"
    note = (
        f"{lab.runs['seed0']}: not counted for {ROW}: finished; the row's config was edited after this run: batch_size"
    )
    assert note in out
    other = next(line for line in out.splitlines() if str(lab.runs["other_recipe"]) in line)
    assert "another recipe than the row's" in other


def test_an_edited_reported_value_is_shown_from_the_file_and_said(lab, tables):
    also = "also: [{acc: 90.5, protocol: last_epoch, source: secondary}]"
    lab.edit_row("  tolerance: 1.0", f"  {also}\n  tolerance: 1.0")
    lab.edit_row("acc: 90.0", "acc: 91.0")
    _, out, _ = tables("demo", "--format", "csv")
    assert row_of(out)["reported"] == "91.00 [a]; last epoch: 90.50 [b]"
    assert out.count("the row block was edited after this run") == len(COUNTED)


def test_rows_that_do_not_compose_or_parse_are_named(lab, tables):
    lab.edit_row("override /neuron: lif", "override /neuron: nothing")
    (lab.row_file.parent / "broken.yaml").write_text("row: {id: demo/broken")
    (lab.row_file.parent / "empty.yaml").write_text("")
    code, out, _ = tables("demo", "--format", "csv")
    assert code == 0
    assert "does not compose" in out
    assert "broken.yaml: not a row" in out
    assert "empty.yaml: not a row" in out
    assert "not counted" in row_of(out)["status"]


def test_runs_of_no_row_have_a_table_of_their_own(lab, tables):
    lab.row_file.rename(lab.row_file.with_name("gone.txt"))
    _, out, _ = tables("--format", "csv")
    body = lines(out[out.index("table,name,recipe") :])[1:]
    assert [line[1] for line in body] == ["demo/digits_convnet_t2"] * 4 + ["mine"]
    assert all(line[0] == "Runs of no row" for line in body)
    _, out, _ = tables("arlif", "--format", "csv")
    assert "10 runs belong to no row" in out


PROOF = """  proof:
    oracle: demo
    commit: abcdef0
    same_parts_as: demo/other
    compared: [network, gradients]
    open: [curve]
"""


def test_what_is_proved_of_a_row_stands_below_its_recipe(lab, tables):
    _, out, _ = tables("--proved", "--format", "csv")
    assert "demo,digits_convnet_t2" not in out  # nothing was compared
    assert "arlif,cifar10_resnet18_t4" in out
    lab.edit_row("  recipe: exact\n", f"  recipe: proved in part\n{PROOF}")
    _, out, _ = tables("demo", "--proved", "--format", "csv")
    assert row_of(out)["recipe"] == "proved in part [b]"
    (meaning,) = (line for line in out.splitlines() if line.startswith("# demo [b]"))
    assert meaning.endswith("Compared in a row of the same parts: network, gradients; not compared: curve")
    assert "BigNet" not in out
    lab.edit_row("compared: [network, gradients]", "compared: [network]")
    assert "digits_convnet_t2" not in tables("demo", "--proved", "--format", "csv")[1].replace(str(lab.outputs), "")


def test_not_runnable_rows_stand_in_the_table_with_their_reason(tables):
    _, out, _ = tables("demo", "--format", "csv")
    line = next(line for line in lines(out) if "BigNet" in line[1])
    assert line[1] == "digits, BigNet, Magic | more, T=4"
    assert line[2] == "99.00 [b]"
    assert line[-1] == "not runnable: its network is not known"


@pytest.mark.parametrize("form", ["text", "md", "latex", "csv", "html"])
def test_every_format_holds_every_row_and_note(lab, tables, form):
    code, out, _ = tables("demo", "--format", form)
    assert code == 0
    reproduced = f"{statistics.mean(map(lab.best, COUNTED)):.2f}"
    for text in ("convnet", "90.00", reproduced, "BigNet", "the machine is on fire", "secondary source"):
        assert text in out


def test_markdown_is_one_table_of_equal_width(tables):
    _, out, _ = tables("demo", "--format", "md")
    body = [line for line in out.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in body} == {11}
    assert "Magic \\| more" in out


def test_latex_and_html_escape_what_is_special(tables):
    _, out, _ = tables("demo", "--format", "latex")
    body = [line for line in out.splitlines() if not line.startswith("%")]
    assert out.startswith(r"% needs \usepackage{booktabs}")  # whose rules the table has
    assert r"Demo \& test" in out
    assert r"digits\_convnet\_t2" in out
    assert r"$\pm$" in out
    assert not any("±" in line for line in body)
    assert out.count(r"\begin{tabular}") == out.count(r"\end{tabular}") == 1

    _, out, _ = tables("demo", "--format", "html")
    assert "Demo &amp; test" in out
    seen = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.append(tag)
    parser.handle_endtag = lambda tag: seen.append("/" + tag)
    parser.feed(out)
    for tag in ("table", "tr", "td", "th", "ul", "li", "html"):
        assert seen.count(tag) == seen.count("/" + tag) > 0


def test_energy_is_the_mean_of_the_counted_runs(lab, tables):
    _, out, _ = tables("demo", "--format", "csv")
    joules = [lab.result(name)["energy"]["picojoule"] for name in COUNTED]
    value, unit = row_of(out)["energy"].split()
    assert float(value) * {"nJ": 1e3, "µJ": 1e6}[unit] == pytest.approx(statistics.mean(joules), rel=1e-3)


def test_an_energy_that_one_run_lacks_is_not_shown(lab, tables):
    path = lab.runs["seed1"] / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "energy": None}))
    assert row_of(tables("demo", "--format", "csv")[1])["energy"] == "-"


def test_the_best_row_of_a_data_set_is_bold(lab, tables):
    assert "textbf" not in tables("demo", "--format", "latex")[1]  # a single row is no best one
    second = lab.row_file.with_name("digits_convnet_t3.yaml")
    text = lab.row_file.read_text().replace("digits_convnet_t2", "digits_convnet_t3")
    second.write_text(text)
    folder = lab.outputs / "second"
    shutil.copytree(lab.runs["seed0"], folder)
    for name in ("config.yaml", "result.json"):
        own = (folder / name).read_text()
        (folder / name).write_text(own.replace("digits_convnet_t2", "digits_convnet_t3"))
    result = json.loads((folder / "result.json").read_text())
    result["accuracy"]["best_test_epoch"]["acc"] = 100.0
    result["started"] = "2020-01-01T00:00:00+00:00"
    (folder / "result.json").write_text(json.dumps(result))
    for form, bold in (("latex", r"\textbf{100.00 (single seed)}"), ("md", "**100.00 (single seed)**")):
        _, out, _ = tables("demo", "--format", form)
        assert bold in out
        assert out.count("100.00 (single seed)") == out.count(bold)
    assert "<b>100.00 (single seed)</b>" in tables("demo", "--format", "html")[1]


def test_no_runs_at_all_is_said_and_the_reported_values_are_shown(tables, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, _ = tables("demo", "--format", "csv", folders=(tmp_path / "empty",))
    assert code == 0
    assert row_of(out)["status"] == "no run"
    assert f"no runs in {tmp_path / 'empty'}" in out


def test_bad_words_are_refused_with_the_nearest_name(tables, tmp_path):
    code, _, err = tables("demi")
    assert code == 2
    assert "Did you mean 'demo'?" in err
    code, _, err = tables("digits")
    assert code == 2
    assert "digits: is a data set. Its rows:" in err
    assert "--data digits" in err
    code, _, err = tables("demo", folders=(tmp_path / "nothing",))
    assert code == 2
    assert "no such folder" in err
    code, _, err = tables("--proved", "--check", "demo/digits_convnet_t2")
    assert code == 2
    assert "Leave out one" in err
    code, _, err = tables("--runnable", "--check", "demo/digits_convnet_t2")
    assert code == 2
    code, _, err = tables("--data", "CIFAR-100")
    assert code == 2
    assert "Did you mean 'cifar100'?" in err
    code, _, err = tables("--at", "3")
    assert code == 2
    assert "--check" in err


def test_the_csv_reads_back(tables):
    _, out, _ = tables("demo", "--format", "csv")
    header, *body = lines(out)
    assert all(len(line) == len(header) for line in body)
    assert io.StringIO(out).read() == out
