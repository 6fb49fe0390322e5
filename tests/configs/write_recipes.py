"""Writes recipes.json anew: the recipe of every row, as this version has it. Look at what changed before committing."""

import json
from pathlib import Path

from snnbench.config import compose_row
from snnbench.results.rows import read_rows
from snnbench.runs.recipe import recipe_hash

if __name__ == "__main__":
    found = {row: recipe_hash(compose_row(row)) for row in sorted(read_rows()[0])}
    (Path(__file__).parent / "recipes.json").write_text(json.dumps(found, indent=1) + "\n")
