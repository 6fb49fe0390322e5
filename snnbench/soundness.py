"""What makes no sense in any config, or in any run of Lightning's trainer; found before torch is imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from snnbench.check import LARGEST_WHOLE, choice, count, flag, number, shown
from snnbench.errors import UserError
from snnbench.registry import class_of

STOP_EARLIER = "Use epochs=..., or trainer.limit_train_batches for shorter epochs."
OURS = (
    *("callbacks", "plugins", "logger", "use_distributed_sampler", "num_sanity_val_steps", "default_root_dir"),
    *("enable_progress_bar", "enable_model_summary"),
)
ANYTHING = {"row", "logger"}  # what stands in these, a run does not compute with
LONGEST_NAME = 200
CONVERT = ("none", "partial", "object", "all")


def check_numbers(config: Mapping[str, Any]) -> None:
    """Refuse numbers that are none anywhere in a resolved config: what no constructor has refused, saying more.

    Raises:
        UserError: names the key.
    """
    for key, value in _leaves("", config):
        if key.partition(".")[0] in ANYTHING:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{key}={value}: must be finite.")
        if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
            raise UserError(f"{key}={shown(value)}: is too large for any number here.")


def check_technical(config: Mapping[str, Any]) -> None:
    """Refuse what Hydra's own keys do not take, anywhere in a resolved config.

    Raises:
        UserError: names the key.
    """
    for key, value in _leaves("", config):
        last = key.rpartition(".")[2]
        if last == "_partial_" or last == "_recursive_":
            flag(key, value)
        elif last == "_convert_":
            choice(key, value, CONVERT)
        elif last == "_target_" and not (isinstance(value, str) and value):
            raise UserError(f"{key}={shown(value)}: must be the path of a class, such as torch.optim.SGD.")
        elif isinstance(value, str) and "\0" in value:
            raise UserError(f"{key}={shown(value)}: has a character that no file or name can hold.")


def check_cuda_graph(config: Mapping[str, Any]) -> None:
    """Refuse a replay of what one cannot repeat.

    Raises:
        UserError: names the key.
    """
    if not flag("cuda_graph", config.get("cuda_graph", False)):
        return
    parts = config["trainer"].get("accumulate_grad_batches", 1)
    if config["compile"]:
        raise UserError("cuda_graph=true and compile=true: a network is recorded or compiled. Take one of them.")
    if config["trainer"].get("detect_anomaly"):
        raise UserError("cuda_graph=true: trainer.detect_anomaly=true looks at each number, which no recording allows.")
    if parts != 1:
        raise UserError(
            "cuda_graph=true: a replay overwrites the gradients that "
            f"trainer.accumulate_grad_batches={parts} would add to. Take one of them."
        )


def check_frames(config: Mapping[str, Any]) -> None:
    """Refuse a training with fewer frames than T where something learns a number of each timestep.

    Raises:
        UserError: names the key.
    """
    frames = config["data"].get("train_frames")
    if frames is None or frames == config["T"]:
        return
    backbone = config["backbone"]
    fixed = {
        "neuron": "T" in config["neuron"],
        "norm": "T" in config["norm"],
        "backbone": bool(backbone.get("step_offset") or backbone.get("attention")),
    }
    for group, learns in fixed.items():
        if learns:
            raise UserError(
                f"data.train_frames={shown(frames)}: {group}={config[group].get('name')} learns a number of each of "
                f"{config['T']} timesteps. Set data.train_frames=null."
            )


def check_name(key: str, value: Any) -> None:
    """A group's `name`: what tables, figures and the run's folder call it."""
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
        raise UserError(f"{key}={shown(value)}: must be a name, of letters on one line.")


def check_path(key: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{key}={shown(value)}: must be a folder's path; quote one that is a number.")


def _leaves(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), value)
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from _leaves(f"{prefix}[{place}]", value)
    else:
        yield prefix, node


AVERAGES = ("WeightAveraging", "EMAWeightAveraging", "SWA")
UNFIT = {
    "Timer": f"a Timer ends an epoch in its middle. {STOP_EARLIER}",
    "GradientAccumulationScheduler": "batches would be shown again. Use trainer.accumulate_grad_batches.",
    "StochasticWeightAveraging": "trains one epoch more than epochs=..., without its evaluation. Use callbacks=swa.",
    "LearningRateFinder": "changes the learning rate that the config says. Use lr_find=true, then that learning rate.",
    "BatchSizeFinder": "changes the batch size that the config says. Use batch_size.",
}
"""Callbacks of Lightning after which a run is not the one of its config, or does not end between two epochs."""


def check_callback(key: str, options: Any) -> None:
    """Refuse a callback that does not fit into a run, or an option of one.

    Raises:
        UserError: names the key, and what to take instead.
    """
    name = class_of(options)
    if name in UNFIT:
        raise UserError(f"{key}: {UNFIT[name]}")
    if name == "ModelCheckpoint":
        check_checkpoint(key, options)
    if name == "EMAWeightAveraging" and options.get("update_starting_at_epoch") is not None:
        raise UserError(f"{key}.update_starting_at_epoch: comes after an epoch's evaluation. Use update_every_n_steps.")
    if name == "EMAWeightAveraging":  # which would never begin to average with 0, and evaluate the first weights
        count(f"{key}.update_every_n_steps", options.get("update_every_n_steps", 1))
    if name == "EarlyStopping":
        count(f"{key}.patience", options.get("patience", 3), 0)


def check_averages(callbacks: Mapping[str, Any]) -> None:
    """Refuse more than one mean of the weights: each would take the other's for the weights."""
    found = [key for key, node in callbacks.items() if class_of(node) in AVERAGES]
    if len(found) > 1:
        raise UserError(f"callbacks={','.join(found)}: only one of them can average the weights. Choose one.")


def check_checkpoint(key: str, options: Any) -> None:
    """Refuse options of Lightning's ModelCheckpoint that it would find out about at the end of an epoch, or never."""
    count(f"{key}.save_top_k", options.get("save_top_k", 1), -1, hint="-1 keeps all, 0 none.")
    count(f"{key}.every_n_epochs", options.get("every_n_epochs"), also=(None,))
    count(f"{key}.every_n_train_steps", options.get("every_n_train_steps"), also=(None,))
    choice(f"{key}.mode", options.get("mode", "min"), ("min", "max"))
    for name in ("save_on_train_epoch_end", "save_last", "save_weights_only", "auto_insert_metric_name", "verbose"):
        if options.get(name) is not None and options[name] != "link":
            flag(f"{key}.{name}", options[name])
    for name in ("filename", "monitor", "dirpath"):
        if options.get(name) is not None:
            check_name(f"{key}.{name}", options[name])


def check_trainer(trainer: Mapping[str, Any], epochs: int) -> None:
    """Refuse what ends or measures a training in another way than its config says, and what Lightning would refuse.

    Args:
        trainer: the group.
        epochs: of the run.

    Raises:
        UserError: names the key.
    """
    for key in ("max_time", "fast_dev_run"):
        if trainer.get(key):
            raise UserError(f"trainer.{key}={trainer[key]}: would end training within an epoch. {STOP_EARLIER}")
    for key in OURS:
        if key in trainer:
            raise UserError(f"trainer.{key}: is set here and would have no effect. Leave it out.")
    every = trainer.get("val_check_interval")
    if every is not None and not (isinstance(every, float) and every == 1.0):
        raise UserError(
            f"trainer.val_check_interval={every}: an epoch is evaluated at its end, so that the "
            "last one's accuracy is that of the trained network. Use trainer.check_val_every_n_epoch."
        )
    if trainer.get("max_steps", -1) != -1:
        raise UserError(f"trainer.max_steps={trainer['max_steps']}: set epochs=... instead; schedules follow it.")
    _check_sizes(trainer)
    every = trainer["check_val_every_n_epoch"]
    if epochs % every:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: must divide epochs={epochs}, "
            "so that the last epoch is evaluated."
        )


def _check_sizes(trainer: Mapping[str, Any]) -> None:
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch", "num_nodes"):
        count(f"trainer.{key}", trainer.get(key, 1))
    for key in ("limit_train_batches", "limit_val_batches"):
        _share(f"trainer.{key}", trainer.get(key, 1.0))
    number("trainer.gradient_clip_val", trainer.get("gradient_clip_val"), "(0, inf)", also=(None,))
    if trainer.get("gradient_clip_algorithm") is not None:
        choice("trainer.gradient_clip_algorithm", trainer["gradient_clip_algorithm"], ("norm", "value"))
    for key in ("deterministic", "benchmark"):
        if trainer.get(key) is not None and not (key == "deterministic" and trainer[key] == "warn"):
            flag(f"trainer.{key}", trainer[key])
    if not isinstance(trainer.get("strategy", "auto"), Mapping):
        check_name("trainer.strategy", trainer.get("strategy", "auto"))
    if not isinstance(trainer.get("accelerator", "auto"), Mapping):
        choice("trainer.accelerator", trainer.get("accelerator", "auto"), ("auto", "cpu", "gpu", "cuda", "mps", "tpu"))
    _check_devices(trainer.get("devices", 1))


def _check_devices(devices: Any) -> None:
    if isinstance(devices, list | tuple):
        for place, device in enumerate(devices):
            count(f"trainer.devices[{place}]", device, 0)
        if not devices:
            raise UserError("trainer.devices=[]: must name at least one device.")
    elif not (isinstance(devices, str) and devices.replace(",", "").replace(" ", "").isdigit()):
        count("trainer.devices", devices, also=("auto", -1), hint="Or a list of their numbers.")


def _share(key: str, value: Any) -> None:
    """Batches of an epoch: a whole number of them, or a share."""
    if isinstance(value, float):
        number(key, value, "(0, 1]", hint="A whole number counts batches.")
    else:
        count(key, value, hint="A share is a number in (0, 1], such as 0.5.")
