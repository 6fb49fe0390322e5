"""What TensorBoard and MLflow are told, read back by their own readers; several loggers at once; none."""

import pytest
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from snnbench.training.loggers import nodes
from tests.conftest import TINY, read_csv
from tests.test_configs import compose

WORDS = (*(word for word in TINY if word != "logger=none"), "threads=1", "neuron=plif")


def events(folder) -> EventAccumulator:
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    return found.Reload()


def test_tensorboard_has_curves_layers_and_the_options_with_the_metrics_beside_them(command):
    done = command("train", *WORDS)
    assert done.code == 0, done.err
    found = events(done.folder)
    tags = set(found.Tags()["scalars"])
    assert {f"firing_rate/{layer}" for layer in done.result()["layers"]} <= tags
    rows = read_csv(done.folder / "metrics.csv")
    assert [event.value for event in found.Scalars("test/acc")] == pytest.approx(
        [float(row["test/acc"]) for row in rows]
    )

    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    options = HParamsPluginData.FromString(content).session_start_info.hparams
    assert options["optimizer.lr"].number_value == 0.005
    assert options["neuron.name"].string_value == "plif"
    assert options["seed"].number_value == 0
    content = found.SummaryMetadata("_hparams_/experiment").plugin_data.content
    shown = {info.name.tag for info in HParamsPluginData.FromString(content).experiment.metric_infos}
    assert shown <= tags
    assert "test/acc" in shown


def test_several_loggers_go_together_and_each_is_told(command, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    done = command("train", *WORDS, "logger=[tensorboard,wandb]")
    assert done.code == 0, done.err
    assert len(events(done.folder).Scalars("test/acc")) == 2
    assert list(done.folder.glob("wandb/offline-run-*/*.wandb"))


def test_csv_and_none_are_the_files_that_each_run_has(command):
    for name in ("csv", "none"):
        done = command("train", *WORDS, f"logger={name}", f"name={name}")
        assert done.code == 0, done.err
    for folder in done.folders:
        assert len(read_csv(folder / "metrics.csv")) == 2
        assert not (folder / "tensorboard").exists()


def test_the_logger_of_an_older_run_stands_alone():
    assert list(nodes(OmegaConf.create({"logger": {"_target_": "a.B", "name": "x"}}))) == ["logger"]
    assert list(nodes(compose("logger=[tensorboard,wandb]"))) == ["logger.tensorboard", "logger.wandb"]
    assert nodes(compose("logger=[tensorboard,wandb]", "logger.wandb=null")).keys() == {"logger.tensorboard"}
    assert nodes(OmegaConf.create({"logger": None})) == nodes(compose("logger=none")) == {}


def test_mlflow_keeps_options_and_curves(command):
    mlflow = pytest.importorskip("mlflow")
    done = command("train", *WORDS, "logger=mlflow")
    assert done.code == 0, done.err
    client = mlflow.MlflowClient(f"sqlite:///{done.outputs}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("snnbench").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer/lr"] == "0.005"
    values = [metric.value for metric in client.get_metric_history(run.info.run_id, "test/acc")]
    assert values == pytest.approx([float(row["test/acc"]) for row in read_csv(done.folder / "metrics.csv")])


def test_without_mlflow_nothing_begins(command, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "mlflow" else found(name, *rest)
    )
    done = command("train", "-m", *WORDS, "logger=mlflow", "seed=0,1")
    assert done.code == 2
    assert "pip install mlflow" in done.err
    assert "no job was started" in done.err
    assert not done.outputs.exists()
