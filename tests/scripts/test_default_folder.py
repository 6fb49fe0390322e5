"""What reads runs looks where train.py leaves them: $SNNBENCH_OUTPUTS moves both."""

import pytest

from scripts import compare, dashboard, figures, sync_wandb, tables

READERS = {script.__name__: script for script in (compare, dashboard, figures, sync_wandb, tables)}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("given", ["elsewhere", None])
def test_without_a_folder_it_is_that_of_the_environment(name, given, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    if given is None:
        monkeypatch.delenv("SNNBENCH_OUTPUTS", raising=False)
    else:
        monkeypatch.setenv("SNNBENCH_OUTPUTS", given)
    assert READERS[name].main([]) == 2
    assert f"{given or 'outputs'}: there is no such folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
