"""The command as it is given: real runs of seconds, stopped and gone on with, and what is refused."""

import json
import re

import pytest
import torch

from scripts.bench import main
from snnbench.bench import cost
from snnbench.main import COMMANDS
from tests.conftest import CONFIGS
from tests.lab import Stop, stopped_by

SUITE = """
margin: 2.0
seeds: {least: 3, most: 4}
parts:
  - data: digits
    T: [2]
    samples: 256
    words: [data.limit=256, epochs=4, batch_size=32, backbone.width=4, optimizer.lr=0.02]
"""
SMALL = "backbone=convnet, backbone.width=2, batch_size=8"
CRIPPLED = "lif:v_th=1000"


@pytest.fixture
def bench(tmp_path, monkeypatch, capfd):
    """`bench("plif", ...)`: exit code, output and errors, in a folder with a suite of its own; outputs beside it."""
    (tmp_path / "configs" / "bench").mkdir(parents=True)
    (tmp_path / "configs" / "bench" / "mine.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("SNNBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(cost, "SECONDS", 0.05)
    threads = torch.get_num_threads()

    def run(*words):
        capfd.readouterr()
        try:
            code = main([*words, *([] if "--suite" in words else ["--suite", "mine"])])
        except SystemExit as error:
            code = error.code
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    yield run
    torch.set_num_threads(threads)


def results(folder):
    return {path.parent: json.loads(path.read_text()) for path in (folder / "outputs").glob("*/*/result.json")}


def test_a_crippled_rival_is_beaten_and_what_was_stopped_goes_on(bench, tmp_path):
    words = ("plif", "--against", CRIPPLED, "threads=1")
    with stopped_by(Stop(2, interrupt=True)):
        code, _, err = bench(*words)
    assert code == 130
    assert "The same command goes on" in err
    assert [one["status"] for one in results(tmp_path).values()] == ["interrupted"]

    code, out, err = bench(*words)
    assert code == 0, err
    assert re.search(r"^digits: seed 3 of at most 4, 2 neurons, at most about .* left; PLIF$", err, re.M)
    assert "PLIF is better than LIF (v_th 1000) on digits (data.limit=256), +" in " ".join(out.split())
    assert max(map(len, out.splitlines()[:-8])) <= 80
    found = results(tmp_path)
    assert sorted((one["neuron"], one["seed"], one["status"]) for one in found.values()) == [
        (neuron, seed, "finished") for neuron in ("lif", "plif") for seed in range(3)
    ]
    folder = tmp_path / "outputs" / "bench" / "mine-plif-lif_v_th=1000"
    record = json.loads((folder / "bench.json").read_text())
    (verdict,) = record["verdicts"]
    assert (verdict["verdict"], verdict["n"]) == ("better", 3)
    accuracies = {one["neuron"]: one["last_epoch"] for one in record["runs"]}
    by_hand = [a - b for a, b in zip(accuracies["PLIF"], accuracies["LIF (v_th 1000)"], strict=True)]
    assert list(verdict["differences"].values()) == pytest.approx(by_hand)
    assert "the same first weights (at least 20 tensors" in record["notes"][1]
    assert all(one["step"]["seconds"] > 0 and one["step"]["kept"] > 0 for one in record["runs"])

    times = {path: (path / "result.json").stat().st_mtime_ns for path in found}
    assert bench(*words)[0] == 0
    assert {path: (path / "result.json").stat().st_mtime_ns for path in results(tmp_path)} == times


def test_a_plan_trains_nothing(bench, tmp_path):
    code, out, err = bench("lif", "--plan", "epochs=2")
    assert code == 0, err
    assert "digits: convnet, T=2, 2 epochs, 1 run a seed, 3 to 4 seeds; about " in out
    assert not (tmp_path / "outputs").exists()


def test_a_plan_says_which_data_is_not_there_and_fetches_none(bench, tmp_path, monkeypatch):
    def fetched(*_, **__):
        raise AssertionError("a plan fetches nothing")

    monkeypatch.setattr("urllib.request.urlopen", fetched)
    more = "".join(f"  - {{data: {name}, T: [2], samples: 64, words: [{SMALL}]}}\n" for name in ("mnist", "cifar10"))
    (tmp_path / "configs" / "bench" / "mine.yaml").write_text(SUITE + more)
    code, out, err = bench("lif", "--plan", "epochs=2")
    assert code == 0, err
    assert [line.split(":")[0] for line in out.splitlines()] == ["digits", "mnist", "cifar10", "all"]
    assert re.findall(r"^not here yet, (\w+): no data in ", err, re.M) == ["mnist", "cifar10"]
    assert not (tmp_path / "data").exists()


def test_all_that_is_missing_is_named_at_once(bench, tmp_path):
    more = "".join(f"  - {{data: {name}, T: [2], samples: 64, words: [{SMALL}]}}\n" for name in ("mnist", "cifar10"))
    (tmp_path / "configs" / "bench" / "mine.yaml").write_text(SUITE.partition("  - data")[0] + more)
    code, out, err = bench("lif", "data.download=false")
    assert (code, out) == (2, "")
    assert len(re.findall("no data in ", err)) == 2


def test_weights_that_runs_begin_with_are_known_by_their_digest(tmp_path):
    from snnbench.bench.jobs import composed
    from snnbench.bench.pairing import shared
    from snnbench.training.build import build_network

    words = ("data=digits", "T=1", "backbone.width=2", "neuron=lif")
    state = {name: torch.full_like(tensor, 7) for name, tensor in build_network(composed(words)).state_dict().items()}
    torch.save(state, tmp_path / "sevens.pt")
    cfg = composed([*words, f"weights={tmp_path / 'sevens.pt'}"])
    assert len(cfg.weights.digest) == 16
    assert shared(cfg, cfg).different == ()
    assert shared(cfg, composed(words)).equal == ()


def test_a_neuron_against_itself_is_no_different_also_without_data_that_is_not_there(bench, tmp_path):
    more = "  - {data: mnist, T: [2], samples: 60000, words: [data.download=false], optional: true}\n"
    (tmp_path / "configs" / "bench" / "mine.yaml").write_text(SUITE + more)
    code, out, err = bench("lif", "epochs=1", "threads=1")
    assert code == 0, err
    said = " ".join(out.split())
    assert "no difference between LIF and LIF was found on digits (data.limit=256); any is smaller than " in said
    assert len(results(tmp_path)) == 3
    assert "without mnist: " in err
    assert "without mnist: " in said
    assert "over all" not in out


def test_what_fails_is_named(bench):
    code, _, err = bench("plif", "--against", "lif", "optimizer=sgd", "optimizer.lr=1e30", "threads=1", "epochs=1")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: data=digits neuron=plif ")
    assert "no result of T=2 seed=0, " in err
    assert "retry=failed" in err


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["plfi"], "no neuron is called 'plfi'. Did you mean 'plif'?"),
        (["plif", "--against", "lif,klfi"], "Did you mean 'klif'?"),
        (["plif", "--against", "lif,lif"], "LIF stands there twice"),
        (["plif:tau"], "'tau' is no option of a neuron"),
        (["plif:tua=3"], "tua"),
        (["plif:tau=-3"], "neuron.tau=-3"),
        (["plif", "--suite", "tny"], "Did you mean 'tiny'?"),
        (["plif", "--most", "2"], "--most=2: must be a whole number"),
        (["plif", "--most", "1000000"], "from 3 to 100"),
        (["plif", "--margin", "-1"], "--margin=-1"),
        (["plif", "weights=nowhere.pt"], "weights=nowhere.pt"),
        (["plif", "++T=4"], "++T=4: is chosen by NEURON"),
        (["plif", "++seed=3"], "++seed=3: is chosen by NEURON"),
        (["plif", "=3"], "=3: is no override"),
        (["plif", "debug=fast"], "makes runs that never count"),
        (["plif", "lr_find=true"], "trains nothing"),
        (["plif", "+sweep=comparison"], "+sweep=comparison: is a sweep"),
        (["plif", "hydra/launcher=joblib"], "trains its runs itself"),
        (["plif", "hydra.run.dir=x"], "trains its runs itself"),
        (["plif", "lif"], "lif: is no override"),
        (["plif", "neuron=lif"], "neuron=lif: is chosen by NEURON"),
        (["plif", "epochs=1,2"], "epochs=1,2: is a sweep"),
        (["plif", "epohcs=1"], "Did you mean 'epochs'?"),
        (["plif", "optimizer.lr=-1"], "optimizer.lr=-1"),
        (["plif", "--suite", "broken"], "prats: there is no such key. Did you mean 'parts'?"),
        (["plif", "--suite", "elsewhere"], "MNIST"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_done(bench, tmp_path, words, needle):
    suites = tmp_path / "configs" / "bench"
    (suites / "broken.yaml").write_text(SUITE.replace("parts", "prats"))
    (suites / "elsewhere.yaml").write_text(SUITE.replace("data: digits", "data: mnist") + "    optional: true\n")
    code, out, err = bench(*words, *(["data.download=false"] if "elsewhere" in words else []))
    assert (code, out) == (2, "")
    assert needle in err, err
    assert "Traceback" not in err
    assert not (tmp_path / "outputs").exists()


def test_the_command_is_one_of_snnbench():
    assert COMMANDS["bench"][0] == "scripts/bench.py"


@pytest.mark.parametrize("suite", sorted(path.stem for path in (CONFIGS / "bench").glob("*.yaml")))
def test_every_suite_reads_and_its_runs_compose(suite):
    from snnbench.bench.contestants import contestant
    from snnbench.bench.jobs import composed, words_of
    from snnbench.bench.suites import read_suite

    found = read_suite(suite)
    assert 3 <= found.least <= found.most
    for part in found.parts:
        cfg = composed([*words_of(part, contestant("plif"), []), f"T={part.steps[0]}"])
        assert (cfg.data.name, cfg.neuron.name, cfg.T) == (part.data, "plif", part.steps[0])
