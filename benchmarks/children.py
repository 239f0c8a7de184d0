"""Measuring in a process of its own: what is measured has nothing else in its memory, and starts from nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIME_LIMIT = 600  # seconds


def in_new_process(task: str, environment: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """What the function of this name in ``child`` returns for these arguments, run in a new Python process.

    Parameters
    ----------
    task : str
    environment : dict, optional
        Environment variables besides those of this process.
    arguments
        Numbers, strings and lists.

    Raises
    ------
    RuntimeError
        With the process's last words, if it fails or takes too long.
    """
    command = [sys.executable, "-m", "benchmarks.child", task, json.dumps(arguments)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | (environment or {}), capture_output=True, text=True, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took more than {TIME_LIMIT} seconds") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"ended with exit status {done.returncode}"]
        raise RuntimeError(words[-1][:200])
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def module_file(module) -> Iterator[str]:
    """A PyTorch module in a temporary file, for a process that has PyTorch and nothing of minicnn."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "module.pt")
        torch.save(module, path)
        yield path
