import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from model import datasets
from model.datasets import import_file, load_split
from model.errors import DatasetError
from tests.conftest import write_idx


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_idx(tmp_path / "train-images-idx3-ubyte", rng.integers(0, 256, (5, 28, 28), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([3, 1, 4, 1, 5], np.uint8))
    return tmp_path


def test_plain_and_gzipped_files_give_the_same(folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    for path in folder.glob("*ubyte"):
        (packed / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    one, two = load_split(folder, "train"), load_split(packed, "train")
    np.testing.assert_array_equal(one.images, two.images)
    assert one.labels.tolist() == [3, 1, 4, 1, 5]
    assert one.checksums == two.checksums
    content = (folder / "train-labels-idx1-ubyte").read_bytes()
    assert one.checksums["train-labels-idx1-ubyte"] == hashlib.sha256(content).hexdigest()


def test_the_pictures_stay_on_disk(folder: Path) -> None:
    data = load_split(folder, "train")
    images = data.images
    assert images.shape == (5, 784)
    assert images.dtype == np.uint8
    assert data.memory is not None
    assert np.shares_memory(images, np.frombuffer(data.memory, np.uint8))
    assert not images.flags.writeable


def test_a_missing_file_tells_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no train-images.*digits data fetch --to"):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 500])
def test_a_cut_off_file_is_a_sentence(folder: Path, cut: int) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DatasetError, match=r"not an idx file|header promises"):
        load_split(folder, "train")


def test_a_cut_off_gzip_file_is_a_sentence(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (folder / f"{path.name}.gz").write_bytes(packed[:-100])
    with pytest.raises(DatasetError, match="not a whole gzip file"):
        load_split(folder, "train")


def test_labels_that_do_not_fit_are_a_sentence(folder: Path) -> None:
    labels = folder / "train-labels-idx1-ubyte"
    write_idx(labels, np.array([1, 2], np.uint8))
    with pytest.raises(DatasetError, match="5 pictures do not fit 2 labels"):
        load_split(folder, "train")
    write_idx(labels, np.array([1, 2, 3, 4, 10], np.uint8))
    with pytest.raises(DatasetError, match="not digits 0 to 9"):
        load_split(folder, "train")


def test_an_import_is_checked_before_it_replaces_anything(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "train-labels-idx1-ubyte"
    content = (folder / name).read_bytes()
    to = tmp_path / "to"
    with pytest.raises(DatasetError, match="its content is not MNIST's"):
        import_file(folder / name, to)
    assert list(to.iterdir()) == []
    monkeypatch.setitem(datasets.MNIST_SHA256, name, hashlib.sha256(content).hexdigest())
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(content))
    assert import_file(packed, to).read_bytes() == content


def test_a_file_by_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not one of MNIST's files"):
        import_file(tmp_path / "cats.gz", tmp_path)


def test_the_real_mnist_is_what_its_checksums_say(shared_mnist: Path) -> None:
    for split, count in (("train", 60_000), ("test", 10_000)):
        data = load_split(shared_mnist, split)
        assert len(data) == count
        assert data.checksums.items() <= datasets.MNIST_SHA256.items()
