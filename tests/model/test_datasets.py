import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import datasets
from model.datasets import Scaling, import_file, load_csv, load_split
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
    assert data.source is not None
    assert not images.flags.owndata
    assert not images.flags.writeable


def test_the_error_for_a_missing_file_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no train-images.*digits data fetch --to"):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 500])
def test_a_cut_off_file_is_refused(folder: Path, cut: int) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DatasetError, match=r"not an idx file|header promises"):
        load_split(folder, "train")


def test_a_cut_off_gzip_file_is_refused(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (folder / f"{path.name}.gz").write_bytes(packed[:-100])
    with pytest.raises(DatasetError, match="not a whole gzip file"):
        load_split(folder, "train")


def test_labels_that_do_not_fit_are_refused(folder: Path) -> None:
    labels = folder / "train-labels-idx1-ubyte"
    write_idx(labels, np.array([1, 2], np.uint8))
    with pytest.raises(DatasetError, match="5 pictures do not fit 2 labels"):
        load_split(folder, "train")
    write_idx(labels, np.array([1, 2, 3, 4, 10], np.uint8))
    with pytest.raises(DatasetError, match="not digits 0 to 9"):
        load_split(folder, "train")


def import_from(source: Path, to: Path) -> Path:
    with open(source, "rb") as file:
        return import_file(file, source, to)


def touch(file: Path) -> Path:
    file.touch()
    return file


def test_an_import_is_checked_before_it_replaces_anything(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "train-labels-idx1-ubyte"
    content = (folder / name).read_bytes()
    to = tmp_path / "to"
    with pytest.raises(DatasetError, match="its content is not MNIST's"):
        import_from(folder / name, to)
    assert list(to.iterdir()) == []
    monkeypatch.setitem(datasets.MNIST_SHA256, name, hashlib.sha256(content).hexdigest())
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(content))
    assert import_from(packed, to).read_bytes() == content


def test_a_file_by_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not one of MNIST's files"):
        import_from(touch(tmp_path / "cats.gz"), tmp_path)


def test_the_real_mnist_is_what_its_checksums_say(shared_mnist: Path) -> None:
    for split, count in (("train", 60_000), ("test", 10_000)):
        data = load_split(shared_mnist, split)
        assert len(data) == count
        assert data.checksums.items() <= datasets.MNIST_SHA256.items()


def csv_line(label: int, rng: np.random.Generator) -> str:
    return ",".join(map(str, [label, *rng.integers(256, size=784)]))


def test_the_books_csv_form_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines = [csv_line(label, rng) for label in (7, 0, 9)]
    for name, text in (
        ("mnist_train.csv", "\n".join(lines)),
        ("mnist_test.csv", "label,1x1,1x2\r\n" + "\r\n".join(lines) + "\r\n\r\n"),
    ):
        (tmp_path / name).write_bytes(text.encode())
    for split in ("train", "test"):
        data = load_split(tmp_path, split)
        assert data.labels.tolist() == [7, 0, 9]
        assert data.images.shape == (3, 784)
        assert data.images[1].tolist() == [int(v) for v in lines[1].split(",")][1:]
        assert data.source is not None
    assert len(load_split(tmp_path / "mnist_train.csv", "test")) == 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_csv_of_windows_editor_is_read_or_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mnist_train.csv"
    path.write_bytes((csv_line(7, np.random.default_rng(1)) + "\r\n").encode(encoding))
    if encoding == "utf-8-sig":
        assert load_csv(path).labels.tolist() == [7]
        return
    with pytest.raises(DatasetError, match="text in UTF-16: save it with the encoding UTF-8"):
        load_csv(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no digit in it"),
        ("label,pixel\n", "there is no digit in it"),
        ("1,2,3\n", "line 1: 3 values where a label and 784 pixels belong"),
        ("5" + ",0" * 784 + "\n5" + ",0" * 785, "line 2: 786 values"),
        ("5" + ",0" * 783 + ",256", "line 1: not whole numbers from 0 to 255"),
        ("5" + ",0" * 783 + ",-1", "not whole numbers"),
        ("5" + ",0" * 783 + ",1.5", "not whole numbers"),
        ("5" + ",0" * 783 + ",x", "not whole numbers"),
        ("12" + ",0" * 784, "its label is 12, not a digit"),
        ("\0" * 40_000, "not whole numbers"),
        ("5" + ",000000000000000000000000" * 784, "not whole|values where"),
    ],
)
def test_an_error_in_a_csv_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        load_csv(path)
    assert str(path) in str(caught.value)


def test_the_books_small_files_are_the_first_digits_of_mnist(shared_mnist: Path) -> None:
    small = load_csv(shared_mnist / "mnist_train_100.csv")
    whole = load_split(shared_mnist, "train").first(100)
    np.testing.assert_array_equal(small.images, whole.images)
    np.testing.assert_array_equal(small.labels, whole.labels)


def test_scaling_gives_the_books_range() -> None:
    x = Scaling(0.99 / 255, 0.01)(np.array([[0, 255]], np.uint8))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [[0.01, 1.0]], rtol=1e-6)


def test_take_reads_rows_from_disk_and_refuses_a_file_cut_meanwhile(
    folder: Path,
) -> None:
    data = load_split(folder, "train")
    whole = np.array(data.images)
    for _ in range(100):
        images, labels = data.take(np.array([4, 0, 2]))
        np.testing.assert_array_equal(images, whole[[4, 0, 2]])
        assert labels.tolist() == [5, 3, 4]
    np.testing.assert_array_equal(data.first(3).take(np.array([2]))[0], whole[[2]])
    path = folder / "train-images-idx3-ubyte"
    os.truncate(path, 16 + 784)
    with pytest.raises(DatasetError, match="became shorter while it was read"):
        data.take(np.array([4]))


DAMAGE = ("images", "images.gz", "labels", "labels.gz", "csv")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("good")
    rng = np.random.default_rng(0)
    write_idx(folder / "images", rng.integers(0, 256, (5, 28, 28), np.uint8))
    write_idx(folder / "labels", np.array([3, 1, 4, 1, 5], np.uint8))
    csv = "\n".join(csv_line(label, rng) for label in (3, 1, 4, 1, 5))
    files = {name: (folder / name).read_bytes() for name in ("images", "labels")}
    packed = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    return {**files, **packed, "csv": csv.encode()}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_read_whole(
    good: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    which = data.draw(st.sampled_from(DAMAGE))
    content = bytearray(good[which])
    match data.draw(st.sampled_from(["cut", "flip", "insert", "replace"])):
        case "cut":
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        case "flip":
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(
                st.integers(0, 7)
            )
        case "insert":
            place = data.draw(st.integers(0, len(content)))
            content[place:place] = data.draw(st.binary(min_size=1, max_size=40))
        case "replace":
            content = bytearray(data.draw(st.binary(max_size=2000)))
    folder = tmp_path_factory.mktemp("damaged")
    if which == "csv":
        (folder / "mnist_train.csv").write_bytes(content)
    else:
        for kind, form in (("images", "idx3"), ("labels", "idx1")):
            name = f"train-{kind}-{form}-ubyte"
            if which.startswith(kind):
                (folder / (name + which.removeprefix(kind))).write_bytes(content)
            else:
                (folder / name).write_bytes(good[kind])
    try:
        data_set = load_split(folder, "train")
    except DatasetError:
        return
    assert data_set.images.shape == (len(data_set.labels), 784)
    assert len(data_set.labels) > 0
    assert data_set.labels.max() <= 9
