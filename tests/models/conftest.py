"""A run, trained once."""

import shutil

import pytest

from tests.conftest import TINY

_trained = []


@pytest.fixture
def run(command, tmp_path, tmp_path_factory):
    """A finished run's folder, which the test may change."""
    if not _trained:
        done = command("train", *TINY, "threads=1", "neuron=plif")
        assert done.code == 0, done.err
        _trained.append(shutil.copytree(done.folder, tmp_path_factory.mktemp("trained") / "run"))
    return shutil.copytree(_trained[0], tmp_path / "run")
