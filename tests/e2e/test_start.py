"""The start: what is imported when, and that the help helps."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


def python(*words: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    "words", [["--help"], ["--help", "rows"], ["--cfg", "job"], ["neuron=dalif", "data=cifar100", "--cfg", "job"]]
)
def test_help_and_config_import_no_torch(words):
    done = python("-X", "importtime", "train.py", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported
    assert not imported & {"torch", "lightning", "torchvision", "wandb", "tonic", "timm"}


def test_help_shows_groups_and_examples():
    done = python("train.py", "--help")
    assert done.returncode == 0
    for text in ("spiking neuron: dalif, arlif", "resume=", "neuron=dalif data=cifar100 T=2"):
        assert text in done.stdout


def test_the_readmes_command_needs_no_further_argument():
    done = python("train.py", "neuron=dalif", "data=cifar100", "T=2", "--cfg", "job", "--resolve")
    assert done.returncode == 0
    for line in ("name: cifar100-resnet20-dalif-T2", "epochs: 400", "batch_size: 128"):
        assert line in done.stdout


def test_importing_the_package_imports_nothing_heavy():
    done = python("-c", "import sys, snnbench, snnbench.config, snnbench.cli; print('torch' in sys.modules)")
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_while_libraries_are_imported_is_an_interruption(tmp_path, script, number):
    (tmp_path / "hydra.py").write_text(f"import os, signal, time; os.kill(os.getpid(), signal.{number}); time.sleep(5)")
    done = python(script, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_neurons_need_nothing_but_torch():
    """A machine with a GPU may lack Hydra, tonic and wandb; the network and the kernels must work there."""
    code = (
        "import sys\n"
        "for name in ('hydra', 'omegaconf', 'tonic', 'wandb', 'timm', 'sklearn', 'cupy'): sys.modules[name] = None\n"
        "import torch; from snnbench.neurons import DALIF; import snnbench.backbones, snnbench.kernels, snnbench.data\n"
        "print(DALIF()(torch.ones(4, 2, 3)).sum().item())"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def test_results_are_read_without_torch_and_without_training():
    code = (
        "import importlib, pathlib, sys\n"
        "parts = [*pathlib.Path('snnbench/results').rglob('*.py'), pathlib.Path('snnbench/runs/read.py')]\n"
        "parts += [pathlib.Path(f'scripts/{name}.py') for name in ('tables', 'compare', 'dashboard', 'figures')]\n"
        "for part in parts: importlib.import_module('.'.join(part.with_suffix('').parts).removesuffix('.__init__'))\n"
        "heavy = ('torch', 'lightning', 'snnbench.training')\n"
        "print(len(parts), [name for name in sys.modules if name.startswith(heavy)])"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    count, found = done.stdout.strip().split(" ", 1)
    assert int(count) > 15
    assert found == "[]"
