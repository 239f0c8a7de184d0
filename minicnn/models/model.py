"""A network together with what it needs to be used: input size, preprocessing, class names, where it comes from."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np

from ..data.preprocessing import Preprocessing
from ..inference.batches import infer
from ..inference.fusion import FusedNetwork, fuse
from ..initializers import normal
from ..layers import AuxiliaryHead, Layer, Sequential
from . import store
from .activations import activations
from .heads import Classifier, find_classifier, replace_classifier
from .novelty import CodesAndScores, NoveltyDetector
from .predictions import number_of_classes, probabilities
from .summary import summary_table

PICTURES_WORTH_FUSING = 8  # with fewer, the copy of the network that computes faster takes longer to make than it saves
HEAD_STD = 0.01  # of a new classifier's weights, Girshick 2015, "Fast R-CNN", section 2.3


class Model(Sequential):
    """A named sequence of layers that goes from a picture to the scores of its classes.

    Parameters
    ----------
    layers : dict of layers by name, in the order in which they run
    architecture : str
        What it is called, e.g. ``"efficientnet_lite0"``.
    input_shape : (C, H, W)
        What it was made for; networks that end in global pooling take other sizes as well.
    preprocessing : Preprocessing, optional
        How a picture becomes an input; without it, only ``forward`` works.
    classes : sequence of str, optional
        Names of the scores, or of the maps of scores, in their order.
    provenance : dict, optional
        Where the weights come from: source, licence, hash, accuracy. Anything JSON can hold.

    Raises
    ------
    ValueError
        If there are not as many class names as scores.

    Attributes
    ----------
    novelty : NoveltyDetector or None
        What tells pictures unlike all training pictures; see ``is_novel``. It belongs to these weights: `minicnn transfer` and
        `minicnn.transfer.fit_novelty` make one, and ``replace_head``, ``cut`` and `minicnn.transfer.fine_tune` take it away.

    >>> from minicnn.layers import Flatten, Linear
    >>> layers = {"flatten": Flatten(), "scores": Linear(4, 2)}
    >>> model = Model(layers, architecture="tiny", input_shape=(1, 2, 2), classes=["cat", "dog"])
    >>> model.forward(np.zeros((5, 1, 2, 2), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        layers: dict[str, Layer],
        *,
        architecture: str,
        input_shape: tuple[int, int, int] = (3, 224, 224),
        preprocessing: Preprocessing | None = None,
        classes: Sequence[str] | None = None,
        provenance: dict[str, Any] | None = None,
    ):
        super().__init__(**layers)
        self.architecture = architecture
        self.input_shape = tuple(input_shape)
        self.preprocessing = preprocessing
        self.classes = None if classes is None else [str(name) for name in classes]
        self.provenance = {} if provenance is None else dict(provenance)
        self.novelty: NoveltyDetector | None = None
        if self.classes is not None:
            scores = self.output_shape((1, *self.input_shape))
            if len(scores) not in (2, 4) or max(scores[1], 2) != len(self.classes):  # one score speaks for two classes
                raise ValueError(
                    f"{architecture} gives scores {scores} for one picture, and {len(self.classes)} classes were named"
                )

    def config(self) -> dict[str, Any]:
        return {
            "layers": self.layers,
            "architecture": self.architecture,
            "input_shape": self.input_shape,
            "preprocessing": self.preprocessing,
            "classes": self.classes,
            "provenance": self.provenance,
        }

    # ---- from numbers to numbers

    @overload
    def forward(self, x: np.ndarray, layers: None = None) -> np.ndarray: ...

    @overload
    def forward(self, x: np.ndarray, layers: str | Iterable[str]) -> dict[str, np.ndarray]: ...

    def forward(self, x: np.ndarray, layers: str | Iterable[str] | None = None) -> np.ndarray | dict[str, np.ndarray]:
        """The scores of an input (N, C, H, W); or the activations at the layers named, by name.

        Parameters
        ----------
        x : float32 or float64 (N, C, H, W)
        layers : str or several, optional
            Paths of layers at any depth: ``["block3", "block3.body.expand", "head"]``. Then the pass ends when the last of them
            has run, and prepares no ``backward``.

        Raises
        ------
        ValueError
            For a layer that is not there; it names those that are most alike.

        >>> from minicnn.models import lenet5
        >>> maps = lenet5().forward(np.zeros((1, 1, 28, 28), np.float32), layers=["s2", "s4"])
        >>> {name: y.shape for name, y in maps.items()}
        {'s2': (1, 6, 14, 14), 's4': (1, 16, 5, 5)}
        """
        if layers is None:
            return super().forward(x)
        self._remembered = None  # what an earlier pass has left: part of it is overwritten now
        return activations(self, x, [layers] if isinstance(layers, str) else layers)

    # ---- from pictures to classes

    def preprocess(self, pictures: Any) -> np.ndarray:
        """The input (N, C, H, W), float32, of one picture or a list of them: paths, bytes, Pillow images, uint8 (H, W, 3).

        Raises
        ------
        ValueError
            If the model has no ``preprocessing``.
        PictureError
            For what is no picture.
        """
        return self.required_preprocessing()(pictures)

    def required_preprocessing(self) -> Preprocessing:
        """The preprocessing; raises a ValueError where there is none."""
        if self.preprocessing is None:
            raise ValueError(
                f"{self.architecture} does not know how pictures are to be prepared for it; give it a "
                "minicnn.data.preprocessing.Preprocessing as its .preprocessing, or call forward(x) with x (N, C, H, W)"
            )
        return self.preprocessing

    def predict(self, pictures: Any) -> np.ndarray:
        """The most probable class of each picture, (N,): its name, or its number if the classes have no names.

        ``pictures`` and what is raised are as in ``decision_function``.
        """
        numbers = self.predict_proba(pictures).argmax(axis=1)
        return numbers if self.classes is None else np.array(self.classes)[numbers]

    def predict_proba(self, pictures: Any) -> np.ndarray:
        """The probabilities of the classes, float32 (N, K): softmax of the scores.

        Where there is a single score s, as `minicnn.losses.BinaryLogistic` trains it, the two classes have 1 - p and p =
        sigmoid(s). ``pictures`` and what is raised are as in ``decision_function``.
        """
        return probabilities(self.decision_function(pictures))

    def top_classes(self, pictures: Any, top: int = 5) -> list[list[tuple[str, float]]]:
        """For each picture the ``top`` most probable classes, (name, probability), the most probable first.

        Classes without names are called "class 0", "class 1", .... ``pictures`` and what is raised are as in
        ``decision_function``.
        """
        return self.rank(self.predict_proba(pictures), top)

    def rank(self, all_probabilities: np.ndarray, top: int = 5) -> list[list[tuple[str, float]]]:
        """The ``top`` classes of each row of probabilities (N, K), as ``top_classes`` gives them."""
        rankings = []
        for p in all_probabilities:
            names = self.classes or [f"class {k}" for k in range(len(p))]
            rankings.append([(names[k], float(p[k])) for k in np.argsort(-p, kind="stable")[:top]])
        return rankings

    def decision_function(self, pictures: Any) -> np.ndarray:
        """The scores of the classes, float32 (N, K), or (N, 1) where two classes share one: ``forward`` for pictures.

        Runs in inference mode, whatever the mode is, and leaves the mode as it was. With a ``preprocessing`` that knows of a
        symmetry, they are the mean over all versions of a picture.

        Parameters
        ----------
        pictures : one picture, a list of them, or an array (N, H, W, 3)
            As in ``preprocess``.

        Raises
        ------
        ValueError
            If the output of the network is not scores of classes, or the model has no ``preprocessing``.
        PictureError
            For what is no picture.
        """
        width = self.number_of_scores()
        pictures = _listed(pictures)
        if len(pictures) == 0:
            return np.empty((0, width), np.float32)
        return self._run(self._for_inference(len(pictures)), pictures)

    def is_novel(self, pictures: Any) -> np.ndarray:
        """Whether each picture is unlike all training pictures, bool (N,): its code is farther away from theirs than the
        threshold that was calibrated on validation pictures. Its class then means nothing.

        ``pictures`` and what is raised are as in ``decision_function``.

        Raises
        ------
        ValueError
            If the model has no detector (``novelty`` is None).
        """
        width, detector = self.number_of_scores(), self.required_novelty()
        pictures = _listed(pictures)
        if len(pictures) == 0:
            return np.empty(0, bool)
        both = self._run(CodesAndScores(self._for_inference(len(pictures)), detector.layer), pictures)
        return detector.excess(both[:, :-width]) > 1

    def required_novelty(self) -> NoveltyDetector:
        """The novelty detector; raises a ValueError where there is none."""
        if self.novelty is None:
            raise ValueError(
                f"this {self.architecture} has nothing to reject pictures with: it was saved without a novelty detector, as "
                "published weights and models of older versions are. minicnn transfer makes models that have one"
            )
        return self.novelty

    def number_of_scores(self) -> int:
        """K, or 1 where two classes share a score; raises a ValueError where the output is not scores of classes."""
        output = self.output_shape((1, *self.input_shape))
        if len(output) != 2:
            raise ValueError(
                f"{self.architecture} gives {output} for one picture, not scores of classes; was it built with "
                "include_top=False? forward(x) gives what it has"
            )
        return output[1]

    def _for_inference(self, number: int) -> Model:
        """What runs so many pictures soonest."""
        is_worth_fusing = number >= PICTURES_WORTH_FUSING and not isinstance(self, FusedNetwork)
        return self.fuse() if is_worth_fusing else self

    def _run(self, network: Layer, pictures: Sequence[Any]) -> np.ndarray:
        """The output of a network of this model's layers for pictures, in inference mode; the mode stays as it was."""
        mode = self.training, self.remembers
        try:
            return infer(
                network,
                len(pictures),
                lambda indices: self.preprocess([pictures[i] for i in indices]),
                views=lambda x: self.preprocessing.test_time_views(x),
            )
        finally:
            if mode != (self.training, self.remembers):
                self._set_mode(*mode)

    def score(self, pictures: Any, labels: Any) -> float:
        """Accuracy: the share of pictures whose most probable class is the one in ``labels``.

        Parameters
        ----------
        pictures : as in ``decision_function``
        labels : (N,) of str or int
            Names of classes, or their numbers.

        Raises
        ------
        ValueError
            If there are no pictures, not as many labels as pictures, or labels that are no classes of this model; and for all
            that ``decision_function`` refuses.
        """
        pictures, labels = _listed(pictures), np.atleast_1d(np.asarray(labels))
        if len(pictures) == 0 or labels.shape != (len(pictures),):
            raise ValueError(f"expected a label for each of {len(pictures)} pictures, at least one, got labels {labels.shape}")
        are_numbers = labels.dtype.kind in "iu"
        classes = range(number_of_classes(self.output_shape((1, *self.input_shape)))) if are_numbers else self.classes or []
        if unknown := sorted(set(labels.tolist()) - set(classes), key=str):
            raise ValueError(
                f"{', '.join(map(repr, unknown[:5]))}: no classes of {self.architecture}; labels are "
                + (f"the names {', '.join(self.classes[:5])}, ... or " if self.classes else "")
                + "the numbers of classes, from 0 on"
            )
        predicted = self.predict_proba(pictures).argmax(axis=1) if are_numbers else self.predict(pictures)
        return float(np.mean(predicted == labels))

    def features(self, x: np.ndarray, layer: str) -> np.ndarray:
        """The activations at one layer, for an input (N, C, H, W); for several at once see ``forward``."""
        return self.forward(x, [layer])[layer]

    # ---- what is in it

    def summary(self, input_shape: tuple[int, int, int] | None = None, depth: int = 1) -> str:
        """A table of the layers: name, type, output shape, parameters, multiply-adds of one picture, what is trainable; and
        how fast it learns, if not all alike. ``input_shape`` is (C, H, W) of another size than the usual; ``depth`` 2 opens the
        blocks, 3 what is inside those.
        """
        return summary_table(self, input_shape or self.input_shape, depth)

    @property
    def classifier_name(self) -> str:
        """Path of the layer that gives the scores, the last one with weights; see `minicnn.models.heads.find_classifier`.

        Raises
        ------
        ValueError
            If the network does not end in a classifier.
        """
        return find_classifier(self)[0]

    @property
    def classifier(self) -> Classifier:
        """The layer that gives the scores; as ``classifier_name``, it raises a ValueError where there is none."""
        return find_classifier(self)[1]

    # ---- transfer

    def freeze(self, until: str | None = None, names: str | Iterable[str] | None = None) -> Model:
        """Freeze everything; or everything up to and including a top-level layer; or what is named. Returns the model.

        What is frozen already stays so: this only ever adds (``unfreeze()`` first to start afresh).

        Parameters
        ----------
        until : str, optional
            A top-level layer, e.g. ``"block4"``.
        names : str or several, optional
            Paths of layers or parameters; a layer's path stands for all inside: ``"head"``, ``"block3.body.expand.conv.w"``.

        Raises
        ------
        ValueError
            For a name that is not there; it lists those that are.

        >>> from minicnn.models import lenet5
        >>> model = lenet5().freeze(until="s4")
        >>> [name for name, parameter in model.parameters().items() if parameter.trainable]
        ['c5.w', 'c5.b', 'f6.w', 'f6.b', 'output.w', 'output.b']
        """
        if until is None and names is None:
            super().freeze()
            return self
        chosen: list[str] = [names] if isinstance(names, str) else list(names or ())
        if until is not None:
            if until not in self.layers:
                raise ValueError(f"there is no {until!r} to freeze until; {self.architecture} has {', '.join(self.layers)}")
            order = list(self.layers)
            chosen += order[: order.index(until) + 1]
        parameters = self.parameters()
        paths = {path for path, _ in self.walk()} | set(parameters)
        unknown = [name for name in chosen if name not in paths]
        if unknown:
            raise ValueError(
                f"there is no {', '.join(map(repr, unknown))} to freeze in {self.architecture}; its layers are "
                f"{', '.join(self.layers)}, and a layer inside is named by its path, e.g. {max(parameters, key=len)!r}"
            )
        for path, parameter in parameters.items():
            if any(path == name or path.startswith(f"{name}.") for name in chosen):
                parameter.trainable, parameter.grad = False, None
        return self

    def cut(self, layer: str) -> Model:
        """A copy of the network that ends with this top-level layer: what is above is gone, and this model stays as it was.

        Input size, preprocessing and provenance are kept, and what is frozen stays so. The class names go with the scores that
        they name, and so do auxiliary heads, classifiers for the old classes; only a cut after the last layer keeps them.

        Raises
        ------
        ValueError
            For a layer that is not there, or inside another one.
        """
        top, _, inside = layer.partition(".")
        if inside and top in self.layers:
            raise ValueError(
                f"{layer!r} is inside {top!r}, and {self.architecture} can be cut after a top-level layer only: cut({top!r}). "
                f"What comes out inside is given by features(x, {layer!r})"
            )
        lower, upper = self.split(layer)
        if not upper.layers:
            return self.copy()
        kept = {name: child for name, child in lower.layers.items() if not isinstance(child, AuxiliaryHead)}
        name = f"{self.architecture} up to {layer}"
        model = type(self)(**self.config() | {"layers": copy.deepcopy(kept), "architecture": name, "classes": None})
        model.training, model.remembers = self.training, self.remembers
        return model

    def replace_head(self, classes: int | Sequence[str], rng: np.random.Generator | int | None = None) -> Classifier:
        """Put a new classifier of the same kind, for other classes, in the place of the old one, and return it.

        Its weights are drawn from a normal distribution of standard deviation 0.01 and its biases are 0, so that at first all
        classes are about equally probable.

        A ReLU right after the classifier, as SqueezeNet has it, is taken away. It cuts scores off at zero, and where it does no
        gradient passes: a class whose new weights give no positive score anywhere in a picture could not learn from it. And
        without it the averaged scores are those of a linear classifier on the averaged maps, so that one can be put in here.
        Auxiliary heads, as GoogLeNet has them, are classifiers for the old classes, and are taken away as well.

        Parameters
        ----------
        classes : int or sequence of str
            The number of classes, or their names.
        rng : None, int or numpy.random.Generator

        Returns
        -------
        Linear or Conv2d
            The new classifier, which is part of the network.

        Raises
        ------
        ValueError
            If two names are the same, or the network does not end in a classifier.
        """
        names = None if isinstance(classes, (int, np.integer)) else [str(name) for name in classes]
        if isinstance(classes, str) or (names is not None and len(set(names)) < len(names)):
            raise ValueError(f"classes is a number or a list of names that differ, got {classes!r}")
        number = len(names) if names is not None else int(classes)
        new = replace_classifier(self, number, normal(HEAD_STD), rng)
        self.classes, self.novelty = names, None
        return new

    def copy(self) -> Model:
        """A copy that shares nothing with this model."""
        return copy.deepcopy(self)

    def fuse(self) -> Model:
        """A copy for inference only, in which convolutions do the work of batch norm and ReLU: see `minicnn.inference.fuse`."""
        fused = FusedModel(**self.config() | {"layers": fuse(self, [self.novelty.layer] if self.novelty else ()).children()})
        fused.novelty = self.novelty
        return fused

    def save(self, path: str | os.PathLike, dtype: str = "float32") -> None:
        """Write it to one HDF5 file that ``minicnn.load(path)`` reads; a file that is there is replaced in one step at the end.

        Parameters
        ----------
        path : path of an ``.h5`` file
            Folders on the way are made.
        dtype : "float32" or "float16"
            Of the stored weights. float16 halves the file and keeps 3 significant digits; it is loaded as float32 again, and
            batch norm's statistics stay in float32.

        Raises
        ------
        ValueError
            If a layer could not be built again from the file, or a weight is too large for float16. Those of ``minicnn.layers``
            can; so can those of a class of your own whose ``config()`` gives the arguments of its constructor, if the class is
            handed over on loading (``custom_layers``). Those of a fused model cannot.
        OSError
            If the file cannot be written (disk full, no permission). What was there before is untouched.
        """
        store.write(path, self.config() | {"novelty": self.novelty}, self.parameters(), self.state(), dtype)


class FusedModel(Model, FusedNetwork):
    """What ``fuse`` makes of a model: the same scores sooner, in inference only.

    Its layers are those of `minicnn.inference.fused_layers`; ``forward`` is that of a `FusedNetwork`.
    """


# ---- files


def save_model(model: Model, path: str | os.PathLike, dtype: str = "float32") -> None:
    """Write a model to an ``.h5`` file: ``model.save(path, dtype)``."""
    model.save(path, dtype)


def load_model(path: str | os.PathLike, custom_layers: Iterable[type[Layer]] = ()) -> Model:
    """The model in a file that ``model.save(path)`` wrote, in inference mode, with what was frozen still frozen.

    Parameters
    ----------
    path : path
    custom_layers : classes
        Of the layers in it that are not in ``minicnn.layers``, but the user's own: ``[Swish]``.

    Raises
    ------
    WeightsError
        If it is not there, truncated, not such a file, or describes anything but layers of ``minicnn.layers`` and of
        ``custom_layers``.
    """
    return store.read(path, Model, custom_layers)


def _listed(pictures: Any) -> Any:
    """Several pictures as they are, one picture as a list of one."""
    several = isinstance(pictures, (list, tuple)) or (isinstance(pictures, np.ndarray) and pictures.ndim == 4)
    return pictures if several else [pictures]
