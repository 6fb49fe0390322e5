"""All runs below some folders in one HTML file that needs neither a server nor a network."""

from snnbench.results.dashboard.build import Dashboard, build

__all__ = ["Dashboard", "build"]
