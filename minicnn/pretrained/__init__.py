"""Trained networks: readers of foreign formats, this project's HDF5 store, and the registry of known models."""

from .registry import load
from .store import load_model, save_model
from .torch_files import read_torch

__all__ = ["load", "load_model", "read_torch", "save_model"]
