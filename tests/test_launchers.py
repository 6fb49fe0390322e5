"""What launchers do with a sweep's jobs."""

import pytest

from snnbench import cores, launchers

JOBLIB = [(None, 9, 1), (1, 9, 1), (3, 9, 3), (3, 2, 2), (3, 0, 3), (-1, 9, 8), (-2, 9, 7), (-20, 9, 1)]
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"
RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"


@pytest.mark.parametrize(
    ("launcher", "jobs", "several"),
    [
        *(({"n_jobs": n_jobs}, jobs, several) for n_jobs, jobs, several in JOBLIB),
        ({"_target_": f"{SUBMITIT}.LocalLauncher"}, 5, 5),
        ({"_target_": f"{SUBMITIT}.SlurmLauncher"}, 5, 1),
        ({"_target_": RAY}, 20, 8),
        ({"_target_": RAY, "ray": {"init": {"num_cpus": 4}, "remote": {"num_cpus": 2}}}, 20, 2),
    ],
)
def test_jobs_that_run_at_once_are_counted_as_their_launcher_does(monkeypatch, launcher, jobs, several):
    monkeypatch.setattr(cores, "usable", lambda: cores.Usable(frozenset(range(8)), 8))
    assert launchers.at_once(launcher, jobs) == several


@pytest.mark.parametrize(
    ("launcher", "there"),
    [
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, False),
        ({"_target_": f"{SUBMITIT}.LocalLauncher"}, False),
        ({"_target_": f"{SUBMITIT}.SlurmLauncher"}, True),
        ({"_target_": RAY, "ray": {"init": {"address": None}}}, False),
        ({"_target_": RAY, "ray": {"init": {"address": "auto"}}}, True),
    ],
)
def test_jobs_that_run_on_other_machines_are_known(launcher, there):
    assert launchers.elsewhere(launcher) == there
