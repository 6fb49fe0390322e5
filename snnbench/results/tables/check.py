"""Does what was reproduced agree with what was reported?"""

from __future__ import annotations

from snnbench.config import compose_row
from snnbench.official import curve_of
from snnbench.results.outcomes import Compose, Outcome, Spread
from snnbench.results.rows import Row
from snnbench.results.selection import choose, not_real
from snnbench.runs.code import row_recipe
from snnbench.runs.read import Run
from snnbench.runs.schema import protocol_label

AGREES, DIFFERS, NOTHING = 0, 1, 2


def check_row(outcome: Outcome) -> tuple[int, str]:
    """Compare the mean over the finished seeds with the reported accuracy, under the paper's protocol.

    Returns:
        Exit code 0 within the row's tolerance, 1 outside, 2 nothing to compare; and what to print.
    """
    row = outcome.row
    if row.acc is None:
        return NOTHING, f"{row.id}: no accuracy is known for this row (configs/experiment/{row.id}.yaml)."
    spread = outcome.reproduced
    if spread is None:
        left_out = [f"  {run.folder}: {why}" for run, why in outcome.left_out]
        return NOTHING, "\n".join([f"{row.id}: no finished run to compare.{_hint(row)}", *left_out])
    protocol = protocol_label(row.protocol)
    if row.protocol == "unknown":
        protocol = "last epoch, since the paper's protocol is not known"
    return _verdict(f"{row.id} ({protocol})", spread, row.acc, row.tolerance)


def check_milestone(outcome: Outcome, epochs: int, compose: Compose = compose_row) -> tuple[int, str]:
    """Compare the test accuracy after so many epochs with the authors' log.

    Every run of the row's recipe on the real data that got so far is taken, one for each seed: also one that was
    stopped there, or that planned fewer epochs under the learning rates of the whole.

    Returns:
        As `check_row`.
    """
    row, epoch = outcome.row, epochs - 1
    if epoch not in row.milestones:
        known = ", ".join(str(known + 1) for known in sorted(row.milestones)) or "none"
        return NOTHING, f"{row.id}: no milestone is known after {epochs} epochs. Known: {known}."
    runs = [*outcome.counted, *(run for run, _ in outcome.left_out)]
    recipe = row_recipe(compose(row.id)) if runs else ""

    def why_not(run: Run) -> str | None:
        return not_real(run) or (None if run.recipe == recipe and epoch in run.curve else "another recipe, or shorter")

    values = [run.curve[epoch] for run in choose(runs, why_not).counted]
    if not values:
        return NOTHING, f"{row.id}: no run of this recipe on the real data has finished {epochs} epochs."
    return _verdict(
        f"{row.id} (after {epochs} epochs)", Spread.of(values), row.milestones[epoch], row.milestone_tolerance
    )


def _verdict(what: str, spread: Spread, reported: float, tolerance: float) -> tuple[int, str]:
    difference = spread.mean - reported
    within = abs(difference) <= tolerance + 1e-9
    verdict = f"{'within' if within else 'outside'} ± {tolerance:g}"
    text = f"{what}: reproduced {spread}, reported {reported:.2f}, difference {difference:+.2f}: {verdict}"
    return (AGREES if within else DIFFERS), text


def _hint(row: Row) -> str:
    if curve_of(row.id):
        return " A run that is not finished can be compared with the authors' curve: --curve."
    if not row.milestones:
        return ""
    most = max(row.milestones) + 1
    return f" A shorter run can be compared with the authors' log: --at {most} (or an earlier milestone)."
