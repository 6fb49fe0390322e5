"""The package, installed somewhere else: everything that a checkout does, from any folder."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import CONFIGS, ROOT, TINY

pytest.importorskip("setuptools", minversion="77")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package as pip installs it from the sources alone, offline."""
    folder = tmp_path_factory.mktemp("installed")
    sources = folder / "sources"
    named = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in named.stdout.splitlines():
        if name.startswith(("snnbench/", "configs/", "scripts/")) or "/" not in name:
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, sources / name)
    words = ["install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir", "--target"]
    subprocess.run([sys.executable, "-m", "pip", *words, folder / "site", sources], check=True, cwd=folder)
    return folder / "site"


@pytest.fixture
def snnbench(installed, tmp_path):
    """Calls the installed command from an empty folder."""
    environ = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    for name in ("SNNBENCH_OUTPUTS", "SNNBENCH_DATA"):
        environ.pop(name, None)

    def call(*words):
        command = [sys.executable, installed / "bin" / "snnbench", *words]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)

    return call


def test_all_configs_and_all_files_of_the_package_are_there(installed):
    ours, theirs = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.suffix in (".yaml", ".json")}
        for top in (CONFIGS, installed / "snnbench" / "home" / "configs")
    )
    assert ours == theirs
    kinds = (".py", ".h", ".cpp", ".cu", ".html", ".css", ".js", ".json", ".typed", ".txt")
    files = (path.relative_to(ROOT) for path in (ROOT / "snnbench").rglob("*") if path.suffix in kinds)
    assert [path for path in files if not (installed / path).is_file()] == []


@pytest.mark.slow
def test_a_project_of_two_files_trains_is_measured_and_shown(snnbench, tmp_path):
    (tmp_path / "configs" / "neuron").mkdir(parents=True)
    (tmp_path / "my_neuron.py").write_text("from snnbench.neurons import LIF\n\n\nclass Mine(LIF):\n    pass\n")
    config = "name: mine\n_target_: my_neuron.Mine\n_partial_: true\ntau: 3.0\nengine: ${engine}\n"
    (tmp_path / "configs" / "neuron" / "mine.yaml").write_text(config)
    done = snnbench("train", "neuron=mine", *TINY)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs").glob("*/*")
    assert '"snnbench train neuron=mine' in (run / "environment.jsonl").read_text()
    measured = snnbench("eval", f"run={run}")
    assert "exactly the recorded one" in measured.stdout, measured.stderr
    tables = snnbench("tables", "dalif", "outputs")
    assert "cifar100" in tables.stdout, tables.stderr
    assert snnbench("dashboard", "outputs").returncode == 0
    assert "mine" in (tmp_path / "outputs" / "dashboard.html").read_text()


def test_help_and_tables_import_nothing_heavy(installed, tmp_path):
    code = """
        import sys
        from snnbench.main import main
        codes = [main(["--help"]), main(["--version"]), main(["tables", "--help"]), main(["tabels"])]
        print(codes, [name for name in ("torch", "lightning", "hydra") if name in sys.modules])
    """
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 2] []", done
    assert "usage: snnbench tables" in done.stdout
    assert "Did you mean 'tables'?" in done.stderr
