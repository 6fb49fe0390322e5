"""Where our rows are known to differ from the authors' code. What is mended must leave the list: a test that passes
although it stands here fails."""

import pytest

FSTA = "run through timm with FSTA's files, the recipe has Nesterov momentum and label smoothing 0.1"
DROP_LAST = "the authors drop the last, smaller batch"
KNOWN = {
    "test_loss[dalif_resnet19]": FSTA,
    "test_loss[dalif_resnet20]": FSTA,
    "test_gradients[dalif_resnet19]": FSTA,
    "test_gradients[dalif_resnet20]": FSTA,
    "test_optimizer[dalif_resnet19]": FSTA,
    "test_optimizer[dalif_resnet20]": FSTA,
    "test_settings[dalif_resnet19]": FSTA,
    "test_settings[dalif_resnet20]": FSTA,
    "test_settings[plif_mnist_net]": DROP_LAST,
    "test_settings[plif_cifar10_net]": f"{DROP_LAST}; the printed network has no second dropout",
    "test_settings[plif_cifar10dvs_net]": f"{DROP_LAST}; the printed network has 2,048 hidden units, ours 512",
    "test_size[plif_cifar10dvs_net]": "the printed network has 2,048 hidden units, ours 512",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in KNOWN and item.path.parent.name == "oracles":
            item.add_marker(pytest.mark.xfail(reason=KNOWN[item.name], strict=True))
