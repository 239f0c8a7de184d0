"""Running a network over many inputs: in eval mode, picture by picture inside each thread, with a progress bar.

In eval mode no sample depends on another, so that whole samples can be handed to the threads. Each thread then walks its
samples through all layers alone: nobody waits between layers, and a sample's feature maps stay in that core's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ..layers import Layer
from ..runtime.parallel import parallel_each
from ..runtime.workers import get_threads

SAMPLES_AT_ONCE = 4  # in one thread: few, so that their feature maps stay in cache

Result = TypeVar("Result")


def infer(
    layer: Layer,
    n: int,
    batch: Callable[[np.ndarray], np.ndarray],
    finish: Callable[[np.ndarray], np.ndarray] = lambda output: output,
    label: str | None = None,
    dtype: type = np.float32,
    versions: Callable[[np.ndarray], list[np.ndarray]] = lambda x: [x],
) -> np.ndarray:
    """``finish(layer.forward(batch(indices)))`` for the samples 0..n-1, as one array (n, ...) of the given dtype.

    Parameters
    ----------
    layer : Layer
        Put into eval mode.
    n : int
        Number of samples.
    batch : function
        Indices (int array) -> network input (len(indices), ...).
    finish : function, optional
        Applied to each piece of the output (pooling it, say).
    label : str, optional
        Text of a progress bar, which appears if this takes more than two seconds; without it there is none.
    versions : function, optional
        Network input -> several versions of it; the mean of their outputs counts. ``Preprocessing.versions`` is one.
    """
    if n < 1:
        raise ValueError(f"there is nothing to run the network on: n is {n}")
    layer.eval()

    def run(indices: np.ndarray) -> np.ndarray:
        inputs = versions(batch(indices))
        return finish(sum(layer.forward(x) for x in inputs) / len(inputs) if len(inputs) > 1 else layer.forward(inputs[0]))

    first_output = run(np.arange(1))  # shows the shape; all threads work on this one sample
    output = np.empty((n, *first_output.shape[1:]), dtype)
    output[0] = first_output[0]
    with tqdm(total=n, desc=label, unit=" pictures", delay=2, disable=label is None, leave=False) as bar:
        bar.update(1)
        for indices, results in run_in_groups(run, 1, n):
            np.concatenate(results, out=output[indices], casting="unsafe")
            bar.update(indices.stop - indices.start)
    return output


def run_in_groups(run: Callable[[np.ndarray], Result], start: int, stop: int) -> Iterator[tuple[slice, list[Result]]]:
    """``run(indices)`` on a few of the samples start..stop-1 after the other, many of them at the same time in all threads.

    Yields, for one group of samples after the other, which samples they are and what ``run`` returned for them, in order.
    """
    threads = get_threads()
    for begin in range(start, stop, 4 * SAMPLES_AT_ONCE * threads):
        end = min(begin + 4 * SAMPLES_AT_ONCE * threads, stop)
        at_once = max(min(SAMPLES_AT_ONCE, (end - begin) // threads), 1)
        some = [np.arange(i, min(i + at_once, end)) for i in range(begin, end, at_once)]
        results: dict[int, Result] = {}

        def keep(indices: np.ndarray, results: dict[int, Result] = results) -> None:
            results[indices[0]] = run(indices)

        if end - begin < threads:  # too few to give each thread one: let all work on them together
            for indices in some:
                keep(indices)
        else:
            parallel_each(some, keep)
        yield slice(begin, end), [results[i] for i in sorted(results)]
