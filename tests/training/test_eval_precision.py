"""Evaluation in float32 beside training in mixed precision, as much published code does it."""

import hydra
import pytest
import torch

from snnbench import config
from snnbench.errors import UserError
from snnbench.training import build
from tests.configs.test_rows import ROWS
from tests.conftest import CONFIGS, TINY
from tests.rows import compose as compose_row


def compose(*words):
    config.register_schema()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = hydra.compose("train", [*TINY, "epochs=1", "engine=reference", "trainer.accelerator=cpu", *words])
    config.check(cfg)
    return cfg


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trainer.precision=bf16-mixed"], torch.bfloat16),
        (["trainer.precision=bf16-mixed", "eval_precision=32-true"], torch.float32),
        (["eval_precision=32-true"], torch.float32),
    ],
)
def test_precision_of_training_and_of_evaluation(words, expected, tmp_path):
    cfg = compose(f"paths.output_dir={tmp_path}", *words)
    data = build.build_data(cfg)
    module = build.build_module(cfg, build.build_network(cfg), data)
    seen = {True: set(), False: set()}
    module.network.register_forward_hook(lambda network, _inputs, logits: seen[network.training].add(logits.dtype))
    build.build_trainer(cfg).fit(module, datamodule=data)
    assert seen[True] == {torch.bfloat16 if "trainer.precision=bf16-mixed" in words else torch.float32}
    assert seen[False] == {expected}
    assert all(p.dtype == torch.float32 for p in module.network.parameters())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["eval_precision=half"], r"eval_precision=half: must be 32-true, or null"),
        (["eval_precision=32-true", "trainer.precision=64-true"], r"does not go with trainer.precision=64-true"),
    ],
)
def test_other_precisions_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        compose(*words)


@pytest.mark.parametrize("row", ROWS)
def test_rows_evaluate_as_their_authors_code_does(row):
    """Autocast in training only, or, as in FSTA-SNN's code (DA-LIF's rows) and timm's for still images, in both."""
    cfg = compose_row(row)
    alone = ("clif", "arlif", "psn", "chwpsn", "sew", "sakd", "sltt", "glif")
    alone += ("spikformer", "spikingformer", "qkformer") if "EventData" in cfg.data._target_ else ()
    float32 = cfg.trainer.precision == "16-mixed" and cfg.row.paper in alone and not cfg.backbone.name.startswith("sdt")
    assert cfg.eval_precision == ("32-true" if float32 else None)
