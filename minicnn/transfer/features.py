"""CNN codes: a pretrained network's activations for a picture, right below its classifier or further down; computed once.

Razavian et al. 2014, "CNN Features off-the-shelf: an Astounding Baseline for Recognition"; Donahue et al. 2014, "DeCAF".
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, overload

import h5py
import numpy as np
from tqdm import tqdm

from ..cache import cache_folder
from ..data.picture_set import PictureSet
from ..data.preprocessing import Preprocessing
from ..inference.fusion import fuse
from ..kernels.pool import global_avg_pool_forward
from ..layers import Sequential
from ..models.activations import activations, check_names
from ..models.model import Model
from ..runtime.cluster import Cluster, WorkerDied
from ..runtime.parallel import parallel_each, serial
from ..runtime.workers import get_threads
from .feature_file import CodeFile
from .inputs import Inputs, inputs_of
from .surgery import default_layer

if TYPE_CHECKING:
    from distributed import Client

POOLS = ("mean", "flatten")
# Pictures that go through the network together, in one thread. With more of them, or with threads that share them, a matrix
# product may add in another order: so it is the same number everywhere, and codes are the same to the bit.
BATCH = 4


def fingerprint(network: Sequential) -> str:
    """SHA-256 over all layers with their settings, and the names and bytes of all weights and statistics.

    Networks with equal fingerprints give the same output for a picture. Layers that matter in training only, such as dropout
    and auxiliary heads, do not count.
    """
    digest = hashlib.sha256()
    training_only = tuple(f"{path}." for path, layer in network.walk() if layer.is_identity_in_inference)
    for path, layer in network.walk():
        if not f"{path}.".startswith(training_only):
            settings = {} if layer.children() else layer.config()
            digest.update(f"{path} {type(layer).__name__} {json.dumps(settings, sort_keys=True)}".encode())
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    for name, array in arrays.items():
        if name.startswith(training_only):
            continue
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def pool_features(output: np.ndarray, pool: str = "mean") -> np.ndarray:
    """A layer's output as one vector a picture: of feature maps (N, C, H, W) the "mean" over space, (N, C), or all numbers.

    >>> maps = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> pool_features(maps), pool_features(maps, "flatten").shape
    (array([[1.5, 5.5]]), (1, 8))
    """
    return global_avg_pool_forward(output) if output.ndim == 4 and pool == "mean" else output.reshape(len(output), -1)


Codes = np.ndarray | h5py.Dataset
Blocks = Generator[tuple[slice, dict[str, np.ndarray]], None, None]  # their rows, and at each layer their codes


@overload
def extract_features(
    model: Model,
    images: Any,
    layer: str | None = None,
    pool: str = ...,
    in_memory: bool = ...,
    progress: bool = ...,
    cluster: str | Client | None = ...,
) -> Codes: ...


@overload
def extract_features(
    model: Model,
    images: Any,
    layer: Iterable[str],
    pool: str = ...,
    in_memory: bool = ...,
    progress: bool = ...,
    cluster: str | Client | None = ...,
) -> dict[str, Codes]: ...


def extract_features(
    model: Model,
    images: PictureSet | Sequence[Any] | np.ndarray,
    layer: str | Iterable[str] | None = None,
    pool: str = "mean",
    in_memory: bool = True,
    progress: bool = True,
    cluster: str | Client | None = None,
) -> Codes | dict[str, Codes]:
    """The codes of all pictures at one layer or several, (N, D) float32; from the cache if they have been computed before.

    They go to a file in the cache block by block, so that neither pictures nor codes need fit in memory, and a run that was
    interrupted continues where it stopped. The file's key is what the codes depend on: the weights and settings of the layers
    up to this one, the layer, the pool, the preprocessing and the content of every picture. So a changed picture or a retrained
    network never gets old codes, and a network with another head on top gets the same ones.

    Parameters
    ----------
    model : Model
        In whatever mode; it is not changed, and inference is what counts.
    images : PictureSet, list or array
        A PictureSet, or a list of paths, bytes, Pillow images and arrays (H, W, 3): each picture goes through the model's
        preprocessing. An array has all of them at the network's size: uint8 (N, H, W, C), as ``PictureSet.fitted`` gives them,
        is only normalised; floating-point (N, C, H, W) goes into the network as it is.
    layer : str or several, optional
        Paths as in ``model.walk()``: ``"block3"``, ``"block3.body.expand"``, ``"head.norm"``; by default the layer right below
        the classifier. **Before or after the ReLU** is a matter of the name. A block or a unit of convolution, batch norm and
        ReLU gives what its last layer gives, so usually what comes after the ReLU; its layers inside have names of their own:
        of a unit ``head``, ``"head.norm"`` is what comes before the ReLU and ``"head.conv"`` what comes before batch norm.
        ``model.summary(depth=3)`` lists them. Take codes after the ReLU, if in doubt: that is what the layer above was trained
        to read (CS231n, "Transfer learning"). Several layers take one pass together, little more than the highest alone.
    pool : "mean" or "flatten"
        How feature maps (C, H, W) become a code: by the mean over space, D = C; or as all their numbers, D = C H W, which keeps
        where in the picture something is.
    in_memory : bool
        False: an open ``h5py.Dataset`` instead of an array, to read slices from where all would be too much;
        ``codes.file.close()`` when done.
    progress : bool
        Show a bar, which stays with the pictures per second, if this takes over two seconds.
    cluster : str or distributed.Client, optional
        The address of a cluster's scheduler, or a client of it (`minicnn.runtime.cluster`): its workers compute the codes, of
        pictures that are read here. On processors of one kind they are the same to the bit as those that are computed here,
        by however many threads.

    Returns
    -------
    codes, or for several layers a dict of them by name, in the order in which they were asked for

    Raises
    ------
    ValueError, TypeError
        For a layer that is not there, images in another form, or none.
    PictureError
        For a picture that cannot be read. ``PictureSet.fitted`` leaves such pictures out.
    ConnectionError
        For a cluster that does not answer or goes away; what it has computed is kept.

    >>> from minicnn.models import lenet5
    >>> digits = np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)
    >>> codes = extract_features(lenet5(rng=0), digits, layer=["s2", "s4"], progress=False)
    >>> {name: array.shape for name, array in codes.items()}
    {'s2': (3, 6), 's4': (3, 16)}
    """
    single = layer is None or isinstance(layer, str)
    names = [layer or default_layer(model)] if single else list(dict.fromkeys(layer))
    check_names(model, names)
    if pool not in POOLS or not names:
        raise ValueError(f"pool is 'mean' or 'flatten', and there is one layer at least; got {pool!r} and layers {names}")
    inputs = inputs_of(model, images)
    if inputs.count == 0:
        raise ValueError("there are no images to extract codes from: an empty set, list or array was given")
    content = hashlib.sha256()
    for i in range(inputs.count):
        content.update(inputs.content(i))

    extraction, files = _Extraction(model, names, pool, inputs), {}
    try:
        for name in sorted(names):  # in one order for all processes, or two could wait for each other
            lower, _ = model.split(name.split(".")[0])
            preprocessing = None if inputs.preprocessing is None else inputs.preprocessing.to_dict()
            key = {"weights": fingerprint(lower), "layer": name, "pool": pool, "preprocessing": preprocessing}
            about = json.dumps(key | {"pictures": content.hexdigest()}, sort_keys=True)
            path = cache_folder() / "codes" / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.h5"
            files[name] = CodeFile(path, inputs.count, lambda name=name: extraction.widths[name], about)
        extraction.complete(files, progress, cluster)
        found = {name: files[name].read() for name in names} if in_memory else {}
    finally:
        for file in files.values():
            file.close()
    if not in_memory:
        found = {name: h5py.File(files[name].path, "r")["codes"] for name in names}
    return found[names[0]] if single else found


class _Extraction:
    """Computes codes; a part of its work is done only when it is asked for, and nothing if all codes are in the cache."""

    def __init__(self, model: Model, names: list[str], pool: str, inputs: Inputs):
        self.model, self.names, self.pool, self.inputs = model, names, pool, inputs

    @cached_property
    def network(self) -> Sequential:
        """The layers up to the highest that is asked for, for inference."""
        order = list(self.model.layers)
        highest = max((name.split(".")[0] for name in self.names), key=order.index)
        return fuse(self.model.split(highest)[0], keep=self.names)

    @cached_property
    def widths(self) -> dict[str, int]:
        """D of each layer."""
        return {name: codes.shape[1] for name, codes in self.run(np.arange(1), self.names).items()}

    def run(self, indices: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        """The codes of a few pictures."""
        return _codes(self.network, self.inputs.pixels(indices), names, self.pool, self.inputs.preprocessing)

    def complete(self, files: dict[str, CodeFile], progress: bool, cluster: str | Client | None) -> None:
        """Compute the blocks of pictures that any of the files lacks."""
        missing = {name: {rows.start for rows in file.missing()} for name, file in files.items()}
        wanted = [name for name in self.names if missing[name]]
        starts = set().union(*missing.values())
        blocks = [rows for rows in files[self.names[0]].blocks if rows.start in starts]
        if not blocks:
            return
        left = sum(rows.stop - rows.start for rows in blocks)
        label = f"CNN codes at {', '.join(self.names)}"
        bar = tqdm(total=self.inputs.count, desc=label, unit=" pictures", delay=2, disable=not progress,
                   initial=self.inputs.count - left)  # fmt: skip
        here_or_there = self._here(blocks, wanted, bar) if cluster is None else self._there(cluster, blocks, wanted, bar)
        with bar, closing(here_or_there) as computed:  # so that nothing is left on a cluster if the disk is full, say
            for rows, codes in computed:
                for name in wanted:
                    files[name].write(rows, codes[name])  # where a file has the block already, the same numbers once more

    def _here(self, blocks: list[slice], names: list[str], bar: tqdm) -> Blocks:
        """Blocks with their codes, computed in this process."""
        parts: dict[int, dict[str, np.ndarray]] = {}

        def run(indices: np.ndarray) -> None:
            parts[indices[0]] = self.run(indices, names)

        waiting, batches = deque(blocks), [indices for rows in blocks for indices in _batches(rows)]
        together = 4 * get_threads()
        for i in range(0, len(batches), together):
            group = batches[i : i + together]
            parallel_each(group, run)
            bar.update(sum(map(len, group)))
            while waiting and waiting[0].stop <= group[-1][-1] + 1:
                rows = waiting.popleft()
                yield rows, _joined([parts.pop(indices[0]) for indices in _batches(rows)])

    def _there(self, address: str | Client, blocks: list[slice], names: list[str], bar: tqdm) -> Blocks:
        """Blocks with their codes, computed on a cluster."""
        by_start = {rows.start: rows for rows in blocks}
        with Cluster(address) as cluster:
            network, about = cluster.shared(pickle.dumps(self.network)), (names, self.pool, self.inputs.preprocessing)
            tasks = ((start, (network, self._pixels(rows), *about)) for start, rows in by_start.items())
            for start, codes in cluster.completed(_codes_of_block, tasks):
                rows = by_start[start]
                if isinstance(codes, WorkerDied):
                    raise ConnectionError(f"the codes of pictures {rows.start} to {rows.stop - 1} cannot be computed: {codes}")
                bar.update(rows.stop - rows.start)
                yield rows, codes

    def _pixels(self, rows: slice) -> np.ndarray:
        """Of a block of pictures, which all threads read together."""
        parts: dict[int, np.ndarray] = {}
        parallel_each(_batches(rows), lambda indices: parts.update({indices[0]: self.inputs.pixels(indices)}))
        return np.concatenate([parts[start] for start in sorted(parts)])


def _codes_of_block(
    network: bytes, pixels: np.ndarray, names: list[str], pool: str, preprocessing: Preprocessing | None
) -> dict[str, np.ndarray]:
    """What a worker of a cluster does: the codes of a block of pictures, in one thread, as the worker may have other tasks."""
    with serial():
        batches = [pixels[indices] for indices in _batches(slice(0, len(pixels)))]
        return _joined([_codes(_loaded(network), batch, names, pool, preprocessing) for batch in batches])


@lru_cache(maxsize=2)
def _loaded(network: bytes) -> Sequential:
    """The network, once in each worker."""
    return pickle.loads(network)


def _codes(
    network: Sequential, pixels: np.ndarray, names: list[str], pool: str, preprocessing: Preprocessing | None
) -> dict[str, np.ndarray]:
    """The codes of a few pictures at each layer, (N, D) float32."""
    x = pixels if preprocessing is None else preprocessing.normalise(pixels)
    return {name: pool_features(y, pool).astype(np.float32, copy=False) for name, y in activations(network, x, names).items()}


def _batches(rows: slice) -> list[np.ndarray]:
    """The numbers of the pictures of each batch of a block."""
    return [np.arange(i, min(i + BATCH, rows.stop)) for i in range(rows.start, rows.stop, BATCH)]


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The codes of all batches of a block."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
