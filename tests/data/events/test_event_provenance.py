"""Recordings are the published ones only if the published archives lie beside them and hold just these files."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from snnbench.data.events import cifar10dvs
from snnbench.data.events.cifar10dvs import AEDAT4
from snnbench.data.events.gesture import IBMGesture
from snnbench.data.events.nmnist import NMNIST
from snnbench.errors import UserError
from tests.data.events import event_files as files


def zip_bytes(folder: Path, below: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".zip":
                archive.write(path, path.relative_to(below))
        archive.writestr("__MACOSX/._junk", b"junk")
    return content.getvalue()


def archive_aedat4(root: Path) -> tuple[Path, Path]:
    """As published: an archive of one archive per class."""
    folder = files.write_cifar10dvs(root, "aedat4")
    with zipfile.ZipFile(folder / "CIFAR10DVS.zip", "w") as archive:
        for name in files.CIFAR_CLASSES:
            archive.writestr(f"{name}.zip", zip_bytes(folder / name, folder))
    return folder / "CIFAR10DVS.zip", folder / "cat" / "cifar10_cat_91.aedat4"


def archive_nmnist(root: Path) -> tuple[Path, Path]:
    folder = files.write_nmnist(root)
    for part in ("Train", "Test"):
        (folder / f"{part.lower()}.zip").write_bytes(zip_bytes(folder / part, folder))
    return folder / "test.zip", folder / "Train" / "3" / "00004.bin"


def archive_ibm(root: Path) -> tuple[Path, Path]:
    folder = files.write_ibm_gesture(root)
    with tarfile.open(root / "DvsGesture.tar.gz", "w:gz") as archive:
        archive.add(folder, "DvsGesture")
    return root / "DvsGesture.tar.gz", folder / "user11_led_labels.csv"


KINDS = {"aedat4": (AEDAT4, archive_aedat4), "nmnist": (NMNIST, archive_nmnist), "ibm": (IBMGesture, archive_ibm)}


@pytest.fixture(params=KINDS)
def published(request, tmp_path, monkeypatch):
    """Files with archives that count as the published ones: make a source, the archive, one of the files."""
    cls, write = KINDS[request.param]
    archive, path = write(tmp_path)
    folder = tmp_path / cls.folder_name
    md5 = {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in cls.archives}
    monkeypatch.setattr(cls, "archives", md5)
    monkeypatch.setattr(cifar10dvs, "check_numbers", lambda *_: None)  # these are a few of the published files
    monkeypatch.setattr(NMNIST, "per_class", {"Train": [3] * 10, "Test": [2] * 10})
    monkeypatch.setattr(
        IBMGesture, "lists", {"train": ("trials_to_train.txt", 2, 24), "test": ("trials_to_test.txt", 1, 12)}
    )
    return SimpleNamespace(make=lambda **words: prepared(cls(tmp_path, **words)), cls=cls, archive=archive, path=path)


def prepared(source):
    source.prepare()
    return source


def test_archives_prove_the_files(published):
    source = published.make()
    assert (source.provenance, source.doubt) == ("real", "")
    assert published.make(verify="full").provenance == "real"
    unverified = published.make(verify=False)
    assert (unverified.provenance, unverified.doubt) == ("unverified", "data.verify=false")
    published.archive.unlink()
    source = published.make()
    assert source.provenance == "unverified"
    assert published.archive.name in source.doubt


def test_another_archive_is_refused(published):
    published.archive.write_bytes(published.archive.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"{published.archive.name} is damaged: MD5 .*data.verify=false"):
        published.make()
    assert published.make(verify=False).provenance == "unverified"


def test_files_that_are_not_those_of_the_archive_are_refused(published):
    assert published.make().provenance == "real"
    content = published.path.read_bytes()
    at = content.rindex(b"1") if published.path.suffix == ".csv" else len(content) - 1
    published.path.write_bytes(content[:at] + b"0" + content[at + 1 :])
    with pytest.raises(UserError, match=f"{published.path.name} is damaged: it is not what its archive holds"):
        published.make()


def test_a_file_that_no_archive_holds_proves_nothing(published, tmp_path, monkeypatch):
    if published.cls is not AEDAT4:
        pytest.skip("of the others the number of files is checked")
    shutil.copy(published.path, published.path.with_name("cifar10_cat_92.aedat4"))
    assert published.make().provenance == "unverified"


def test_a_subclass_that_says_nothing_proves_nothing(published, tmp_path):
    class Mine(published.cls):
        def read(self, recording):
            yield from ()

    source = prepared(Mine(tmp_path))
    assert source.provenance == "unverified"
    assert source.doubt == "Mine names no published archives"


def test_a_source_that_names_no_archives_proves_nothing(published, tmp_path, monkeypatch):
    monkeypatch.setattr(published.cls, "archives", {})
    assert published.make().provenance == "unverified"


def test_an_archive_that_is_none_is_named(published, monkeypatch):
    published.archive.write_bytes(b"zip")
    archives = dict(published.cls.archives)
    key = next(name for name in archives if name.endswith(published.archive.name))
    monkeypatch.setattr(published.cls, "archives", archives | {key: hashlib.md5(b"zip").hexdigest()})
    with pytest.raises(UserError, match=f"{published.archive.name} is damaged: it cannot be unpacked"):
        published.make()
