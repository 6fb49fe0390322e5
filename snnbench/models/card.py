"""The model card of a run: what it is, what it reached, by what, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from snnbench import __version__
from snnbench.files import read_bytes
from snnbench.models.markdown import number, section, table
from snnbench.models.model import Model
from snnbench.official import curve_of
from snnbench.results import labels
from snnbench.results.outcomes import outcomes
from snnbench.results.rows import Row, read_registry, read_rows
from snnbench.results.selection import not_real, unfinished
from snnbench.runs import quantities
from snnbench.runs.curves import metrics
from snnbench.runs.fingerprint import digest
from snnbench.runs.quantities import CURVES, QUANTITIES
from snnbench.runs.read import Ledger, Run
from snnbench.runs.schema import EPOCH, METRICS, PROTOCOLS, RATE, TEST_ACC, protocol_label

SHOWN = 12  # epochs of the curve
UNKNOWN = "unknown"
LABELS = {"data": labels.data, "backbone": labels.backbone, "neuron": labels.neuron}


def card(run: Run, model: Model, checkpoint: str) -> str:
    """The card in Markdown, with the head that model hubs read.

    Args:
        run: the run, as it lies in its folder.
        model: the same, with the weights that are handed on.
        checkpoint: which of the run's they are.
    """
    name, row = str(run.config["name"]), read_rows()[0].get(run.row or "")
    parts = [
        f"---\n{yaml.safe_dump(_head(run, name), sort_keys=False, allow_unicode=True)}---\n\n# {name}\n",
        _what(run, model, checkpoint),
        section("Use", _use(run)),
        section("Numbers", _numbers(run)),
        section("The row of the paper", _row(run, row)) if row else "",
        section("Recipe", _recipe(run)),
        section("Curve", _curve(run)),
        section("Spikes", _spikes(run)),
        section("Energy", _energy(run)),
        section("Where it comes from", _provenance(run)),
    ]
    return "\n".join(part for part in parts if part)


def _head(run: Run, name: str) -> dict[str, Any]:
    kind = {"type": "image-classification"}
    named = {group: _name(run, group) for group in LABELS}
    data = {"type": named["data"], "name": labels.data(named["data"])}
    measured = [
        {"type": "accuracy", "name": f"test accuracy, {label}", "value": round(value, 4)}
        for protocol, label in PROTOCOLS.items()
        if (value := run.accuracy(protocol)) is not None
    ]
    found: dict[str, Any] = {"library_name": "snnbench", "pipeline_tag": kind["type"], "metrics": ["accuracy"]}
    spiking = ["spiking-neural-network"] if _spikes_at_all(run) else []
    found |= {"datasets": [named["data"]], "tags": [*spiking, named["neuron"], named["backbone"]]}
    if measured:
        found["model-index"] = [{"name": name, "results": [{"task": kind, "dataset": data, "metrics": measured}]}]
    return found


def _spikes_at_all(run: Run) -> bool:
    return _name(run, "neuron") not in labels.WITHOUT_SPIKES


def _what(run: Run, model: Model, checkpoint: str) -> str:
    named = {group: label(_name(run, group)) for group, label in LABELS.items()} | {"neuron": labels.neuron_of(run)}
    epoch = model.epoch or 0
    acc = run.curve.get(epoch)
    reached = f", {acc:.2f} % on the test set" if acc is not None else ""
    kind = "A network without spikes: {backbone} with {neuron}"
    if _spikes_at_all(run):
        kind = "A spiking network: {backbone} with {neuron} neurons and T = {T} timesteps"
    network = kind.format(**named, T=run.config["T"])
    lines = [
        f"{network}, trained on {named['data']} by snnbench {__version__}.",
        f"These are the weights of its {checkpoint} checkpoint: after epoch {epoch + 1} of {run.planned}{reached}.",
    ]
    doubts = [doubt for doubt in (unfinished(run), not_real(run)) if doubt]
    return "\n".join([*lines, *(f"**Not for comparison with others: {doubt}.**" for doubt in doubts), ""])


def _use(run: Run) -> str:
    size, channels = run.config["data"].get("image_size"), run.config["data"].get("in_channels")
    lines = [
        "```python", "import snnbench", "", 'model = snnbench.load("<this folder>")',
        f"logits = model.network(x)  # x [B, {channels}, {size}, {size}], or with T before B; logits [T, B, classes]",
        "classes = logits.mean(0).argmax(1)", "```", "",
        "`model.batches()` gives the test set as the network takes it. "
        "`model.safetensors` holds numbers alone, `config.yaml` what the network is built from.",
    ]  # fmt: skip
    own = sorted(target for target in run.code if not target.startswith("snnbench."))
    if own:
        lines.append(
            f"\nIt needs code that is not part of snnbench: {', '.join(f'`{target}`' for target in own)}. With that "
            "where Python finds it: `snnbench.load(..., trusted=True)`."
        )
    return "\n".join(lines)


def _numbers(run: Run) -> str:
    rows = []
    for quantity in quantities.shown("report"):
        value, epoch = quantity.of(run.result), quantity.epoch_of(run.result)
        if value is not None:
            rows.append((quantity.label, quantity.text(value) + (f" (epoch {epoch + 1})" if epoch is not None else "")))
    return table(("", ""), rows)


def _row(run: Run, row: Row) -> str:
    registry = read_registry()
    paper = registry.papers.get(row.paper, {})
    source = f"{registry.sources.get(row.source, row.source)}"
    reported = f"{row.acc:.2f} % ({protocol_label(row.protocol)}; {source})" if row.acc is not None else UNKNOWN
    own = run.accuracy(row.protocol)
    rows = [
        ("row", f"`{row.id}`"),
        ("paper", str(paper.get("title", row.paper)) + (f", arXiv {paper['arxiv']}" if paper.get("arxiv") else "")),
        ("reported", reported),
        ("this run", f"{own:.2f} % ({protocol_label(row.protocol)})" if own is not None else UNKNOWN),
        ("how well the recipe is known", f"{row.recipe}: {registry.recipes.get(row.recipe, '')}"),
        ("proof", str(row.proof) if row.proof else "nothing was compared with the authors' code"),
    ]
    if own is not None and row.acc is not None:
        rows.insert(4, ("difference", f"{own - row.acc:+.2f} percentage points, one seed"))
    against = [reason for _, reason in outcomes(Ledger([run]), {row.id: row})[row.id].left_out]
    rows.append(("counts for the row", f"no: {against[0]}" if against else "yes"))
    return table(("", ""), rows)


def _recipe(run: Run) -> str:
    cfg = run.config
    groups = {group: cfg.get(group) or {} for group in ("norm", "augment", "loss", "schedule", "optimizer", "trainer")}
    optimizer, trainer = groups.pop("optimizer"), groups.pop("trainer")
    rows = [
        ("data", f"{_name(run, 'data')}, split: {run.result.get('split') or UNKNOWN}"),
        *((group, node["name"]) for group, node in groups.items() if "name" in node),
        ("optimizer", ", ".join(f"{key} {value}" for key, value in optimizer.items() if _plain(key, value))),
        *((key, cfg[key]) for key in ("T", "seed", "epochs", "batch_size") if key in cfg),
        ("precision", trainer.get("precision")),
        ("neuron", ", ".join(f"{key} {value}" for key, value in cfg["neuron"].items() if _plain(key, value))),
        ("recipe", f"`{run.recipe}`, a hash of all that decides the numbers"),
    ]
    return table(("", ""), rows) + "\n\n`config.yaml` has all of it."


def _curve(run: Run) -> str:
    try:
        columns = metrics(read_bytes(run.folder / METRICS))
    except (OSError, ValueError):
        return ""
    epochs = [int(epoch) for epoch in columns[EPOCH]]
    if not epochs:
        return ""
    last = len(epochs) - 1
    chosen = sorted({round(place * last / min(SHOWN - 1, last or 1)) for place in range(min(SHOWN, last + 1))})
    keys = [key for key in CURVES if key in columns]
    official = curve_of(run.row)
    authors = official.columns.get(TEST_ACC, ()) if official else ()
    head = ["epoch", *(CURVES[key] for key in keys), *(["the authors' test accuracy, %"] if authors else [])]
    rows = []
    for place in chosen:
        cells = [number(columns[key][place]) for key in keys]
        epoch = epochs[place]
        beside = [f"{authors[epoch]:.2f}" if epoch < len(authors) else ""] if authors else []
        rows.append((epoch + 1, *cells, *beside))
    note = f"\n\nThe authors' curve: {official.source}." if official and authors else ""
    return table(head, rows) + f"\n\n`metrics.csv` has every epoch.{note}"


def _spikes(run: Run) -> str:
    found = run.result.get("layers")
    if not isinstance(found, Mapping) or not found:
        return ""
    names = list(dict.fromkeys(name for values in found.values() for name in values if name != RATE))
    head = ["layer", "spikes per neuron and timestep", *names]
    rows = [
        (f"`{labels.layer(layer)}`", *(number(values.get(name)) for name in (RATE, *names)))
        for layer, values in found.items()
    ]
    what = "On the test set, in the last epoch, from the input on; with what the neurons have learned."
    return f"{what}\n\n{table(head, rows)}"


def _energy(run: Run) -> str:
    rows = [
        (QUANTITIES[key].label, QUANTITIES[key].text(value))
        for key in ("accumulates", "multiply_accumulates", "energy", "ann_energy")
        if (value := QUANTITIES[key].of(run.result)) is not None
    ]
    if not rows:
        return ""
    spikes = " from the real spikes of the test set" if _spikes_at_all(run) else ""
    how = f"Counted layer by layer{spikes}; 0.9 pJ an accumulate and 4.6 pJ a "
    return f"{how}multiply-accumulate at 45 nm, nothing else.\n\n" + table(("", ""), rows)


def _provenance(run: Run) -> str:
    where = run.environment
    revision = f"`{where.get('revision')}`" + (", with changes" if where.get("dirty") else "")
    versions: Mapping[str, str] = where.get("versions") or {}
    files = (run.fingerprint or {}).get("files")
    code = ", ".join(f"{target.rpartition('.')[2]} {tag}" for target, tag in run.code.items())
    processor = f"{where.get('cpu', UNKNOWN)}, threads: {where.get('threads', UNKNOWN)}"
    rows = [
        ("command", f"`{run.command}`"),
        ("begun", run.started or UNKNOWN),
        ("code", revision if where.get("revision") else f"snnbench {versions.get('snnbench', UNKNOWN)}"),
        ("classes, with the revision or a digest of their source", code or UNKNOWN),
        ("data", f"{run.provenance}{f' ({run.doubt})' if run.doubt else ''}; digest {digest(files) or UNKNOWN}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or UNKNOWN),
        ("machine", ", ".join(map(str, where.get("gpus") or [])) or processor),
    ]
    return table(("", ""), rows)


def _name(run: Run, group: str) -> str:
    return str(run.config[group].get("name", UNKNOWN))


def _plain(key: str, value: Any) -> bool:
    return not str(key).startswith("_") and key != "engine" and isinstance(value, str | int | float | bool)
