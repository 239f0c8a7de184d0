"""Pictures that are decoded when they are asked for."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn.data import PictureSet, PictureStream, Preprocessing
from minicnn.errors import PictureError
from minicnn.layers import Flatten, Linear, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.training import Trainer

SIZE = Preprocessing(size=(6, 8), mean=127, std=64)


class CountedSource:
    """A picture whose file notes that it was read."""

    def __init__(self, name, data, read):
        self.name, self._data, self._read = name, data, read

    def read(self):
        self._read.append(self.name)
        return self._data


@pytest.fixture
def pictures():
    """20 pictures of different sizes; ``pictures.read`` has the names of those that were read, in order."""
    rng, read, sources = np.random.default_rng(0), [], []
    for i in range(20):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (12 + i, 14, 3), np.uint8)).save(file, "PNG")
        sources.append(CountedSource(f"{i}", file.getvalue(), read))
    found = PictureSet("some", ["ants", "bees"], np.arange(20) % 2, sources)
    found.read = read
    return found


def finish(stream):
    """Wait until nothing is being decoded."""
    for _, future in stream._begun:
        future.result()


@pytest.mark.parametrize("order", [None, np.arange(20), np.arange(20)[::-1], np.array([3, 3, 0])])
def test_a_stream_gives_what_an_array_of_all_pictures_gives(pictures, order):
    pixels, _ = pictures.fitted(SIZE, progress=False)
    stream = PictureStream(pictures, SIZE, ahead=5)
    if order is not None:
        stream.read_ahead(order)
    assert len(stream) == 20
    mask = np.arange(20) % 3 == 0
    for indices in (
        np.array([3, 3, 0]),
        np.arange(20)[::-1],
        slice(4, 9),
        [],
        mask,
        np.array([[1, 2], [-1, 0]]),
        7,
        np.int64(-2),
    ):
        seen = stream[indices]
        assert seen.dtype == np.uint8
        np.testing.assert_array_equal(seen, pixels[indices])
    with pytest.raises(IndexError, match="index 20 is out of bounds"):
        stream[[20]]


def test_grey_pictures_have_one_channel_where_the_network_takes_luma(pictures):
    luma = Preprocessing(size=8, channels="L")
    stream = PictureStream(pictures, luma)
    assert stream[:3].shape == (3, 8, 8, 1) and stream[:0].shape == (0, 8, 8, 1)
    np.testing.assert_array_equal(stream[:], pictures.fitted(luma, progress=False)[0])


def test_pictures_are_read_ahead_in_the_order_announced_and_no_further(pictures):
    stream = PictureStream(pictures, SIZE, ahead=4)
    order = np.random.default_rng(1).permutation(20)
    stream.read_ahead(order)
    finish(stream)
    assert sorted(pictures.read) == sorted(map(str, order[:4]))  # before any was asked for
    stream[order[:3]]
    finish(stream)
    assert sorted(pictures.read) == sorted(map(str, order[:7]))
    stream[order[18:]]  # not their turn: read at once, and the others wait
    assert len(pictures.read) == 9
    for i in range(3, 20):
        stream[order[i : i + 1]]
    assert len(pictures.read) == 22  # each once, but for the two
    stream.read_ahead(np.array([2, 5]))
    stream.read_ahead(np.array([7]))  # instead
    stream[[7]]
    assert pictures.read.count("7") == 2 and not stream._begun


def test_a_network_learns_the_same_from_a_stream_as_from_an_array(pictures):
    weights = []
    for x in (PictureStream(pictures, SIZE), pictures.fitted(SIZE, progress=False)[0]):
        net = Sequential(flatten=Flatten(), scores=Linear(3 * 6 * 8, 2, rng=0))
        options = {"epochs": 3, "batch_size": 6, "progress": False, "prepare": SIZE.normalise}
        Trainer(net, SoftmaxCrossEntropy(), SGD(net.parameters(), 0.01), **options).fit(x, pictures.labels, x, pictures.labels)
        weights.append(net.parameters()["scores.w"].value)
    np.testing.assert_array_equal(*weights)


def test_a_picture_that_cannot_be_read_is_an_error_when_its_turn_comes(pictures):
    pictures._sources[4]._data = b"no picture"
    stream = PictureStream(pictures, SIZE)
    stream.read_ahead(np.arange(20))
    assert stream[:4].shape == (4, 6, 8, 3)
    with pytest.raises(PictureError, match="4 is not a picture that can be read"):
        stream[4:8]
    assert stream[8:].shape == (12, 6, 8, 3)


def test_ahead_below_0_is_refused(pictures):
    with pytest.raises(ValueError, match="ahead is a number of pictures, at least 0, got -1"):
        PictureStream(pictures, SIZE, ahead=-1)


MEMORY = """
import io, re, sys, zipfile
import numpy as np
from PIL import Image
from minicnn.data import PictureStream, Preprocessing, open_pictures

file = io.BytesIO()
Image.fromarray(np.full((96, 96, 3), 99, np.uint8)).save(file, "JPEG")

def stream(n):
    path = f"{sys.argv[1]}/{n}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(n):
            archive.writestr(f"{'ants' if i % 2 else 'bees'}/{i}.jpg", file.getvalue() + bytes(i))
    return PictureStream(open_pictures(path), Preprocessing(size=96), ahead=50)

def peak_after(stream, keep):
    order = np.random.default_rng(0).permutation(len(stream))
    stream.read_ahead(order)
    kept = []
    for i in range(0, len(stream), 25):
        kept = [stream[order[i : i + 25]], *(kept if keep else [])]
    with open("/proc/self/status") as status:  # getrusage would include the process that started this one
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) / 1024

few, many = stream(200), stream(1000)
print(*(peak_after(*arguments) for arguments in ((few, False), (few, False), (many, False), (many, True))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the process's memory as Linux shows it")
def test_five_times_as_many_pictures_take_no_more_memory(tmp_path):
    """1,000 pictures of 96 x 96 are 26 MB when they are decoded; a stream of them takes what one of 200 takes."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, few, many, all_at_once = map(float, done.stdout.split())
    assert many - few < 4 and all_at_once - many > 14
