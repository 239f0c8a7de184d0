"""Lesson 12: the mistakes that people make in its tasks, each as the solution with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import solution

from minicnn.course import Slip
from minicnn.layers import BatchNorm1d, BatchNorm2d, Layer, Linear, Parameter
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model
from minicnn.optim import SGD, Adam

HEADS = "scores", "classifier", "fc", "top"  # what the last layer is called in the checks


# ---- Task 1: a new head, and a frozen body


def head_by(
    make: Callable = lambda old, num_classes, rng: Linear(old.in_features, num_classes, rng=rng),
    is_frozen: Callable[[str, list[str]], bool] = lambda name, lower: name.split(".")[0] in lower,
    reach: int = 1,
    keeps_old_flags: bool = False,
) -> dict[str, Callable]:
    """replace_head_and_freeze() with another new layer, or with other parameters frozen: is_frozen(name, lower).

    ``lower`` has the names of the layers up to and including ``until``, or so many more or fewer as ``reach`` says.
    """

    def replace_head_and_freeze(network: Model, num_classes: int, until: str, rng: np.random.Generator) -> Model:
        names = list(network.layers)
        network.layers[names[-1]] = make(network.layers[names[-1]], num_classes, rng)
        for name, parameter in network.parameters().items():
            was_frozen = keeps_old_flags and not parameter.trainable
            parameter.trainable = not (was_frozen or is_frozen(name, names[: names.index(until) + reach]))
        return network

    return {"replace_head_and_freeze": replace_head_and_freeze}


def until_parameters(network: Model, num_classes: int, until: str, rng: np.random.Generator) -> Model:
    """Freezes parameter after parameter, and ends after those of ``until``, which may have none."""
    solution.replace_head_and_freeze(network, num_classes, until, rng)
    return network if network.layers[until].parameters() else network.freeze()


def frozen_part(network: Model, num_classes: int, until: str, rng: np.random.Generator) -> Layer:
    return solution.replace_head_and_freeze(network, num_classes, until, rng).split(until)[0]


def constant_weights(value: float) -> Callable:
    def make(old: Linear, num_classes: int, rng: np.random.Generator) -> Linear:
        head = Linear(old.in_features, num_classes, rng=rng)
        head.w.value[...] = value
        return head

    return make


def rows_of_the_old_head(old: Linear, num_classes: int, rng: np.random.Generator) -> Linear:
    head = Linear(old.in_features, num_classes, rng=rng)
    rows = np.arange(num_classes) % old.out_features
    head.w.value[...] = old.w.value[rows]
    return head


def last_only(name: str, lower: list[str]) -> bool:
    return name.split(".")[0] == lower[-1]


HEAD_SLIPS = (
    Slip(
        "What should be frozen is trainable, and the other way round",
        "A frozen parameter is one that training leaves alone. Is it trainable?",
        head_by(is_frozen=lambda name, lower: name.split(".")[0] not in lower),
        r"trainable|freeze",
    ),
    Slip(
        "The layer named by until can still be trained",
        "Up to and *including*: does your loop end before this layer, or after it?",
        head_by(reach=0),
        r"break|index|== *until",
    ),
    Slip(
        "One layer too many is frozen",
        "Up to and including `until`: what about the layer above it?",
        head_by(reach=2),
        r"index|\+",
    ),
    Slip(
        "Nothing is frozen",
        "A flag of your own does nothing. What does the optimiser look at, in each parameter?",
        head_by(is_frozen=lambda name, lower: False),
        r"frozen|trainable|freeze",
    ),
    Slip(
        "Only the layer named by until is frozen, and nothing below it",
        "What is below it would still change, and with it everything that this layer sees.",
        head_by(is_frozen=last_only),
        r"\[until\]|== *until|until",
    ),
    Slip(
        "A layer without parameters is never reached",
        "A ReLU has no parameters, so that its name is in no parameter's name. Where else do all layers stand in their order?",
        {"replace_head_and_freeze": until_parameters},
        r"parameters\(\)",
    ),
    Slip(
        "Layers whose names only begin alike are frozen as well",
        '"unit12" begins with "unit1". What follows a layer\'s name in the name of a parameter?',
        head_by(is_frozen=lambda name, lower: name.startswith(tuple(lower))),
        r"startswith|in name",
    ),
    Slip(
        "Layers inside others are not frozen",
        'The parameter "unit1.conv.w" belongs to the layer unit1. Which part of its name says so?',
        head_by(is_frozen=lambda name, lower: name.rsplit(".", 1)[0] in lower),
        r"split|hasattr",
    ),
    Slip(
        "Only weights are frozen, and not biases, gamma and beta",
        "A bias that goes on learning changes the layer as well; and a batch norm whose gamma learns is not frozen.",
        head_by(is_frozen=lambda name, lower: name.split(".")[0] in lower and name.endswith(".w")),
        r"\.w\b|\"w\"|decays",
    ),
    Slip(
        "Batch norms are left trainable",
        "Everything up to `until`: gamma and beta too, and with them the running statistics.",
        head_by(is_frozen=lambda name, lower: name.split(".")[0] in lower and not name.endswith(("gamma", "beta"))),
        r"gamma|Norm|norm",
    ),
    Slip(
        "Everything is frozen, the new head too",
        "Then nothing can be learned.",
        head_by(is_frozen=lambda name, lower: True),
        r"freeze\(|trainable",
    ),
    Slip(
        "Everything but the head is frozen, whatever until says",
        "Which layers between `until` and the head are to be trained?",
        head_by(is_frozen=lambda name, lower: name.split(".")[0] not in HEADS),
        r"freeze\(|trainable",
    ),
    Slip(
        "What was frozen before stays frozen",
        "Somebody may have frozen layers above `until` in an earlier phase.",
        head_by(keeps_old_flags=True),
        r"freeze\(|trainable",
    ),
    Slip(
        "The last layer is still the old one",
        "It knows the old classes. Where is the new one put?",
        head_by(lambda old, num_classes, rng: old),
        r"Linear|layers\[",
    ),
    Slip(
        "The new head has as many outputs as the old one",
        "How many classes are there now?",
        head_by(lambda old, num_classes, rng: Linear(old.in_features, old.out_features, rng=rng)),
        r"Linear\(",
    ),
    Slip(
        "The new head has as many inputs as the old one had outputs",
        "The layers below have not changed: what do they hand up?",
        head_by(lambda old, num_classes, rng: Linear(old.out_features, num_classes, rng=rng)),
        r"Linear\(",
    ),
    Slip(
        "Inputs and outputs of the new head have changed places",
        "Linear(in_features, out_features): the inputs come first. (It is w that has the outputs first.)",
        head_by(lambda old, num_classes, rng: Linear(num_classes, old.in_features, rng=rng)),
        r"Linear\(",
    ),
    Slip(
        "All weights of the new head are 0",
        "Random weights were asked for.",
        head_by(constant_weights(0.0)),
        r"zeros|= *0",
    ),
    Slip(
        "The new head has weights of the old one",
        "They belong to other classes. Random weights were asked for.",
        head_by(rows_of_the_old_head),
        r"old|w\.value",
    ),
    *(
        Slip(
            "The new head has a seed of its own",
            "Whoever passes another rng expects other weights.",
            head_by(lambda old, num_classes, rng, seed=seed: Linear(old.in_features, num_classes, rng=seed)),
            r"Linear\(|default_rng",
        )
        for seed in (0, 1, 42)
    ),
    Slip(
        "Only the frozen part of the network is returned",
        "The network was to be returned, all of it.",
        {"replace_head_and_freeze": frozen_part},
        r"return",
    ),
)

# ---- Task 2: learning rates by depth


def is_norm(layer: Layer) -> bool:
    return isinstance(layer, (BatchNorm1d, BatchNorm2d))


def depths(network: Model, count: Callable[[Layer], int]) -> dict[str, int]:
    """For each top-level layer: how many steps there are above it, where a layer is count(layer) steps."""
    above, result = 0, {}
    for name, layer in reversed(network.layers.items()):
        result[name] = above
        above += count(layer)
    return result


def rates_by(
    count: Callable[[Layer], int] = lambda layer: bool(layer.parameters()) and not is_norm(layer),
    depth: Callable[[str, dict[str, int], Model], float] = lambda name, by_layer, network: by_layer[name.split(".")[0]],
    multiplier: Callable[[float, float, float], float] = lambda decay, depth, old: decay**depth,
    which: Callable[[str, Parameter], bool] = lambda name, parameter: True,
) -> dict[str, Callable]:
    """set_learning_rates() that counts otherwise, by other numbers, or only for some parameters."""

    def set_learning_rates(network: Model, decay: float) -> Model:
        by_layer = depths(network, count)
        for name, parameter in network.parameters().items():
            if which(name, parameter):
                steps = depth(name, by_layer, network)
                parameter.learning_rate_multiplier = float(multiplier(decay, steps, parameter.learning_rate_multiplier))
        return network

    return {"set_learning_rates": set_learning_rates}


def by_parameter(name: str, by_layer: dict[str, int], network: Model) -> int:
    return list(reversed(network.parameters())).index(name)


def from_the_bottom(name: str, by_layer: dict[str, int], network: Model) -> int:
    counted = [by_layer[key] for key, layer in network.layers.items() if layer.parameters()]
    return max(counted) - by_layer[name.split(".")[0]]


def with_the_layer_above(name: str, by_layer: dict[str, int], network: Model) -> int:
    top = name.split(".")[0]
    return by_layer[top] - is_norm(network.layers[top])


def steps_with_its_own(name: str, by_layer: dict[str, int], network: Model) -> int:
    top = name.split(".")[0]
    return by_layer[top] + (not is_norm(network.layers[top]))


def frozen_rates(network: Model, decay: float) -> Model:
    head = list(network.layers)[-1]
    solution.set_learning_rates(network, decay).freeze()
    network.layers[head].unfreeze()
    return network


def innermost(name: str, by_layer: dict[str, int], network: Model) -> int:
    """Steps of the innermost layers with parameters, batch norms going with what is below them."""
    above, found = 0, {}
    for path, layer in reversed([(path, layer) for path, layer in network.walk() if path and not layer.children()]):
        found[path] = above
        above += bool(layer.parameters()) and not is_norm(layer)
    return found[name.rsplit(".", 1)[0]]


def innermost_with_norms(name: str, by_layer: dict[str, int], network: Model) -> int:
    paths = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in network.parameters()))
    return paths[::-1].index(name.rsplit(".", 1)[0])


RATES_SLIPS = (
    Slip(
        "Layers without parameters count as well",
        "A ReLU or a pool learns nothing. Only layers that do are steps on the way down.",
        rates_by(count=lambda layer: 1),
        r"enumerate|layers|len\(",
    ),
    Slip(
        "Layers without parameters count as well",
        "A ReLU or a pool learns nothing. Only layers that do are steps on the way down.",
        rates_by(count=lambda layer: not is_norm(layer)),
        r"enumerate|layers|len\(",
    ),
    Slip(
        "A batch norm counts as a step of its own",
        "It has the multiplier of the layer below it: which of the two must not lower the rate?",
        rates_by(count=lambda layer: bool(layer.parameters())),
        r"parameters\(\)|decay",
    ),
    Slip(
        "A batch norm has the multiplier of the layer above it",
        "It normalises what the convolution *below* it gives.",
        rates_by(depth=with_the_layer_above),
        r"Norm|norm",
    ),
    Slip(
        "The lowest layer has 1, and the head the least",
        "Which of them is new, and has to learn fast?",
        rates_by(depth=from_the_bottom),
        r"reversed|\[::-1\]|enumerate|decay",
    ),
    Slip(
        "The head does not have 1",
        "The first layer from above has decay^0.",
        rates_by(multiplier=lambda decay, depth, old: decay ** (depth + 1)),
        r"\*=|\*\*|decay",
    ),
    Slip(
        "The head does not have 1",
        "Is a layer given its number before it is made smaller, or after?",
        rates_by(depth=steps_with_its_own),
        r"\*=|\*\*|decay",
    ),
    Slip(
        "The layer below the head has 1 as well",
        "From the head to the next layer the rate falls already.",
        rates_by(multiplier=lambda decay, depth, old: decay ** max(depth - 1, 0)),
        r"\*\*|decay",
    ),
    Slip(
        "The multiplier is multiplied, and not set",
        "Whatever it was before: what is it after two calls?",
        rates_by(multiplier=lambda decay, depth, old: old * decay**depth),
        r"\*=|\.learning_rate_multiplier *\*",
    ),
    Slip(
        "All layers below the head have the same multiplier",
        "Two layers down it is decay times decay.",
        rates_by(multiplier=lambda decay, depth, old: decay if depth else 1.0),
        r"decay",
    ),
    Slip(
        "The multiplier falls by the same amount, and not by the same factor",
        "Write down the numbers for decay = 1/2: 1, 1/2, 1/4, ...",
        rates_by(multiplier=lambda decay, depth, old: 1 - depth * (1 - decay)),
        r"-",
    ),
    Slip(
        "The multiplier is decay divided by the number of the layer",
        "Write down the numbers for decay = 1/2: 1, 1/2, 1/4, ...",
        rates_by(multiplier=lambda decay, depth, old: decay / depth if depth else 1.0),
        r"/",
    ),
    Slip(
        "The multiplier is decay times the number of the layer",
        "Each layer has decay times the rate of the one above it: that is a power.",
        rates_by(multiplier=lambda decay, depth, old: decay * depth if depth else 1.0),
        r"\*",
    ),
    Slip(
        "Lower layers learn faster than the head",
        "Should the general layers at the bottom move more than the new head, or less?",
        rates_by(multiplier=lambda decay, depth, old: decay**-depth),
        r"/|-",
    ),
    Slip(
        "Every parameter is a step of its own",
        "Weights and biases of one layer learn at the same rate. What are the steps of a loop over network.parameters()?",
        rates_by(depth=by_parameter),
        r"parameters\(\)|enumerate",
    ),
    Slip(
        "Each layer inside a block is a step of its own",
        "A block is one layer of the top level. Which loop sees the top level only, network.walk() or network.layers?",
        rates_by(depth=innermost),
        r"walk|split",
    ),
    Slip(
        "Each layer inside a block is a step of its own, and so is each batch norm",
        "A block is one layer of the top level, and a batch norm goes with the layer below it.",
        rates_by(depth=innermost_with_norms),
        r"walk|split",
    ),
    Slip(
        "Frozen layers are no steps",
        "They count like the others. Otherwise all rates would change when somebody freezes a layer.",
        rates_by(count=lambda layer: layer.trainable and not is_norm(layer)),
        r"trainable",
    ),
    Slip(
        "Frozen parameters keep their old multiplier",
        "They count like the others: whoever unfreezes them later expects the rates that you have set.",
        rates_by(which=lambda name, parameter: parameter.trainable),
        r"trainable",
    ),
    Slip(
        "Only weights get their multiplier, and not biases, gamma and beta",
        "An optimiser moves these, too.",
        rates_by(which=lambda name, parameter: parameter.decays),
        r"\.w\b|\"w\"|decays",
    ),
    Slip(
        "Layers inside blocks are left out",
        "The parameters of a block are those of the layers inside it: layer.parameters() gives them.",
        rates_by(which=lambda name, parameter: name.count(".") == 1),
        r"hasattr|getattr|\.w\b",
    ),
    Slip(
        "Layers inside blocks are left out, and blocks are no steps",
        "A block has parameters, those of the layers inside it: layer.parameters() gives them.",
        rates_by(
            count=lambda layer: bool(layer.parameters()) and not layer.children() and not is_norm(layer),
            which=lambda name, parameter: name.count(".") == 1,
        ),
        r"hasattr|getattr|\.w\b|children",
    ),
    Slip(
        "All layers below the head are frozen",
        "They are to learn slowly, and not to stop.",
        {"set_learning_rates": frozen_rates},
        r"freeze|trainable",
    ),
)

# ---- Task 3: a step that keeps near the pretrained weights


def penalty_by(old: Callable | None = None, new: Callable | None = None) -> dict[str, Callable]:
    """l2sp_gradient() with another gradient old(w, w0, alpha, beta) of pretrained weights, or new(w, alpha, beta) of others."""

    def l2sp_gradient(w: np.ndarray, w0: np.ndarray | None, alpha: float, beta: float) -> Any:
        if w0 is None:
            return new(w, alpha, beta) if new else beta * w
        return old(w, w0, alpha, beta) if old else alpha * (w - w0)

    return {"l2sp_gradient": l2sp_gradient}


PENALTY_SLIPS = (
    Slip(
        "Pretrained weights are pushed away from where they were",
        "A step *subtracts* the gradient. R grows with the distance: which sign does its derivative have where w > w0?",
        penalty_by(old=lambda w, w0, alpha, beta: alpha * (w0 - w)),
        r"w0 *-|-",
    ),
    Slip(
        "Both gradients have the wrong sign",
        "A step *subtracts* the gradient; do not do it here already.",
        penalty_by(lambda w, w0, alpha, beta: alpha * (w0 - w), lambda w, alpha, beta: -beta * w),
        r"-",
    ),
    Slip(
        "The gradients are twice too large",
        "What does the half in R do when the square is differentiated?",
        penalty_by(lambda w, w0, alpha, beta: 2 * alpha * (w - w0), lambda w, alpha, beta: 2 * beta * w),
        r"2 *\*|\* *2",
    ),
    Slip(
        "The gradient of pretrained weights is twice too large",
        "What does the half in R do when the square is differentiated?",
        penalty_by(old=lambda w, w0, alpha, beta: 2 * alpha * (w - w0)),
        r"2 *\*|\* *2",
    ),
    Slip(
        "The gradients are half as large as they should be",
        "The derivative of a square has a 2, and R a half.",
        penalty_by(lambda w, w0, alpha, beta: alpha / 2 * (w - w0), lambda w, alpha, beta: beta / 2 * w),
        r"/ *2|0\.5",
    ),
    Slip(
        "Pretrained weights are drawn to 0",
        "That is plain weight decay. Where is R of a pretrained layer least?",
        penalty_by(old=lambda w, w0, alpha, beta: alpha * w),
        r"alpha",
    ),
    Slip(
        "Pretrained weights are drawn to 0, and to where they were",
        "R of a pretrained layer knows one place only, w0.",
        penalty_by(old=lambda w, w0, alpha, beta: alpha * (w - w0) + beta * w),
        r"beta",
    ),
    Slip(
        "alpha and beta are exchanged",
        "alpha is for pretrained layers, beta for new ones.",
        penalty_by(lambda w, w0, alpha, beta: beta * (w - w0), lambda w, alpha, beta: alpha * w),
        r"alpha|beta",
    ),
    Slip(
        "New layers have no penalty",
        "Without pretrained weights to go back to, there is still beta.",
        penalty_by(new=lambda w, alpha, beta: np.zeros_like(w)),
        r"zeros|None",
    ),
    Slip(
        "New layers are drawn to 0 by alpha",
        "w0 = 0 in the first equation is nearly right. Which strength belongs to new layers?",
        penalty_by(new=lambda w, alpha, beta: alpha * w),
        r"zeros|alpha",
    ),
    Slip(
        "The gradient of a new layer is beta, whatever w is",
        "Differentiate (beta / 2) w^2.",
        penalty_by(new=lambda w, alpha, beta: beta * np.ones_like(w)),
        r"beta",
    ),
    Slip(
        "Only the sign of the distance counts",
        "That is the derivative of |w - w0|. Here the distance is squared.",
        penalty_by(lambda w, w0, alpha, beta: alpha * np.sign(w - w0), lambda w, alpha, beta: beta * np.sign(w)),
        r"sign",
    ),
    Slip(
        "The penalty itself is returned",
        "Its derivative is asked for, one number for each weight.",
        penalty_by(
            lambda w, w0, alpha, beta: alpha / 2 * float(((w - w0) ** 2).sum()),
            lambda w, alpha, beta: beta / 2 * float((w**2).sum()),
        ),
        r"sum",
    ),
    Slip(
        "The gradients are divided by the number of weights",
        "R is a sum over all weights, not a mean.",
        penalty_by(lambda w, w0, alpha, beta: alpha * (w - w0) / w.size, lambda w, alpha, beta: beta * w / w.size),
        r"size|mean|len",
    ),
    Slip(
        "The square is not differentiated",
        "The derivative of (w - w0)^2 / 2 has no square any more.",
        penalty_by(lambda w, w0, alpha, beta: alpha * (w - w0) ** 2, lambda w, alpha, beta: beta * w**2),
        r"\*\* *2|square",
    ),
)


def step_by(
    moves: Callable[[Parameter], bool] = lambda p: p.trainable and p.grad is not None,
    gradient: Callable[[Parameter], Any] = lambda p: p.grad,
    penalised: Callable[[Parameter], bool] = lambda p: p.decays,
    origin: Callable[[str, Parameter, dict], Any] = lambda name, p, start: start.get(name),
    update: Callable = lambda w, dw, dR, rate, multiplier: w - rate * multiplier * (dw + dR),
    scale: Callable[[Parameter], float] = lambda p: p.learning_rate_multiplier,
) -> dict[str, Callable]:
    """sgd_step() that moves others, draws others or elsewhere, or moves otherwise."""

    def sgd_step(
        parameters: dict[str, Parameter], start: dict[str, np.ndarray], learning_rate: float, alpha: float, beta: float
    ) -> dict[str, Parameter]:
        for name, p in parameters.items():
            if moves(p):
                dR = solution.l2sp_gradient(p.value, origin(name, p, start), alpha, beta) if penalised(p) else 0
                p.value = update(p.value, gradient(p), dR, learning_rate, scale(p)).astype(p.value.dtype)
        return parameters

    return {"sgd_step": sgd_step}


def gradient_or_zero(parameter: Parameter) -> Any:
    return 0 if parameter.grad is None else parameter.grad


STEP_SLIPS = (
    Slip(
        "What is frozen moves as well",
        "A frozen parameter may still hold the gradient of an earlier phase. Which flag says that it must not be used?",
        step_by(moves=lambda p: p.grad is not None),
        r"for |grad",
    ),
    Slip(
        "What should be frozen moves, and the other way round",
        "Frozen is trainable = False. Which value must a parameter have to be moved?",
        step_by(moves=lambda p: not p.trainable and p.grad is not None),
        r"trainable",
    ),
    Slip(
        "A parameter without a gradient breaks it",
        "The gradient is None where none was computed: in frozen layers, or before the first backward pass.",
        step_by(moves=lambda p: p.trainable),
        r"grad",
    ),
    Slip(
        "A parameter without a gradient is drawn to where it was all the same",
        "It stays as it is to the bit: no step at all, the penalty's neither.",
        step_by(moves=lambda p: p.trainable, gradient=gradient_or_zero),
        r"None|zeros",
    ),
    Slip(
        "What is frozen is drawn to where it was all the same",
        "It stays as it is to the bit: no step at all, the penalty's neither.",
        step_by(
            moves=lambda p: p.grad is not None or not p.trainable,
            gradient=lambda p: p.grad if p.trainable else 0,
        ),
        r"trainable",
    ),
    Slip(
        "The step goes uphill",
        "The gradient points to where the loss grows. Descent subtracts it. (The lecture's slide has it the wrong way round.)",
        step_by(update=lambda w, dw, dR, rate, multiplier: w + rate * multiplier * (dw + dR)),
        r"\+=",
    ),
    Slip(
        "The penalty has the wrong sign in the step",
        "Loss and penalty are added, and so are their gradients.",
        step_by(update=lambda w, dw, dR, rate, multiplier: w - rate * multiplier * (dw - dR)),
        r"-",
    ),
    Slip(
        "The multiplier is left out",
        "Which rate does this parameter learn at, if the optimiser's is learning_rate?",
        step_by(scale=lambda p: 1.0),
        r"learning_rate",
    ),
    Slip(
        "The multiplier replaces the learning rate",
        "The two are multiplied.",
        step_by(update=lambda w, dw, dR, rate, multiplier: w - multiplier * (dw + dR)),
        r"multiplier",
    ),
    Slip(
        "The learning rate is divided by the multiplier",
        "A multiplier of 0.1 is to make a parameter slower, not faster.",
        step_by(update=lambda w, dw, dR, rate, multiplier: w - rate / multiplier * (dw + dR)),
        r"/",
    ),
    Slip(
        "The multiplier is for the gradient only, and not for the penalty",
        "In the equation it stands outside the bracket.",
        step_by(update=lambda w, dw, dR, rate, multiplier: w - rate * (multiplier * dw + dR)),
        r"multiplier",
    ),
    Slip(
        "The penalty is not multiplied by the learning rate",
        "In the equation the rate stands outside the bracket.",
        step_by(update=lambda w, dw, dR, rate, multiplier: w - rate * multiplier * dw - dR),
        r"-",
    ),
    Slip(
        "The penalty is for biases, gamma and beta as well",
        "Which flag of a parameter says that penalties are for it?",
        step_by(penalised=lambda p: True),
        r"l2sp_gradient|alpha|start",
    ),
    Slip(
        "The penalty is for biases, gamma and beta, and not for weights",
        "decays is true for weights, and false for the others.",
        step_by(penalised=lambda p: not p.decays),
        r"decays",
    ),
    Slip(
        "There is no penalty",
        "Where in your step do alpha, beta and start come in?",
        step_by(penalised=lambda p: False),
        r"grad",
    ),
    Slip(
        "The new head has no penalty",
        "A name that is not in start still has a penalty, with beta.",
        step_by(
            update=lambda w, dw, dR, rate, multiplier: w - rate * multiplier * (dw + dR),
            origin=lambda name, p, start: start.get(name, p.value),
        ),
        r"start|in ",
    ),
    Slip(
        "The new head is drawn to 0 by alpha",
        "Its pretrained weights are not 0, there are none: w0 is None.",
        step_by(origin=lambda name, p, start: start.get(name, np.zeros_like(p.value))),
        r"zeros|get\(",
    ),
    Slip(
        "Pretrained weights are treated like those of a new head",
        "start has the arrays by name: is it asked for the right name?",
        step_by(origin=lambda name, p, start: None),
        r"None|start",
    ),
    Slip(
        "Weights are set to the step, and not moved by it",
        "The new w is the old w minus something.",
        step_by(update=lambda w, dw, dR, rate, multiplier: -rate * multiplier * (dw + dR)),
        r"value *=",
    ),
    Slip(
        "The arrays are returned, and not the parameters",
        "What comes back is the dict that was given: its values are Parameters.",
        {"sgd_step": lambda *given: {name: p.value for name, p in solution.sgd_step(*given).items()}},
        r"return",
    ),
)

# ---- Task 4: a batch normalisation that can be frozen


def by_channel(a: np.ndarray) -> np.ndarray:
    return a[:, None, None]


def norm_by(
    uses_batch: Callable[[bool, bool], bool] = lambda training, trainable: training and trainable,
    moves: Callable[[bool, bool], bool] = lambda training, trainable: training and trainable,
    axes: tuple[int, ...] = (0, 2, 3),
    average: Callable = lambda running, batch, momentum: (1 - momentum) * running + momentum * batch,
    unbiased: Callable = lambda variance, M: variance * M / (M - 1),
    divided: Callable = lambda c, variance, eps: c / by_channel(np.sqrt(variance + eps)),
    picked: Callable | None = None,
    finish: Callable = lambda y, x, training, trainable: y,
) -> dict[str, Callable]:
    """norm_forward() with one of its parts changed.

    ``picked(batch, running, new, M)`` gives the mean and variance that normalise a batch in training; the first three are
    such pairs.
    """

    def norm_forward(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
        running = new = running_mean, running_var
        batch = x.mean(axis=axes), x.var(axis=axes)
        M = x.size // x.shape[1]
        if moves(training, trainable):
            new = average(running_mean, batch[0], momentum), average(running_var, unbiased(batch[1], M), momentum)
        mean, variance = batch if uses_batch(training, trainable) else running
        if picked and training and trainable:
            mean, variance = picked(batch, running, new, M)
        y = by_channel(gamma) * divided(x - by_channel(mean), variance, eps) + by_channel(beta)
        return finish(y, x, training, trainable), new[0].copy(), new[1].copy()

    return {"norm_forward": norm_forward}


def forgotten(change: Callable) -> dict[str, Callable]:
    """norm_forward() of changed arguments: change(gamma, beta) gives both."""

    def norm_forward(x, gamma, beta, *others):
        return solution.norm_forward(x, *change(gamma, beta), *others)

    return {"norm_forward": norm_forward}


def without_mean(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
    y, new_mean, new_var = solution.norm_forward(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps)
    uses_batch = training and trainable
    mean, variance = (x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))) if uses_batch else (running_mean, running_var)
    return y + by_channel(gamma * mean / np.sqrt(variance + eps)), new_mean, new_var


NORM_SLIPS = (
    Slip(
        "A frozen norm uses and moves its statistics in train mode like any other",
        "Train mode alone does not decide. What else must be true for the statistics of the batch to be used?",
        norm_by(lambda training, trainable: training, lambda training, trainable: training),
        r"if |training",
    ),
    Slip(
        "The statistics of a frozen norm still move",
        "It normalises as it should. But a frozen layer is the same after training, and that includes its statistics.",
        norm_by(moves=lambda training, trainable: training),
        r"if |training|momentum",
    ),
    Slip(
        "A frozen norm keeps its statistics, but normalises with those of the batch in train mode",
        "The layers above it were trained on what the running statistics give.",
        norm_by(uses_batch=lambda training, trainable: training),
        r"if |training|mean",
    ),
    Slip(
        "Frozen and trainable are exchanged",
        "Frozen is trainable = False.",
        norm_by(lambda training, trainable: training and not trainable, lambda training, trainable: training and not trainable),
        r"trainable",
    ),
    Slip(
        "Eval mode is not looked at",
        "In eval mode a norm uses its running statistics, trainable or not.",
        norm_by(lambda training, trainable: trainable, lambda training, trainable: trainable),
        r"if |trainable",
    ),
    Slip(
        "One of the two is enough for the statistics of the batch",
        "Train mode *and* trainable: both must be true.",
        norm_by(lambda training, trainable: training or trainable, lambda training, trainable: training or trainable),
        r"\bor\b",
    ),
    Slip(
        "The statistics of the batch are used in every case",
        "Which of the four cases of training and trainable want those of the batch?",
        norm_by(lambda training, trainable: True, lambda training, trainable: True),
        r"mean",
    ),
    Slip(
        "The statistics of the batch normalise in every case, though only a learning norm moves its own",
        "Which of the four cases of training and trainable want those of the batch?",
        norm_by(uses_batch=lambda training, trainable: True),
        r"mean",
    ),
    Slip(
        "The running statistics normalise in every case",
        "A norm that learns uses the statistics of the batch in train mode.",
        norm_by(uses_batch=lambda training, trainable: False),
        r"running",
    ),
    Slip(
        "The running statistics never move",
        "In train mode a norm that learns takes the batch into its averages.",
        norm_by(moves=lambda training, trainable: False),
        r"return",
    ),
    Slip(
        "The running statistics move in every case",
        "In eval mode, and when frozen, they stay as they are.",
        norm_by(moves=lambda training, trainable: True),
        r"momentum",
    ),
    Slip(
        "The statistics of a norm that learns move in eval mode too",
        "In eval mode nothing moves.",
        norm_by(moves=lambda training, trainable: trainable),
        r"trainable",
    ),
    Slip(
        "A frozen norm hands x on as it is",
        "Frozen does not mean switched off: it still normalises, with the statistics that it has.",
        norm_by(finish=lambda y, x, training, trainable: y if trainable else x.copy()),
        r"return|trainable",
    ),
    Slip(
        "Momentum is taken for the weight of the old average",
        "Here momentum is the weight of the *new* batch.",
        norm_by(average=lambda running, batch, momentum: momentum * running + (1 - momentum) * batch),
        r"momentum",
    ),
    Slip(
        "The running averages forget nothing",
        "The weights of the old average and of the batch sum to 1.",
        norm_by(average=lambda running, batch, momentum: running + momentum * batch),
        r"momentum",
    ),
    Slip(
        "The running statistics are those of the last batch",
        "They are averages over many batches. What is momentum for?",
        norm_by(average=lambda running, batch, momentum: batch),
        r"return|running|new",
    ),
    Slip(
        "The variance that is averaged is the biased one",
        "v has been divided by M. Which factor makes it what dividing by M - 1 would have given?",
        norm_by(unbiased=lambda variance, M: variance),
        r"momentum",
    ),
    Slip(
        "The factor M / (M - 1) is upside down",
        "Divided by M - 1 a variance is a little larger than divided by M.",
        norm_by(unbiased=lambda variance, M: variance * (M - 1) / M),
        r"/",
    ),
    Slip(
        "The batch is normalised with the variance divided by M - 1",
        "Only what is averaged has the factor M / (M - 1); what normalises has been divided by M.",
        norm_by(picked=lambda batch, running, new, M: (batch[0], batch[1] * M / (M - 1))),
        r"ddof|- *1",
    ),
    Slip(
        "The batch is normalised with the running averages that it has just moved",
        "In train mode m and v are those of the batch alone.",
        norm_by(picked=lambda batch, running, new, M: new),
        r"running|new",
    ),
    Slip(
        "The batch is normalised with its own mean and the running variance",
        "m and v belong together: both of the batch, or both running.",
        norm_by(picked=lambda batch, running, new, M: (batch[0], running[1])),
        r"running_var",
    ),
    Slip(
        "The mean is not subtracted",
        "Which mean has y for a gamma of 1 and a beta of 0?",
        {"norm_forward": without_mean},
        r"/",
    ),
    Slip(
        "It is divided by the variance",
        "The root is missing: after normalisation the standard deviation is 1.",
        norm_by(divided=lambda c, variance, eps: c / by_channel(variance + eps)),
        r"/",
    ),
    Slip(
        "eps is added after the root",
        "In the equation it stands under the root, with the variance.",
        norm_by(divided=lambda c, variance, eps: c / by_channel(np.sqrt(variance) + eps)),
        r"eps",
    ),
    Slip(
        "eps is left out",
        "A channel that is constant has the variance 0.",
        norm_by(divided=lambda c, variance, eps: c / by_channel(np.sqrt(variance))),
        r"sqrt|std|\*\*",
    ),
    Slip(
        "gamma is left out",
        "After normalisation each channel is scaled.",
        forgotten(lambda gamma, beta: (np.ones_like(gamma), beta)),
        r"beta",
    ),
    Slip(
        "beta is left out",
        "After normalisation each channel is shifted.",
        forgotten(lambda gamma, beta: (gamma, np.zeros_like(beta))),
        r"gamma",
    ),
    Slip(
        "gamma and beta are exchanged",
        "gamma scales, beta shifts.",
        forgotten(lambda gamma, beta: (beta, gamma)),
        r"gamma|beta",
    ),
)


def dx_by(function: Callable) -> dict[str, Callable]:
    """frozen_norm_backward() with another dx: function(dy, gamma, v, eps), gamma and v with axes to fit."""
    return {
        "frozen_norm_backward": lambda dy, gamma, running_var, eps: function(
            dy, by_channel(gamma), by_channel(running_var), eps
        )
    }


DX_SLIPS = (
    Slip(
        "dx is 0: nothing passes a frozen layer",
        "Frozen means that the layer itself does not learn. Those below it may, and need their gradient.",
        dx_by(lambda dy, gamma, v, eps: np.zeros_like(dy)),
        r"zeros|\* *0",
    ),
    Slip(
        "dx is dy, as if the layer were not there",
        "It still scales what passes it, forward and so backward.",
        dx_by(lambda dy, gamma, v, eps: dy.copy()),
        r"return|copy",
    ),
    Slip(
        "dx has no gamma",
        "y has a factor gamma in it. So has dy/dx.",
        dx_by(lambda dy, gamma, v, eps: dy / np.sqrt(v + eps)),
        r"/",
    ),
    Slip(
        "dx is not divided by the standard deviation",
        "x was divided by it on its way to y.",
        dx_by(lambda dy, gamma, v, eps: dy * gamma),
        r"gamma",
    ),
    Slip(
        "dx is divided by the variance",
        "The root is missing.",
        dx_by(lambda dy, gamma, v, eps: dy * gamma / (v + eps)),
        r"/",
    ),
    Slip(
        "eps is left out, in dx",
        "The same root as in the forward pass, with eps under it.",
        dx_by(lambda dy, gamma, v, eps: dy * gamma / np.sqrt(v)),
        r"sqrt|\*\*",
    ),
    Slip(
        "eps is added after the root, in dx",
        "The same root as in the forward pass, with eps under it.",
        dx_by(lambda dy, gamma, v, eps: dy * gamma / (np.sqrt(v) + eps)),
        r"eps",
    ),
    Slip(
        "dx is multiplied by the standard deviation",
        "y = gamma x / s + ...: what is dy/dx?",
        dx_by(lambda dy, gamma, v, eps: dy * gamma * np.sqrt(v + eps)),
        r"sqrt|\*\*",
    ),
    Slip(
        "dx is divided by gamma",
        "gamma multiplies on the way up, and so on the way down.",
        dx_by(lambda dy, gamma, v, eps: dy / gamma / np.sqrt(v + eps)),
        r"/",
    ),
    Slip(
        "The mean of dy is subtracted, as if the statistics were those of the batch",
        "Does an x change the running mean? Only what depends on x has a gradient.",
        dx_by(lambda dy, gamma, v, eps: (dy - dy.mean(axis=(0, 2, 3), keepdims=True)) * gamma / np.sqrt(v + eps)),
        r"mean",
    ),
    Slip(
        "dx has the wrong sign",
        "A larger x gives a larger y, where gamma is positive.",
        dx_by(lambda dy, gamma, v, eps: -dy * gamma / np.sqrt(v + eps)),
        r"-",
    ),
    Slip(
        "dx is averaged over the batch",
        "Each x has a gradient of its own.",
        dx_by(lambda dy, gamma, v, eps: dy * gamma / np.sqrt(v + eps) / len(dy)),
        r"len|shape",
    ),
)

# ---- Task 5: a head that is right from the first step


def head_from(
    w2: Callable = lambda w, s: w / s,
    b2: Callable = lambda w, b, mean, s: b - (w / s) @ mean,
    safe: Callable = lambda std: np.where(std == 0, 1, std),
) -> dict[str, Callable]:
    """head_from_classifier() with other weights, other biases, or another treatment of a std of 0."""

    def head_from_classifier(w: np.ndarray, b: np.ndarray, mean: np.ndarray, std: np.ndarray):
        return w2(w, safe(std)), b2(w, b, mean, safe(std))

    return {"head_from_classifier": head_from_classifier}


def nothing_of_constants(w: np.ndarray, b: np.ndarray, mean: np.ndarray, std: np.ndarray):
    return solution.head_from_classifier(w * (std != 0), b, mean, std)


def constants_in_b_only(w: np.ndarray, b: np.ndarray, mean: np.ndarray, std: np.ndarray):
    w2, b2 = solution.head_from_classifier(w, b, mean, std)
    return w2 * (std != 0), b2


CLASSIFIER_SLIPS = (
    Slip(
        "The weights are not divided by std",
        "x w2^T must give what z w^T gives, and z is smaller than x by std. The bias alone cannot make up for that.",
        head_from(w2=lambda w, s: w.copy()),
        r"return|w2",
    ),
    Slip(
        "Nothing is done about std",
        "z is x - mean *divided by std*: where did that go?",
        head_from(lambda w, s: w.copy(), lambda w, b, mean, s: b - w @ mean),
        r"mean",
    ),
    Slip(
        "Classifier and head are taken to be the same",
        "The classifier never saw x, only z.",
        head_from(lambda w, s: w.copy(), lambda w, b, mean, s: b.copy()),
        r"return",
    ),
    Slip(
        "The weights are multiplied by std",
        "Put z = (x - mean) / std into z w^T, and sort by what is multiplied with x.",
        head_from(lambda w, s: w * s, lambda w, b, mean, s: b - (w * s) @ mean),
        r"\*",
    ),
    Slip(
        "The weights are multiplied by std, and the bias is as for divided ones",
        "Put z = (x - mean) / std into z w^T, and sort by what is multiplied with x.",
        head_from(w2=lambda w, s: w * s),
        r"\*",
    ),
    Slip(
        "The bias is as it was",
        "Put z = (x - mean) / std into z w^T: what remains where x is 0?",
        head_from(b2=lambda w, b, mean, s: b.copy()),
        r"return",
    ),
    Slip(
        "The mean is added to the bias",
        "z has *minus* mean in it.",
        head_from(b2=lambda w, b, mean, s: b + (w / s) @ mean),
        r"\+",
    ),
    Slip(
        "The bias has the classifier's weights times the mean, not divided by std",
        "The mean is divided by std in z, like x.",
        head_from(b2=lambda w, b, mean, s: b - w @ mean),
        r"mean",
    ),
    Slip(
        "The bias is divided by std twice",
        "w2 has been divided by std already, so the mean must not be divided again.",
        head_from(b2=lambda w, b, mean, s: b - (w / s) @ (mean / s)),
        r"mean */|/",
    ),
    Slip(
        "The weights are divided by the variance",
        "Once by std is enough.",
        head_from(lambda w, s: w / s**2, lambda w, b, mean, s: b - (w / s**2) @ mean),
        r"\*\* *2|/",
    ),
    Slip(
        "The classifier's bias is lost",
        "Its scores are z w^T *plus b*.",
        head_from(b2=lambda w, b, mean, s: -(w / s) @ mean),
        r"mean",
    ),
    Slip(
        "Everything has the wrong sign in the bias",
        "b2 is what the scores are where x is 0, and there z is -mean / std.",
        head_from(b2=lambda w, b, mean, s: (w / s) @ mean - b),
        r"-",
    ),
    Slip(
        "All biases are the same: the mean is multiplied with the weights of all classes",
        "Each class has a bias of its own, from its own row of weights.",
        head_from(b2=lambda w, b, mean, s: b - ((w / s) * mean).sum()),
        r"sum\(\)",
    ),
    Slip(
        "Means are taken where sums should be",
        "A matrix product is a sum over the features.",
        head_from(b2=lambda w, b, mean, s: b - ((w / s) * mean).mean(axis=1)),
        r"mean\(",
    ),
    Slip(
        "A feature that was constant is divided by 0",
        "What was done to it when the codes were standardised?",
        head_from(safe=lambda std: std),
        r"/",
    ),
    Slip(
        "A feature that was constant has no say any more",
        "Its mean was subtracted, and then it had its weight in the scores like the others: another code may differ in it.",
        {"head_from_classifier": nothing_of_constants},
        r"where|== *0|> *0|nan_to_num|isfinite",
    ),
    Slip(
        "A feature that was constant has no weight any more, though its mean is in the bias",
        "Its mean was subtracted, and then it had its weight in the scores like the others: another code may differ in it.",
        {"head_from_classifier": constants_in_b_only},
        r"where|== *0|> *0|nan_to_num|isfinite",
    ),
    *(
        Slip(
            "A std of 0 becomes a small number",
            "A feature that was constant was divided by nothing at all. By which number does one divide without effect?",
            head_from(safe=safe),
            r"\+ *(?:\d|eps)|max|where|clip",
        )
        for tiny in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
        for safe in (partial(np.add, tiny), partial(np.maximum, tiny))
    ),
    Slip(
        "w2 is transposed",
        "A row of w2 has the weights of a class, as a row of w has.",
        {"head_from_classifier": lambda *given: (lambda w2, b2: (w2.T, b2))(*solution.head_from_classifier(*given))},
        r"\.T|transpose|stack",
    ),
)

# ---- Task 6: fine-tuning in two phases


def all_norms(network: Model, head: str) -> list[str]:
    return [path for path, layer in network.walk() if isinstance(layer, BatchNorm2d)]


def all_but_head(network: Model, head: str) -> list[str]:
    return [name for name in network.layers if name != head]


def nothing(network: Model, head: str) -> list[str]:
    return []


def tuned_by(
    frozen: tuple[Callable, Callable] = (all_but_head, all_norms),
    rates: Callable = lambda phase, head_rate, body_rate: (head_rate, body_rate),
    optimised: Callable[[int, str, str], bool] = lambda phase, name, head: True,
    multiplier: Callable[[float], float] = lambda old: 1.0,
    plan: Callable = lambda first, second: (first, second),
    begin: Callable[[Model, int], Any] = lambda network, phase: network.unfreeze(),
    mode: Callable[[Model], Any] = lambda network: network.train(),
    optimiser: Callable = lambda parameters: SGD(parameters, 1.0),
    one_for_both: bool = True,
    steps_first: bool = False,
) -> dict[str, Callable]:
    """fine_tune() with another plan: what is frozen in the two phases, at which rates what learns, and how a step goes."""

    def fine_tune(network: Model, head: str, first, second, head_rate: float, body_rate: float) -> dict[str, np.ndarray]:
        loss = SoftmaxCrossEntropy()
        scale = {name: multiplier(p.learning_rate_multiplier) for name, p in network.parameters().items()}
        for phase, batches in enumerate(plan(first, second)):
            begin(network, phase)
            network.freeze(names=frozen[phase](network, head))
            of_head, of_body = rates(phase, head_rate, body_rate)
            chosen = {name: p for name, p in network.parameters().items() if optimised(phase, name, head)}
            for name, parameter in chosen.items():
                rate = of_head if name.split(".")[0] == head else of_body
                parameter.learning_rate_multiplier = rate * scale[name]
            if phase == 0 or not one_for_both:
                optimizer = optimiser(chosen)
            for x, y in batches:
                if steps_first:
                    optimizer.step()
                mode(network)
                loss.forward(network.forward(x), y)
                network.backward(loss.backward())
                if not steps_first:
                    optimizer.step()
        arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
        return {name: array.copy() for name, array in arrays.items()}

    return {"fine_tune": fine_tune}


def before_training(network: Model, head: str, *others: Any) -> dict[str, np.ndarray]:
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    kept = {name: array.copy() for name, array in arrays.items()}
    solution.fine_tune(network, head, *others)
    return kept


def without_statistics(network: Model, *others: Any) -> dict[str, np.ndarray]:
    arrays = solution.fine_tune(network, *others)
    return {name: arrays[name] for name in network.parameters()}


def norms_of_the_top_level(network: Model, head: str) -> list[str]:
    return [name for name, layer in network.layers.items() if isinstance(layer, BatchNorm2d)]


def norms_in_blocks(network: Model, head: str) -> list[str]:
    return [path for path in all_norms(network, head) if "." in path]


def is_in_head(name: str, head: str) -> bool:
    return name.split(".")[0] == head


def is_of_norm(name: str) -> bool:
    return name.endswith((".gamma", ".beta"))


PLAN_SLIPS = (
    Slip(
        "All layers learn in phase 1 already, statistics included",
        "While the head is random, what it passes down is noise. What must be frozen before the first step?",
        tuned_by(frozen=(nothing, all_norms)),
        r"freeze|trainable",
    ),
    Slip(
        "All layers learn in phase 1 already, at the head's rate, statistics included",
        "While the head is random, what it passes down is noise. What must be frozen before the first step?",
        tuned_by(
            frozen=(nothing, all_norms),
            rates=lambda phase, head_rate, body_rate: (head_rate, body_rate if phase else head_rate),
        ),
        r"freeze|trainable|SGD",
    ),
    Slip(
        "All layers but the batch norms learn in phase 1 already",
        "While the head is random, what it passes down is noise. Only the head learns in phase 1.",
        tuned_by(frozen=(all_norms, all_norms)),
        r"freeze|trainable",
    ),
    Slip(
        "All layers but the batch norms learn in phase 1 already, at the head's rate",
        "While the head is random, what it passes down is noise. Only the head learns in phase 1.",
        tuned_by(
            frozen=(all_norms, all_norms),
            rates=lambda phase, head_rate, body_rate: (head_rate, body_rate if phase else head_rate),
        ),
        r"freeze|trainable|SGD",
    ),
    Slip(
        "In phase 1 the body is only left out of the optimiser, and its statistics move",
        "In train mode a batch norm takes every batch into its averages, whatever the optimiser does. What stops it?",
        tuned_by(
            frozen=(nothing, all_norms),
            optimised=lambda phase, name, head: phase == 1 or is_in_head(name, head),
            one_for_both=False,
        ),
        r"SGD|parameters",
    ),
    Slip(
        "In phase 1 weights and biases are frozen, and the batch norms are not",
        "All but the head is frozen: gamma, beta and statistics as well.",
        tuned_by(
            frozen=(
                lambda network, head: [
                    name for name in network.parameters() if not is_in_head(name, head) and not is_of_norm(name)
                ],
                all_norms,
            )
        ),
        r"\.w\b|\"w\"|freeze|trainable",
    ),
    Slip(
        "In phase 1 only the batch norms are frozen because of where they are: those of the top level are not",
        "A network's freeze() reaches everything in it.",
        tuned_by(frozen=(lambda network, head: [n for n in all_but_head(network, head) if "norm" not in n], all_norms)),
        r"norm|freeze",
    ),
    Slip(
        "Frozen and trainable are exchanged in phase 1",
        "Frozen is trainable = False.",
        tuned_by(frozen=(lambda network, head: [head], all_norms)),
        r"trainable|freeze",
    ),
    Slip(
        "Nothing learns in phase 1: the head is frozen as well",
        "What is left to learn once the whole network is frozen?",
        tuned_by(frozen=(lambda network, head: list(network.layers), all_norms)),
        r"freeze",
    ),
    Slip(
        "The batch norms learn in phase 2",
        "unfreeze() reaches them as well. What must be frozen again, and after what?",
        tuned_by(frozen=(all_but_head, nothing)),
        r"unfreeze|trainable",
    ),
    Slip(
        "In phase 2 gamma and beta are only left out of the optimiser, and the statistics move",
        "A batch norm keeps its statistics when neither gamma nor beta is trainable. Who looks at the optimiser's list?",
        tuned_by(
            frozen=(all_but_head, nothing),
            optimised=lambda phase, name, head: phase == 0 or not is_of_norm(name),
            one_for_both=False,
        ),
        r"gamma|SGD",
    ),
    Slip(
        "In phase 2 the batch norms inside blocks are not found",
        "network.layers has the top level only. What goes through everything inside?",
        tuned_by(frozen=(all_but_head, norms_of_the_top_level)),
        r"layers|isinstance",
    ),
    Slip(
        "In phase 2 the batch norms of the top level are not found",
        "A batch norm may stand between blocks as well as in them. Ask for its type, wherever it is.",
        tuned_by(frozen=(all_but_head, norms_in_blocks)),
        r"norm|split|walk",
    ),
    Slip(
        "In phase 2 the body is still frozen",
        "What does phase 2 begin with?",
        tuned_by(frozen=(all_but_head, all_but_head)),
        r"freeze|trainable|for ",
    ),
    Slip(
        "In phase 2 the body is still frozen",
        "What does phase 2 begin with?",
        tuned_by(begin=lambda network, phase: None),
        r"freeze|trainable|for ",
    ),
    Slip(
        "In phase 2 the head is frozen",
        "It has to follow what changes below it: everything learns but the batch norms.",
        tuned_by(frozen=(all_but_head, lambda network, head: [*all_norms(network, head), head])),
        r"freeze|trainable",
    ),
    Slip(
        "In phase 2 everything learns at the head's rate",
        "body_rate is for all layers but the head.",
        tuned_by(rates=lambda phase, head_rate, body_rate: (head_rate, head_rate)),
        r"SGD|head_rate|multiplier",
    ),
    Slip(
        "In phase 2 everything learns at the body's rate, the head too",
        "The head keeps head_rate in phase 2.",
        tuned_by(rates=lambda phase, head_rate, body_rate: (body_rate if phase else head_rate, body_rate)),
        r"SGD|body_rate",
    ),
    Slip(
        "The head learns at the body's rate in both phases",
        "Which of the two rates is the head's?",
        tuned_by(rates=lambda phase, head_rate, body_rate: (body_rate, body_rate)),
        r"SGD|body_rate",
    ),
    Slip(
        "The two rates are exchanged",
        "Pretrained layers learn at body_rate, the new head at head_rate.",
        tuned_by(rates=lambda phase, head_rate, body_rate: (body_rate, head_rate)),
        r"rate",
    ),
    Slip(
        "The two rates are exchanged in phase 2",
        "Pretrained layers learn at body_rate, the new head at head_rate.",
        tuned_by(rates=lambda phase, head_rate, body_rate: (body_rate, head_rate) if phase else (head_rate, body_rate)),
        r"rate",
    ),
    Slip(
        "The body learns at head_rate times body_rate",
        "A multiplier is a ratio: the optimiser's rate times it must be body_rate.",
        tuned_by(rates=lambda phase, head_rate, body_rate: (head_rate, head_rate * body_rate)),
        r"multiplier",
    ),
    Slip(
        "Multipliers of before still count",
        "The network may arrive with multipliers that are not 1. Set them, all of them.",
        tuned_by(multiplier=lambda old: old),
        r"SGD|multiplier",
    ),
    Slip(
        "What was frozen before stays frozen in phase 1",
        "The network may arrive with parts frozen, the head among them. What has to come before the first step?",
        tuned_by(begin=lambda network, phase: phase and network.unfreeze()),
        r"freeze|trainable",
    ),
    Slip(
        "Dropout is off: the network trains in eval mode",
        "A step is in train mode. That the batch norms keep their statistics is for freezing to see to, not for the mode.",
        tuned_by(mode=lambda network: network.eval(backward=True)),
        r"eval",
    ),
    Slip(
        "There is no phase 1",
        "The batches of `first` are for the head alone.",
        tuned_by(plan=lambda first, second: ([], second)),
        r"for ",
    ),
    Slip(
        "There is no phase 2",
        "The batches of `second` are for all layers but the norms.",
        tuned_by(plan=lambda first, second: (first, [])),
        r"for ",
    ),
    Slip(
        "The phases have each other's batches",
        "Phase 1 is the batches of `first`.",
        tuned_by(plan=lambda first, second: (second, first)),
        r"for ",
    ),
    Slip(
        "Phase 2 goes through the batches of phase 1 again",
        "Phase 2 has batches of its own, `second`.",
        tuned_by(plan=lambda first, second: (first, first)),
        r"for ",
    ),
    Slip(
        "Each phase ends after its first batch",
        "A step for *each* batch.",
        tuned_by(plan=lambda first, second: (first[:1], second[:1])),
        r"\[0\]|return|break",
    ),
    *(
        Slip(title, "Plain SGD was asked for: w <- w - rate * dw.", tuned_by(optimiser=optimiser, one_for_both=one), where)
        for title, optimiser, where in (
            ("SGD has momentum", lambda parameters: SGD(parameters, 1.0, momentum=0.9), r"momentum|0\.9"),
            ("The optimiser is Adam", lambda parameters: Adam(parameters, 1.0), r"Adam"),
        )
        for one in (True, False)
    ),
    Slip(
        "The step comes before the gradient of its batch",
        "The optimiser uses the gradients that there are: of which batch are they?",
        tuned_by(steps_first=True),
        r"step\(",
    ),
    Slip(
        "The arrays were copied before training",
        "What comes back is how things are after both phases.",
        {"fine_tune": before_training},
        r"copy",
    ),
    Slip(
        "The running statistics are not returned",
        "network.parameters() has what is trained; where are the running mean and variance?",
        {"fine_tune": without_statistics},
        r"return",
    ),
)
