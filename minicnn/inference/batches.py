"""Inference over many inputs: samples are distributed over the threads, with a progress bar.

In eval mode no sample depends on another, so each thread can run whole samples through all layers by itself. No thread waits
for another between layers, and the feature maps of a sample stay in the cache of one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ..layers import Layer
from ..runtime.parallel import parallel_each
from ..runtime.workers import get_threads

BATCH_PER_THREAD = 4  # samples; few, so that their feature maps stay in the cache

Result = TypeVar("Result")


def infer(
    layer: Layer,
    n: int,
    batch: Callable[[np.ndarray], np.ndarray],
    finish: Callable[[np.ndarray], np.ndarray] = lambda output: output,
    label: str | None = None,
    dtype: type = np.float32,
    views: Callable[[np.ndarray], list[np.ndarray]] = lambda x: [x],
    *,
    allocate: Callable[[tuple[int, ...], type], np.ndarray] = np.empty,
) -> np.ndarray:
    """``finish(layer.forward(batch(indices)))`` for the samples 0..n-1, as one array (n, ...) of the given dtype.

    Parameters
    ----------
    layer : Layer
        It is put into eval mode.
    n : int
        Number of samples.
    batch : function
        Indices (int array) -> network input (len(indices), ...).
    finish : function, optional
        Applied to the output of each batch (pooling, say).
    label : str, optional
        Text of a progress bar, which appears if this takes more than two seconds. None: no progress bar.
    dtype : optional
        Of the result.
    views : function, optional
        Network input -> test-time views of it, of whose outputs the mean is taken: ``Preprocessing.test_time_views``.
    allocate : function, optional
        (shape, dtype) -> the array for the result.

    Returns
    -------
    (n, ...) of the given dtype

    Raises
    ------
    ValueError
        If n is 0.
    """
    if n < 1:
        raise ValueError(f"there is nothing to run the network on: n is {n}")
    layer.eval()

    def run(indices: np.ndarray) -> np.ndarray:
        inputs = views(batch(indices))
        return finish(sum(layer.forward(x) for x in inputs) / len(inputs) if len(inputs) > 1 else layer.forward(inputs[0]))

    first_output = run(np.arange(1))  # gives the output shape; all threads work on this one sample
    output = allocate((n, *first_output.shape[1:]), dtype)
    output[0] = first_output[0]
    with tqdm(total=n, desc=label, unit=" pictures", delay=2, disable=label is None, leave=False) as bar:
        bar.update(1)
        for indices, results in run_in_groups(run, 1, n):
            np.concatenate(results, out=output[indices], casting="unsafe")
            bar.update(indices.stop - indices.start)
    return output


def run_in_groups(run: Callable[[np.ndarray], Result], start: int, stop: int) -> Iterator[tuple[slice, list[Result]]]:
    """Call ``run(indices)`` for the samples start..stop-1, a few samples in each call and the calls in parallel.

    Yields, for each group of calls, the slice of its samples and the list of what ``run`` returned for them, in order.
    """
    threads = get_threads()
    for begin in range(start, stop, 4 * BATCH_PER_THREAD * threads):
        end = min(begin + 4 * BATCH_PER_THREAD * threads, stop)
        batch_size = max(min(BATCH_PER_THREAD, (end - begin) // threads), 1)
        batches = [np.arange(i, min(i + batch_size, end)) for i in range(begin, end, batch_size)]
        results: dict[int, Result] = {}

        def store(indices: np.ndarray, results: dict[int, Result] = results) -> None:
            results[indices[0]] = run(indices)

        if end - begin < threads:  # fewer samples than threads: all threads work on each sample together
            for indices in batches:
                store(indices)
        else:
            parallel_each(batches, store)
        yield slice(begin, end), [results[i] for i in sorted(results)]
