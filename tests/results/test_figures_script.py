"""scripts/figures.py: what it writes, what it names, what it refuses."""

import itertools
from pathlib import Path

from scripts.figures import main
from snnbench.results.figures.kinds import KINDS
from snnbench.results.selection import select
from snnbench.runs.read import read_ledger
from tests.conftest import TINY
from tests.results.made_up_runs import DECAYS, dalif, edit, run


def test_runs_that_do_not_count_are_named_with_the_reason(tmp_path, capsys):
    kept = run(tmp_path / "runs", seed=0, layers=dalif((0.9, 0.8)))
    again = run(tmp_path / "runs", seed=0, layers=dalif((0.1, 0.1)))
    failed = run(tmp_path / "runs", seed=1, status="failed")
    subset, damaged, shallow, broken = (run(tmp_path / "runs", seed=n, layers=dalif((0.1, 0.1))) for n in range(2, 6))
    edit(subset, provenance="subset")
    edit(damaged, layers={"a": 3})
    edit(shallow, layers={"other": {"firing_rate": 0.1, "alpha": 1.0, "beta": 1.0}})
    (broken / "result.json").write_text("{")
    (kept / "layers.csv").write_text("epoch,layer\n1,")  # is not read: what is needed stands in result.json
    assert main([str(tmp_path / "runs"), "--kind", "coefficients", "--output", str(tmp_path / "figures")]) == 0
    out = capsys.readouterr().out
    for folder, why in (
        (again, f"seed 0 again; counted is {kept}"),
        (failed, "failed after 3 of 3 epochs"),
        (subset, "not the real data: subset"),
        (damaged, "result.json holds no layers, or damaged ones"),
        (shallow, f"other layers than {kept}"),
    ):
        assert f"1 run: {why}\n    {folder.parent}: {folder.name}\n" in out
    assert f"{broken}: result.json is damaged" in out
    assert f"single seed; 1 run:\n    {kept.parent}: {kept.name}\n" in out
    assert len(list((tmp_path / "figures").iterdir())) == 2


def test_the_same_runs_give_the_same_bytes(tmp_path):
    for seed, (alpha, beta) in enumerate(itertools.product((0.1, 0.2), (0.1, 0.2))):
        run(tmp_path / "runs", seed=seed, layers=dalif((0.9, 0.8)))
        run(tmp_path / "runs", options=DECAYS | {"alpha_init": alpha, "beta_init": beta})
    for output in ("one", "two"):
        words = ["--kind", "coefficients", "--kind", "grid", "--output", str(tmp_path / output)]
        assert main([str(tmp_path / "runs"), *words]) == 0
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / output).iterdir()} for output in ("one", "two"))
    assert one == two
    assert {name.partition("-")[0] for name in one} == {"coefficients", "grid"}
    assert all(content[:4] == {".png": b"\x89PNG", ".pdf": b"%PDF"}[Path(name).suffix] for name, content in one.items())


def test_nothing_to_draw_says_which_runs_are_needed(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "no accuracy to draw: needs finished runs of one recipe with two or more T" in err
    assert "python train.py -m +sweep=dalif_grid" in err
    run(tmp_path, "lif")
    assert main([str(tmp_path), "--kind", "grid", "--kind", "firing", "--output", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert "no grid to draw" in captured.err
    assert "no firing" not in captured.err
    assert len(list((tmp_path / "out").glob("firing-*.pdf"))) == 1
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main([str(tmp_path), "--output", str(tmp_path / "file")]) == 2
    assert "--output" in capsys.readouterr().err


def test_a_real_training_is_drawn_and_marked_where_its_data_is_cut(command, tmp_path, capfd):
    done = command("train", *TINY, "neuron=dalif")
    output = str(tmp_path / "figures")
    assert main([str(done.outputs), "--output", output]) == 2
    assert "1 run: not the real data: subset" in capfd.readouterr().out
    assert main([str(done.outputs), "--output", output, "--any-data"]) == 0
    assert "digits, ConvNet, DA-LIF, T = 2, 2 epochs, single seed, not the real data: subset" in capfd.readouterr().out
    (figure,) = (
        KINDS["coefficients"].choose(select(read_ledger([done.outputs]), any_data=True).counted, "last_epoch").figures
    )
    (series,) = figure.panels[0].series
    recorded = done.result()["layers"]
    assert [point.values for point in series.points] == [(recorded[f"units.{i}.neuron"]["alpha"],) for i in range(3)]
