"""Where a config alone says that not all of the published data is used, or that nobody has proved what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snnbench.runs.recipe import OWN, lookup

LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches")


def parts_of(config: Mapping[str, Any]) -> str:
    """The keys by which a run sees a part of its data only, with their values; empty where it sees all of it.

    One of `debug` is never taken to see all of it, whatever else it was given.

    A limit in batches counts even where there are fewer batches than that: a whole pass needs none.
    """
    return ", ".join(f"{key}={value}" for key, value in _parts(config))


def _parts(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if lookup(config, "debug"):
        yield "debug", lookup(config, "debug")
    for name in LIMITS:
        value = lookup(config, f"trainer.{name}")
        if value is not None and not (isinstance(value, float) and value == 1.0):
            yield f"trainer.{name}", value
    for name in ("overfit_batches", "fast_dev_run"):
        value = lookup(config, f"trainer.{name}")
        if value:
            yield f"trainer.{name}", value
    if lookup(config, "data.limit") is not None:
        yield "data.limit", lookup(config, "data.limit")
    if lookup(config, "data.subset"):
        yield "data.subset", "true"


def took_others(config: Mapping[str, Any]) -> str:
    """Why a run of this config, of before data was fingerprinted, was on other samples; empty where it was not."""
    limit, target = lookup(config, "data.limit"), str(lookup(config, "data._target_"))
    if limit is None or target.rpartition(".")[2] != "ImageData":
        return ""
    return f"data.limit={limit} took the first samples then, and takes the classes in turn now"


def believable(config: Mapping[str, Any], said: str) -> tuple[str, str]:
    """The provenance of a run of before data was fingerprinted, and what speaks against the one that it `said`.

    "real" is left to runs on whole data of this project's own classes, which compared checksums or, of ImageNet and
    Tiny-ImageNet, counts. Others said so unasked: it was what a class that says nothing inherited.
    """
    if said != "real":
        return said, ""
    parts = parts_of(config)
    if parts:
        return "subset", parts
    source = lookup(config, "data.source")
    for node in (lookup(config, "data"), source, lookup(config, f"data.sources.{source}")):
        target = node.get("_target_") if isinstance(node, Mapping) else None
        if target is not None and not str(target).startswith(f"{OWN}."):
            return "unverified", f"{target} proved nothing"
    return said, ""
