"""Where our rows are known to differ from the authors' code: the test's name as pytest prints it, and the difference.

What is mended must leave the list: a test that passes although it stands here fails. What stands here is no part of a
row's `proof` (claims.py).
"""

import pytest

RESETS = "the authors detach the reset of some neuron layers and not of others, here all or none"
KNOWN: dict[str, str] = {f"test_gradients[sakd_resnet{depth}_lif]": RESETS for depth in (18, 34)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in KNOWN and item.path.parent.name == "oracles":
            item.add_marker(pytest.mark.xfail(reason=KNOWN[item.name], strict=True))
