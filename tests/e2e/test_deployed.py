"""eval.py with another neuron than a run was trained with: what is measured, said and kept, and what is refused."""

import json

import pytest
import torch
from hydra.utils import instantiate

import snnbench
from scripts.tables import main as tables
from snnbench.neurons import LIF
from snnbench.results.outcomes import Outcome
from snnbench.results.rows import read_registry, read_rows
from snnbench.results.tables.deployed import deployed_table
from snnbench.runs.deployed import choose_deployed, deployed_file, of_rows, read_deployed
from snnbench.runs.read import read_run
from tests.conftest import TINY
from tests.docs.pages import sections
from tests.results import made_up_runs

ROW = "clif/cifar10_resnet18_t6_deployed_hard_m006"


@pytest.fixture
def run(command):
    done = command("train", *TINY, "neuron=plif", "threads=1")
    assert done.code == 0, done.err
    return done.folder


def accuracy(model):
    """Percent of the test set, of the mean of the logits over time."""
    right = samples = 0
    with torch.no_grad():
        for x, labels in model.batches("test"):
            right += int((model.network(x).mean(0).argmax(1) == labels).sum())
            samples += len(labels)
    return 100 * right / samples


def kept(folder):
    return {path.name: json.loads(path.read_text()) for path in folder.glob("deployed-*.json")}


def test_single_keys_of_the_runs_own_neuron(command, run):
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    done = command("eval", f"run={run}", "neuron.v_th=0.4")
    assert done.code == 0, done.err
    assert "evaluated with another neuron than trained: plif (v_th 0.4) for plif" in done.out
    assert "exactly" not in done.out
    assert "DIFFERS" not in done.out
    ((name, values),) = kept(run).items()
    assert name.startswith("deployed-last-plif-")
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != name} == before
    assert (values["same"], values["deployed"]["dropped"], values["deployed"]["initial"]) == (False, [], {})
    assert (values["deployed"]["neuron"]["v_th"], values["deployed"]["trained"]["v_th"]) == (0.4, 1.0)
    model = snnbench.load(run)
    assert accuracy(model) == pytest.approx(values["recorded"]["test/acc"])
    for layer in model.layers.values():
        layer.v_th = 0.4
    assert accuracy(model) == pytest.approx(values["measured"]["test/acc"])
    assert values["measured"] != values["recorded"]


def test_another_class_of_neurons_loses_what_was_learned_only_if_that_is_said(command, run):
    words = ("eval", f"run={run}", "neuron=lif", "neuron.v_reset=-0.06")
    refused = command(*words)
    assert (refused.code, kept(run)) == (2, {})
    assert "neuron=lif: the run's neurons, plif, have w, which it has not" in refused.err
    assert "drop=[w]" in refused.err
    done = command(*words, "drop=[w]", "ckpt=best")
    assert done.code == 0, done.err
    assert "left out, as the run's neurons had learned them: w" in done.out
    ((name, values),) = kept(run).items()
    assert name.startswith("deployed-best-lif-")
    assert values["deployed"]["dropped"] == ["w"]
    model = snnbench.load(run, checkpoint="best")
    for layer in model.layers.values():
        layer.step = LIF(tau=2.0, v_reset=-0.06).step
        layer.engine = "reference"
    assert accuracy(model) == pytest.approx(values["measured"]["test/acc"])


def test_what_another_class_learns_starts_as_its_config_says_or_not_at_all(command, run):
    done = command("eval", f"run={run}", "neuron=klif", "neuron.k=1.25", "drop=[w]")
    assert done.code == 0, done.err
    assert "not learned, but as the neuron's config starts them: k 1.25" in done.out
    (values,) = kept(run).values()
    assert values["deployed"]["initial"] == {"k": 1.25}
    random = command("eval", f"run={run}", "neuron=psn", "drop=[w]")
    assert random.code == 2
    assert "neuron=psn: its weight would start at random" in random.err


def test_the_runs_own_neuron_is_an_ordinary_evaluation(command, run):
    done = command("eval", f"run={run}", "neuron=plif")
    assert done.code == 0, done.err
    assert "is exactly the recorded one" in done.out
    assert kept(run) == {}
    assert json.loads((run / "eval-last.json").read_text())["same"] is True


MISTAKES = [
    (["neuron.v_thr=1"], "neuron.v_thr: the run's neuron, plif, has none. Did you mean 'v_th'?"),
    (["neuron=lfi"], "neuron=lfi"),
    (["neuron.T=8"], "neuron.T=8: is not for eval.py to say: the run has T="),
    (["+T=8"], "T: is not for eval.py to say: all but its own keys is the run's"),
    (["drop=[w]"], "drop=['w']: goes with another neuron"),
    (["neuron.v_th=0.4", "drop=[w]"], "drop=['w']: w is not left out. What is left out here: nothing."),
    (["neuron=relu", "drop=[w]"], "T=2: neuron=relu"),
    (["neuron.v_th=-1"], "neuron.v_th=-1"),
    (["row=clif/cifar10_resnet18_t6_deployed_hrad"], "Did you mean 'clif/cifar10_resnet18_t6_deployed_hard'"),
    ([f"row={ROW}"], "is measured on runs of clif/cifar10_resnet18_t6; this one is of no row"),
    ([f"row={ROW}", "neuron=lif"], "leave out neuron, or row"),
]


def test_what_makes_no_sense_is_refused(command, run):
    for words, said in MISTAKES:
        done = command("eval", f"run={run}", *words)
        assert (done.code, kept(run)) == (2, {}), words
        assert said in done.err, words


def test_the_commands_of_the_page(command, run):
    (title,) = (title for title in sections("runs.md") if title.startswith("Another neuron"))
    *free, of_row = sections("runs.md")[title].commands
    for words in free:
        done = command("eval", *(word.replace("RUN", str(run)) for word in words[2:]))
        assert done.code == 0, done.err
    assert of_row[-1] == f"row={ROW}"
    made_up_runs.edit(run, row={"id": "clif/cifar10_resnet18_t6"})
    done = command("eval", *(word.replace("RUN", str(run)) for word in of_row[2:]), "drop=[w]")  # it is no CLIF's
    assert done.code == 0, done.err
    values = kept(run)[deployed_file("best", choose_deployed(ROW).neuron)]
    assert (values["checkpoint"], values["deployed"]["row"]) == ("best", ROW)
    assert (values["deployed"]["neuron"]["v_th"], values["deployed"]["neuron"]["decay_input"]) == (1.06, False)


def test_the_table_shows_it_beside_what_is_reported_and_never_as_the_rows_own(tmp_path):
    """Two runs that count, one of which was measured so; and a file of another neuron under that name."""
    row, rows = choose_deployed(ROW), read_rows()[0]
    made = [made_up_runs.of_row(tmp_path, row.trained, [90.0, 91.0], seed=seed) for seed in (0, 1)]
    values = {"measured": {"test/acc": 77.25}, "deployed": {"neuron": row.neuron, "dropped": []}}
    (made[0] / deployed_file("best", row.neuron)).write_text(json.dumps(values))
    values["deployed"]["neuron"] = row.neuron | {"v_th": 0.5}
    (made[1] / deployed_file("best", row.neuron)).write_text(json.dumps(values))
    outcome = {row.trained: Outcome(row=rows[row.trained], counted=[read_run(folder) for folder in made])}
    table = deployed_table("clif", read_registry(), of_rows(rows, {ROW: row}), outcome)
    assert table.columns == ("row", "own neuron", "hard_m006")
    assert table.lines == [["cifar10_resnet18_t6", "95.41: 91.00 ± 0.00 (n=2)", "95.08: 77.25 (single seed)"]]
    assert table.summary.startswith("1 of 1 values measured here")


def test_tables_has_one_line_for_each_trained_row(tmp_path, capsys):
    assert tables(["clif/cifar10_resnet18_t6", str(tmp_path), "--format", "csv"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("clif,cifar10_resnet18_t6")]
    assert lines[-2:] == [
        "clif,cifar10_resnet18_t6,95.41,92.95,93.41,94.18,94.54,95.08,94.84,94.72",
        "clif,cifar10_resnet18_t6_lif,94.51,-,84.05,76.68,66.08,52.16,38.00,27.04",
    ]


def test_every_row_is_a_lif_of_the_authors():
    for row in read_deployed().values():
        options = {key: value for key, value in row.neuron.items() if key not in ("name", "engine")}
        neuron = instantiate(options)()
        assert type(neuron) is LIF
        assert (neuron.tau, neuron.decay_input, neuron.leak) == (2.0, False, None)
