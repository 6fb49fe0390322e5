"""Configs that one command composes again and again."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException

from snnbench.config import register_schema
from snnbench.sweep import composing_once


def test_a_file_that_changes_is_parsed_again_and_what_is_composed_is_nobody_elses(tmp_path):
    register_schema()
    (tmp_path / "one.yaml").write_text("a: 1\nb: [1]")
    with composing_once(), initialize_config_dir(str(tmp_path), version_base="1.3"):
        first = compose("one")
        first.a, first.b[0] = 5, 7
        assert compose("one") == {"a": 1, "b": [1]}
        (tmp_path / "one.yaml").write_text("a: 20\nb: []")
        assert compose("one") == {"a": 20, "b": []}
        (tmp_path / "one.yaml").unlink()
        with pytest.raises(MissingConfigException):
            compose("one")
