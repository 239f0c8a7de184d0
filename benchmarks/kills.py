"""Kills trainings at random moments, resumes them, and compares what they end with, to the bit.

::

    python -m benchmarks.kills [--kills 50] [--seed N]

Each trial begins a training that writes a checkpoint after every step, kills it with SIGKILL at a random moment, resumes it,
and compares the SHA-256 of the final weights and statistics with that of an unbroken run. A kill that leaves an unfinished file
behind has hit the writing of a checkpoint, which takes about as long as a step here.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minicnn.cache import write_bytes
from minicnn.data import Augmentation
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models.strict import arrays_of
from minicnn.optim import Adam
from minicnn.schedules import one_cycle
from minicnn.training import Trainer
from minicnn.training.checkpoint import Checkpoints
from minicnn.training.lookahead import Lookahead

ROOT = Path(__file__).resolve().parents[1]
EPOCHS, BATCH, PICTURES = 6, 16, 160
STARTED, DONE = "started", "done.txt"  # files by which a training tells how far it is


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, resume, compare, print; returns the exit status, 1 if a run did not end as the unbroken one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (default: %(default)s)")
    parser.add_argument("--train-in", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)  # what the trials themselves run
    options = parser.parse_args(arguments)
    if options.train_in:
        train_in(options.train_in)
        return 0
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        expected, seconds = unbroken(Path(folder) / "unbroken")
        print(f"unbroken: {expected[:16]}, {seconds:.1f} s of {EPOCHS * PICTURES // BATCH} steps and as many checkpoints")
        outcomes = []
        for k in tqdm(range(options.kills), desc="kills", delay=2):
            outcomes.append(kill_and_resume(Path(folder) / str(k), rng.uniform(0, seconds), expected))
    killed = [outcome for outcome in outcomes if outcome["killed"]]
    same = sum(outcome["same"] for outcome in outcomes)
    writing = sum(outcome["while_writing"] for outcome in killed)
    print(
        f"{options.kills} trials: {len(killed)} killed while they ran, {writing} of them while a "
        f"checkpoint was written; {same} of {options.kills} ended bit-identical to the unbroken run"
    )
    return 0 if same == options.kills else 1


def train_in(folder: Path) -> None:
    """A small training with all that has a memory: optimiser, batch norm, dropout, average, lookahead, order of samples."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (PICTURES, 12, 12, 3), dtype=np.uint8)
    y = np.arange(PICTURES) % 4
    net = Sequential(conv=Conv2d(3, 16, 3, pad=1, rng=1), norm=BatchNorm2d(16), relu=ReLU(), flatten=Flatten())
    net.append("drop", Dropout(0.3))
    net.append("scores", Linear(16 * 144, 4, rng=2))
    trainer = Trainer(
        net,
        SoftmaxCrossEntropy(),
        Adam(net.parameters(), 1e-3),
        epochs=EPOCHS,
        batch_size=BATCH,
        schedule=one_cycle(),
        average=0.9,
        augment=Augmentation(horizontal_flip=True, shift=0.2),
        prepare=lambda pictures: (pictures.transpose(0, 3, 1, 2) / np.float32(128) - 1).astype(np.float32),
        callbacks=[Lookahead(k=4)],
        checkpoint=Checkpoints(folder, seconds=0),
        resume=True,
        progress=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / STARTED, b"")
    trainer.fit(x, y, x, y)
    digest = hashlib.sha256()
    for name, array in sorted(arrays_of(net).items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    write_bytes(folder / DONE, digest.hexdigest().encode())


def unbroken(folder: Path) -> tuple[str, float]:
    """The digest of a run that nobody kills, and the seconds from its first step to its last."""
    process = _start(folder)
    _wait_for(folder / STARTED, process)
    started = time.monotonic()
    process.wait()
    return (folder / DONE).read_text(), time.monotonic() - started


def kill_and_resume(folder: Path, after: float, expected: str) -> dict:
    """Whether it was killed before it was done and while it wrote, and whether the resumed run is the unbroken one."""
    process = _start(folder)
    _wait_for(folder / STARTED, process)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed, while_writing = not (folder / DONE).exists(), any(folder.glob(".*.tmp"))
    if killed:
        _start(folder).wait()
    done = folder / DONE
    return {"killed": killed, "while_writing": while_writing, "same": done.exists() and done.read_text() == expected}


def _start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.kills", "--train-in", str(folder)], cwd=ROOT)


def _wait_for(file: Path, process: subprocess.Popen) -> None:
    while not file.exists():
        if process.poll() is not None:
            raise RuntimeError(f"the training ended with status {process.returncode} before its first step")
        time.sleep(0.005)


if __name__ == "__main__":
    raise SystemExit(main())
