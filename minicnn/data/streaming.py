"""Pictures that are decoded when they are asked for: as many as the disk has, in the memory of a few batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..runtime.cores import usable_cores
from .picture_set import PictureSet
from .preprocessing import Preprocessing


class PictureStream:
    """The pictures of a set at a network's size, read anew each time: ``stream[indices]`` is uint8 (n, H, W, C).

    For training, `PictureSet.fitted` decodes each picture once and keeps it, in memory or on the disk. A stream keeps none: the
    first batch is there at once, disk and memory need hold no more than a few of them, and each epoch decodes all pictures
    again, in threads of its own. It is an ``x`` for `minicnn.training.Trainer`, with ``prepare=preprocessing.normalise``.

    Parameters
    ----------
    pictures : PictureSet
        Of a folder or a zip archive, as `minicnn.data.open_pictures` gives it.
    preprocessing : Preprocessing
        Decides the size: C = 3 in RGB order, or 1 for networks that take luma.
    ahead : int
        How many pictures to have decoded before they are asked for, where the order is known (`read_ahead`). They take
        H W C bytes each: 256 of 224 x 224 are 39 MB.

    Raises
    ------
    ValueError
        If ``ahead`` is negative.

    To train on what `minicnn.data.open_pictures` found in a folder with parts::

        train = pictures.subset(pictures.splits["train"])
        trainer = Trainer(model, loss, optimizer, epochs=10, prepare=model.preprocessing.normalise)
        trainer.fit(PictureStream(train, model.preprocessing), train.labels)
    """

    def __init__(self, pictures: PictureSet, preprocessing: Preprocessing, ahead: int = 256):
        if ahead < 0:
            raise ValueError(f"PictureStream: ahead is a number of pictures, at least 0, got {ahead}")
        self.pictures, self.preprocessing = pictures, pictures.preprocessed_by(preprocessing)
        self.ahead = ahead
        # Pillow decodes without holding Python's lock; at least two threads, because one may wait for the disk
        self._pool = ThreadPoolExecutor(max(2, usable_cores()), "picture-stream")
        self._lock = threading.Lock()
        self._coming: Iterator[int] = iter(())  # the rest of the order that was announced
        self._begun: deque[tuple[int, Future]] = deque()  # the pictures just before that rest, decoded or being decoded

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, indices: Any) -> np.ndarray:
        """The pictures of these numbers, as an array of all of them would give them: of one number (H, W, C).

        Raises
        ------
        IndexError
            For a number that no picture has.
        PictureError
            For a picture that cannot be read; leave it out with ``pictures.without``.
        """
        numbers = np.arange(len(self))[indices]
        with self._lock:
            decoded = [self._take(int(i)) for i in numbers.reshape(-1)]
        height, width = self.preprocessing.size
        pixels = [future.result() for future in decoded]
        if not pixels:
            return np.empty((0, height, width, 1 if self.preprocessing.channels == "L" else 3), np.uint8)
        return np.stack(pixels).reshape(*numbers.shape, *pixels[0].shape)

    def read_ahead(self, order: np.ndarray) -> None:
        """Begin to decode, and go on as pictures are taken: they will be asked for in this order.

        Who asks for others meanwhile gets them too; the announced ones wait. A new order replaces the one before.

        Parameters
        ----------
        order : int (M,)
        """
        with self._lock:
            for _, future in self._begun:
                future.cancel()
            self._begun.clear()
            self._coming = iter(np.arange(len(self))[order].tolist())
            self._fill()

    def _take(self, i: int) -> Future:
        """Picture i, which may have been begun before."""
        if not self._begun or self._begun[0][0] != i:
            return self._pool.submit(self._decode, i)
        _, future = self._begun.popleft()
        self._fill()
        return future

    def _fill(self) -> None:
        while len(self._begun) < self.ahead and (i := next(self._coming, None)) is not None:
            self._begun.append((i, self._pool.submit(self._decode, i)))

    def _decode(self, i: int) -> np.ndarray:
        return self.preprocessing.fit_picture(self.pictures.file_content(i), name=self.pictures.file_name(i))
