"""minicnn: convolutional networks written by hand, and how to transfer a pretrained one to your own pictures.

>>> import minicnn
>>> model = minicnn.load("efficientnet_lite0")          # doctest: +SKIP
>>> scores = model.forward(model.preprocess("cat.jpg"))   # doctest: +SKIP
>>> print(model.summary())                                # doctest: +SKIP
"""

__version__ = "0.1.0"


def load(name_or_path):
    """A model ready for inference: by name from the registry (``"efficientnet_lite0"``) or from an ``.h5`` file.

    See `minicnn.pretrained.load`, which this calls; it is imported only then, so that ``import minicnn`` stays quick.
    """
    from .pretrained import load

    return load(name_or_path)
