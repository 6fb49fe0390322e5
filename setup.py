"""What pyproject.toml cannot say: a wheel has what lies at the top of a checkout in `snnbench/home`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TOP = ("train.py", "eval.py", "configs/**/*.yaml", "scripts/*.py")


class BuildWithHome(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # then the checkout itself is there
            return
        home = Path(self.build_lib, "snnbench", "home")
        shutil.rmtree(home, ignore_errors=True)
        for path in (path for pattern in TOP for path in Path().glob(pattern)):
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, home / path)


setup(cmdclass={"build_py": BuildWithHome})
