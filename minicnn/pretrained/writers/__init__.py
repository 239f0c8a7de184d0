"""Writers of the files in which other programs take trained weights: each puts named arrays, or a graph of them, into a file.

They know nothing of networks; what a network of this project is in those files is the business of `minicnn.pretrained.export`.
Every file is written completely or not at all.
"""

from .npz_files import write_npz
from .onnx_files import Node, write_onnx
from .safetensors_files import write_safetensors

__all__ = ["Node", "write_npz", "write_onnx", "write_safetensors"]
