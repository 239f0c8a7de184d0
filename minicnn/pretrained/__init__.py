"""Trained networks: readers of foreign formats, this project's HDF5 store, and the registry of known models."""

from ..models.model import load_model, save_model
from .readers import read_torch, read_weights
from .registry import load

__all__ = ["load", "load_model", "read_torch", "read_weights", "save_model"]
