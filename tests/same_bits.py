"""Fingerprints of what the engine computes, for every family of networks: to prove that a move of code changes no bit.

``python tests/same_bits.py FILE`` writes them, with the processor and the versions for which they hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minicnn import models
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD

NETWORKS = {
    "lenet5": (1, 28, 28), "cifar_net": (3, 32, 32), "resnet20": (3, 32, 32), "resnet18_cifar": (3, 32, 32),
    "alexnet": (3, 227, 227), "caffenet": (3, 227, 227), "alexnet_torchvision": (3, 127, 127),
    "vgg11": (3, 64, 64), "vgg11_bn": (3, 64, 64), "vgg16": (3, 96, 96), "googlenet": (3, 224, 224),
    "googlenet_torchvision": (3, 96, 96),
    "resnet18": (3, 96, 96), "resnet50": (3, 65, 65), "squeezenet1_0": (3, 97, 97), "squeezenet1_1": (3, 97, 97),
    "mobilenet_v1": (3, 96, 96), "mobilenet_v2": (3, 97, 95),
    "efficientnet_lite0": (3, 96, 96), "efficientnet_lite2": (3, 64, 64),
}  # fmt: skip


def digest(*arrays: np.ndarray) -> str:
    """Of shapes, dtypes and bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape} {array.dtype}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()[:16]


def of_network(name: str, shape: tuple[int, int, int]) -> Iterator[tuple[str, str]]:
    """What a pass forward, one of the fused network, and a training step of a network give."""
    build, rng = models.ARCHITECTURES[name], np.random.default_rng(0)
    options = {"input_size": shape[1:]} if name.startswith(("vgg", "alexnet_torch")) else {}
    try:
        net = build(num_classes=7, rng=0, **options)
    except TypeError:
        net = build(num_classes=7, rng=0)
        shape = net.input_shape if options else shape
    for batch in (1, 4):
        x = rng.standard_normal((batch, *shape)).astype(np.float32)
        yield f"{name} forward {batch}", digest(net.eval().forward(x))
        fused = net.fuse()
        yield f"{name} fused {batch}", digest(*(fused.forward(x) for _ in range(3)))
    net.train().seed(np.random.default_rng(1))
    loss, optimizer = SoftmaxCrossEntropy(), SGD(net.parameters(), 1e-4, momentum=0.9)
    for step in range(2):
        y = rng.integers(0, 7, 4)
        scores = net.forward(x)
        value = loss.forward(scores.reshape(4, 7), y)
        dx = net.backward(loss.backward().reshape(scores.shape))
        grads = [p.grad for p in net.parameters().values() if p.grad is not None]
        yield f"{name} step {step}", digest(scores, np.float64(value)[None], dx, *grads)
        optimizer.step()
    yield f"{name} weights", digest(*(p.value for p in net.parameters().values()), *net.state().values())
    net.freeze(until=list(net.layers)[len(net.layers) // 2]).train()
    net.needs_dx = False
    loss.forward(net.forward(x).reshape(4, 7), y)
    net.backward(loss.backward().reshape(scores.shape))
    yield f"{name} frozen", digest(*(p.grad for p in net.parameters().values() if p.grad is not None))


def of_transfer() -> Iterator[tuple[str, str]]:
    """What ``minicnn transfer --quick`` reports and leaves, but for times."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MINICNN_CACHE": f"{folder}/cache", "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "minicnn", "transfer", "--quick", "--out", f"{folder}/out"]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        results = json.loads((Path(folder) / "out" / "results.json").read_text())

    def timeless(value: object) -> object:
        if isinstance(value, dict):
            return {
                k: timeless(v) for k, v in value.items() if "second" not in k and k not in ("date", "command", "machine", "out")
            }
        return [timeless(item) for item in value] if isinstance(value, list) else value

    for strategy in results["strategies"]:
        numbers = timeless({key: strategy[key] for key in ("val_accuracy", "accuracy", "runs")})
        yield f"transfer {strategy['key']}", hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()[:16]


def machine() -> dict[str, str]:
    """What the bits depend on besides the code."""
    import numba
    import scipy

    from minicnn.experiment.results import cpu_name

    return {"cpu": cpu_name(), "numpy": np.__version__, "scipy": scipy.__version__, "numba": numba.__version__,
            "threads": str(len(os.sched_getaffinity(0)))}  # fmt: skip


def fingerprints(transfer: bool = True) -> dict[str, str]:
    found = {key: value for name, shape in NETWORKS.items() for key, value in of_network(name, shape)}
    return found | (dict(of_transfer()) if transfer else {})


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps({"machine": machine(), "bits": fingerprints()}, indent=1) + "\n")
