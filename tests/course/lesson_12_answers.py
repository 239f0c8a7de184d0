"""Answers to the tasks of lesson 12: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import math

import numpy as np

from minicnn.layers import BatchNorm1d, BatchNorm2d, Linear
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.optim import SGD, Adam
from minicnn.transfer import discriminative_rates
from minicnn.transfer import set_learning_rates as set_multipliers

WRONG, RIGHT = {}, {}

# ---- 1: a new head, and a frozen body


def head_of(network):
    return list(network.layers)[-1]


def put_new(network, num_classes, rng):
    name = head_of(network)
    inputs = network.layers[name].w.value.shape[1]
    network.layers[name] = Linear(inputs, num_classes, rng=rng)


def answer_1(freeze, head=put_new, thaw=True, result=lambda network, until: network):
    """replace_head_and_freeze() out of a way to put a new head on and a way to freeze."""

    def replace_head_and_freeze(network, num_classes, until, rng):
        head(network, num_classes, rng)
        if thaw:
            for parameter in network.parameters().values():
                parameter.trainable = True
        freeze(network, until)
        return result(network, until)

    return {"replace_head_and_freeze": replace_head_and_freeze}


def freeze_until(network, until):
    for name, layer in network.layers.items():
        layer.freeze()
        if name == until:
            break


def freeze_below(network, until):
    for name, layer in network.layers.items():
        if name == until:
            break
        layer.freeze()


def freeze_one_more(network, until):
    passed = False
    for layer_name in network.layers:
        network.layers[layer_name].freeze()
        if passed:
            return
        passed = layer_name == until


def trainable_in_lower(network, until):
    lower, upper = network.split(until)
    for parameter in lower.parameters().values():
        parameter.trainable = True
    for parameter in upper.parameters().values():
        parameter.trainable = False


def own_flag(network, until):
    for name, layer in network.layers.items():
        layer.is_frozen = True
        if name == until:
            return


def parameters_in_order(network, until):
    """Goes through the parameters, and stops behind those of ``until``, if it has any."""
    seen = False
    for name, parameter in network.parameters().items():
        inside = name.split(".")[0] == until
        if seen and not inside:
            break
        seen = seen or inside
        parameter.trainable = False


def prefixes(network, until):
    names = list(network.layers)
    for lower in names[: names.index(until) + 1]:
        for path, parameter in network.parameters().items():
            if path.startswith(lower):
                parameter.trainable = False


def last_containers(network, until):
    names = list(network.layers)
    chosen = set(names[: names.index(until) + 1])
    for path, parameter in network.parameters().items():
        *containers, _ = path.split(".")
        if containers[-1] in chosen:
            parameter.trainable = False


def weights_by_name(network, until):
    for path, parameter in network.split(until)[0].parameters().items():
        parameter.trainable = path.split(".")[-1] != "w"


def decaying(network, until):
    for parameter in network.split(until)[0].parameters().values():
        if parameter.decays:
            parameter.trainable = False


def without_norms(network, until):
    for _, layer in network.split(until)[0].walk():
        if not layer.children() and not isinstance(layer, BatchNorm2d):
            layer.freeze()


def everything(network, until):
    for layer in network.layers.values():
        layer.freeze()


def everything_but_head(network, until):
    network.freeze(names=[name for name in network.layers if name != head_of(network)])


def head_made_by(make):
    def head(network, num_classes, rng):
        network.layers[head_of(network)] = make(network.layers[head_of(network)], num_classes, rng)

    return answer_1(freeze_until, head)


def seeded(seed):
    return lambda old, K, rng: Linear(old.in_features, K, rng=np.random.default_rng(seed))


def zero_weights(old, K, rng):
    layer = Linear(old.in_features, K)
    layer.w.value = np.zeros_like(layer.w.value)
    return layer


def copied_rows(old, K, rng):
    layer = Linear(old.in_features, K, rng=rng)
    layer.w.value = np.stack([old.w.value[k % len(old.w.value)] for k in range(K)])
    return layer


def swapped_weights(network, num_classes, rng):
    layer = network.layers[head_of(network)]
    layer.w.value = (0.01 * rng.standard_normal((num_classes, layer.in_features))).astype(np.float32)
    layer.b.value = np.zeros(num_classes, np.float32)


def own_weights(old, K, rng):
    layer = Linear(old.in_features, K)
    layer.w.value[...] = 0.01 * rng.standard_normal(layer.w.value.shape)
    return layer


def by_top_level_name(network, until):
    order = {name: i for i, name in enumerate(network.layers)}
    for path, parameter in network.parameters().items():
        parameter.trainable = order[path.partition(".")[0]] > order[until]


def frozen_first(network, num_classes, until, rng):
    network.unfreeze()
    network.freeze(names=list(network.split(until)[0].layers))
    put_new(network, num_classes, rng)
    return network


def through_the_network(network, until):
    freeze_until(network, until)
    network.train().forward(np.ones((3, 3, 8, 8), np.float32))


WRONG[1] = [
    (
        "as the source says",
        answer_1(trainable_in_lower),
        "What should be frozen is trainable, and the other way round",
    ),
    ("break first", answer_1(freeze_below), "The layer named by until can still be trained"),
    ("one more", answer_1(freeze_one_more), "One layer too many is frozen"),
    ("a flag of one's own", answer_1(own_flag), "Nothing is frozen"),
    ("thawed last", answer_1(lambda network, until: network.freeze(until=until).unfreeze()), "Nothing is frozen"),
    (
        "until alone",
        answer_1(lambda network, until: network.freeze(names=until)),
        "Only the layer named by until is frozen, and nothing below it",
    ),
    ("parameters in order", answer_1(parameters_in_order), "A layer without parameters is never reached"),
    ("prefixes", answer_1(prefixes), "Layers whose names only begin alike are frozen as well"),
    ("last containers", answer_1(last_containers), "Layers inside others are not frozen"),
    ("weights by name", answer_1(weights_by_name), "Only weights are frozen, and not biases, gamma and beta"),
    ("what decays", answer_1(decaying), "Only weights are frozen, and not biases, gamma and beta"),
    ("no norms", answer_1(without_norms), "Batch norms are left trainable"),
    ("everything", answer_1(everything), "Everything is frozen, the new head too"),
    ("all but the head", answer_1(everything_but_head), "Everything but the head is frozen, whatever until says"),
    ("not thawed", answer_1(freeze_until, thaw=False), "What was frozen before stays frozen"),
    ("no new head", answer_1(freeze_until, lambda *_: None), "The last layer is still the old one"),
    (
        "as many outputs",
        head_made_by(lambda old, K, rng: Linear(old.in_features, len(old.b.value), rng=rng)),
        "The new head has as many outputs as the old one",
    ),
    (
        "inputs from outputs",
        head_made_by(lambda old, K, rng: Linear(old.w.value.shape[0], K, rng=rng)),
        "The new head has as many inputs as the old one had outputs",
    ),
    (
        "arguments exchanged",
        head_made_by(lambda old, K, rng: Linear(K, old.w.value.shape[1], rng=rng)),
        "Inputs and outputs of the new head have changed places",
    ),
    ("zeros", head_made_by(zero_weights), "All weights of the new head are 0"),
    ("old rows", head_made_by(copied_rows), "The new head has weights of the old one"),
    ("seed 0", head_made_by(seeded(0)), "The new head has a seed of its own"),
    ("seed 42", head_made_by(seeded(42)), "The new head has a seed of its own"),
    (
        "nothing returned",
        answer_1(freeze_until, result=lambda network, until: None),
        "Nothing is returned",
    ),
    (
        "the lower half",
        answer_1(freeze_until, result=lambda network, until: network.split(until)[0]),
        "Only the frozen part of the network is returned",
    ),
    ("statistics moved", answer_1(through_the_network), None),
]
RIGHT[1] = [
    ("layer by layer", answer_1(freeze_until)),
    ("flags by top-level name", answer_1(by_top_level_name, thaw=False)),
    ("frozen before the head is new", {"replace_head_and_freeze": frozen_first}),
    ("minicnn's own", answer_1(freeze_until, lambda network, K, rng: network.replace_head(K, rng))),
    ("own weights", head_made_by(own_weights)),
    ("without a bias", head_made_by(lambda old, K, rng: Linear(old.in_features, K, bias=False, rng=rng))),
]

# ---- 2: learning rates by depth


def norm(layer):
    return isinstance(layer, BatchNorm1d) or isinstance(layer, BatchNorm2d)  # noqa: SIM101  as people write it


def with_names(numbers):
    """set_learning_rates() from numbers(network, decay), a multiplier for each top-level layer."""

    def set_learning_rates(network, decay):
        by_layer = numbers(network, decay)
        for path, parameter in network.parameters().items():
            parameter.learning_rate_multiplier = by_layer[path.split(".")[0]]
        return network

    return {"set_learning_rates": set_learning_rates}


def counted(network, with_parameters=True, norms=False, frozen=True):
    """The names of the layers that are steps, from the head down."""
    names = []
    for name, layer in network.layers.items():
        if with_parameters and not layer.parameters():
            continue
        if not norms and norm(layer):
            continue
        if not frozen and layer.parameters() and not layer.trainable:
            continue
        names.insert(0, name)
    return names


def spread(network, numbers, fallback=1.0):
    """A number for each top-level layer: its own, or that of the last one below it that has one."""
    result, last = {}, fallback
    for name in network.layers:
        last = result[name] = numbers.get(name, last)
    return result


def powers(names, decay):
    return {name: decay**i for i, name in enumerate(names)}


def right_rates(network, decay):
    return spread(network, powers(counted(network), decay))


def all_layers(network, decay):
    numbers, depth = {}, len(network.layers) - 1
    for i, name in enumerate(network.layers):
        numbers[name] = decay ** (depth - i)
    return numbers


def all_layers_but_norms(network, decay):
    layers, exponent, numbers = network.layers, 0, {}
    for name in list(layers)[::-1]:
        numbers[name] = math.pow(decay, exponent)
        exponent += 0 if norm(layers[name]) else 1
    return numbers


def norms_with_the_layer_above(network, decay):
    numbers, waiting = powers(counted(network), decay), None
    for name in reversed(network.layers):
        if name in numbers:
            waiting = numbers[name]
        numbers.setdefault(name, waiting)
    return numbers


def bottom_up(network, decay):
    return spread(network, powers(counted(network)[::-1], decay))


def in_steps(number):
    """Numbers from a formula of the step's number and decay."""
    return with_names(
        lambda network, decay: spread(network, {name: number(i, decay) for i, name in enumerate(counted(network))})
    )


def too_small_at_the_head(network, decay):
    rate = 1.0
    for layer in list(network.layers.values())[::-1]:
        if layer.parameters() and not norm(layer):
            rate = rate * decay
        for parameter in layer.parameters().values():
            parameter.learning_rate_multiplier = rate
    return network


def scaled_in_place(network, decay):
    for path, parameter in network.parameters().items():
        parameter.learning_rate_multiplier *= right_rates(network, decay)[path.split(".")[0]]
    return network


def parameter_by_parameter(network, decay):
    for i, parameter in enumerate(list(network.parameters().values())[::-1]):
        parameter.learning_rate_multiplier = decay**i
    return network


def leaf_by_leaf(network, decay):
    rate = 1.0
    for _, layer in list(network.walk())[::-1]:
        if layer.children() or not layer.parameters():
            continue
        for parameter in layer.parameters().values():
            parameter.learning_rate_multiplier = rate
        if not norm(layer):
            rate *= decay
    return network


def leaf_by_leaf_with_norms(network, decay):
    leaves = [layer for _, layer in network.walk() if layer.parameters() and not layer.children()]
    for i, layer in enumerate(reversed(leaves)):
        for parameter in layer.parameters().values():
            parameter.learning_rate_multiplier = decay**i
    return network


def only(chosen):
    """Right numbers, but only for some parameters: chosen(path, parameter)."""

    def set_learning_rates(network, decay):
        numbers = right_rates(network, decay)
        for path, parameter in network.parameters().items():
            if chosen(path, parameter):
                parameter.learning_rate_multiplier = numbers[path.split(".")[0]]
        return network

    return {"set_learning_rates": set_learning_rates}


def by_attributes(network, decay):
    """Sees w, b, gamma and beta of top-level layers, and no block."""
    rate = 1.0
    for layer in reversed(network.layers.values()):
        own = [getattr(layer, name) for name in ("w", "b", "gamma", "beta") if getattr(layer, name, None) is not None]
        for parameter in own:
            parameter.learning_rate_multiplier = rate
        if own and not norm(layer):
            rate *= decay
    return network


def attributes_and_blocks(network, decay):
    """Counts blocks as steps, and sets nothing inside them."""
    for name, number in right_rates(network, decay).items():
        for own in ("w", "b", "gamma", "beta"):
            parameter = vars(network.layers[name]).get(own)
            if parameter is not None:
                parameter.learning_rate_multiplier = number
    return network


def body_frozen(network, decay):
    for path, parameter in network.parameters().items():
        parameter.learning_rate_multiplier = right_rates(network, decay)[path.split(".")[0]]
        parameter.trainable = path.split(".")[0] == head_of(network)
    return network


def weights_scaled(network, decay):
    for path, parameter in network.parameters().items():
        parameter.learning_rate_multiplier = right_rates(network, decay)[path.split(".")[0]]
        parameter.value = parameter.value * np.float32(0.5)
    return network


def quietly(network, decay):
    discriminative_rates(network, decay)


def while_loop(network, decay):
    names, i = list(network.layers), len(network.layers)
    exponent = 0
    while i > 0:
        i -= 1
        layer = network.layers[names[i]]
        parameters = list(layer.parameters().values())
        for parameter in parameters:
            parameter.learning_rate_multiplier = np.float64(decay) ** exponent
        exponent += bool(parameters) and "BatchNorm" not in type(layer).__name__
    return network


def by_paths(network, decay):
    numbers = right_rates(network, decay)
    set_multipliers(network, {name: numbers[name] for name, layer in network.layers.items() if layer.parameters()})
    return network


def recursively(network, decay, layers=None, rate=1.0):
    layers = list(network.layers.values()) if layers is None else layers
    if layers:
        *below, layer = layers
        for parameter in layer.parameters().values():
            parameter.learning_rate_multiplier = rate
        counts = bool(layer.parameters()) and type(layer) not in (BatchNorm1d, BatchNorm2d)
        recursively(network, decay, below, rate * decay if counts else rate)
    return network


WRONG[2] = [
    ("all layers", with_names(all_layers), "Layers without parameters count as well"),
    ("all layers but norms", with_names(all_layers_but_norms), "Layers without parameters count as well"),
    (
        "norms are steps",
        with_names(lambda network, decay: spread(network, powers(counted(network, norms=True), decay))),
        "A batch norm counts as a step of its own",
    ),
    (
        "norms with the layer above",
        with_names(norms_with_the_layer_above),
        "A batch norm has the multiplier of the layer above it",
    ),
    ("bottom up", with_names(bottom_up), "The lowest layer has 1, and the head the least"),
    ("made smaller first", {"set_learning_rates": too_small_at_the_head}, "The head does not have 1"),
    ("from decay on", in_steps(lambda i, decay: decay ** (i + 1)), "The head does not have 1"),
    ("one step late", in_steps(lambda i, decay: decay ** (i - 1) if i else 1.0), "The layer below the head has 1 as well"),
    ("scaled", {"set_learning_rates": scaled_in_place}, "The multiplier is multiplied, and not set"),
    ("two groups", in_steps(lambda i, decay: 1.0 if i == 0 else decay), "All layers below the head have the same multiplier"),
    (
        "linear",
        in_steps(lambda i, decay: 1 - i + i * decay),
        "The multiplier falls by the same amount, and not by the same factor",
    ),
    (
        "divided",
        in_steps(lambda i, decay: decay / max(i, 1) if i else 1.0),
        "The multiplier is decay divided by the number of the layer",
    ),
    (
        "times",
        in_steps(lambda i, decay: i * decay if i else 1.0),
        "The multiplier is decay times the number of the layer",
    ),
    ("upwards", in_steps(lambda i, decay: (1 / decay) ** i), "Lower layers learn faster than the head"),
    ("parameter by parameter", {"set_learning_rates": parameter_by_parameter}, "Every parameter is a step of its own"),
    ("leaf by leaf", {"set_learning_rates": leaf_by_leaf}, "Each layer inside a block is a step of its own"),
    (
        "leaf by leaf, norms too",
        {"set_learning_rates": leaf_by_leaf_with_norms},
        "Each layer inside a block is a step of its own, and so is each batch norm",
    ),
    (
        "frozen ones left out",
        with_names(lambda network, decay: spread_over_frozen(network, decay)),
        "Frozen layers are no steps",
    ),
    ("frozen ones not set", only(lambda path, parameter: parameter.trainable), "Frozen parameters keep their old multiplier"),
    (
        "weights",
        only(lambda path, parameter: path.rsplit(".", 1)[1] == "w"),
        "Only weights get their multiplier, and not biases, gamma and beta",
    ),
    ("top level, blocks counted", {"set_learning_rates": attributes_and_blocks}, "Layers inside blocks are left out"),
    (
        "top level, blocks not counted",
        {"set_learning_rates": by_attributes},
        "Layers inside blocks are left out, and blocks are no steps",
    ),
    ("body frozen", {"set_learning_rates": body_frozen}, "All layers below the head are frozen"),
    ("nothing returned", {"set_learning_rates": quietly}, "Nothing is returned"),
    ("weights scaled", {"set_learning_rates": weights_scaled}, None),
]


def spread_over_frozen(network, decay):
    """Frozen layers lower the rate for nobody; they have that of the next layer above, times decay."""
    numbers, rate = {}, 1.0
    for name in reversed(network.layers):
        numbers[name] = rate
        layer = network.layers[name]
        if any(parameter.trainable for parameter in layer.parameters().values()) and not norm(layer):
            rate *= decay
    return numbers


RIGHT[2] = [
    ("powers by name", with_names(right_rates)),
    ("a while loop, NumPy numbers", {"set_learning_rates": while_loop}),
    ("minicnn's, by paths", {"set_learning_rates": by_paths}),
    ("minicnn's own", {"set_learning_rates": lambda network, decay: (discriminative_rates(network, decay), network)[1]}),
    ("recursion", {"set_learning_rates": lambda network, decay: recursively(network, decay)}),
]

# ---- 3: a step that keeps near the pretrained weights


def pull_loop(w, w0, alpha, beta):
    gradient = np.empty(w.shape)
    for i in np.ndindex(w.shape):
        gradient[i] = beta * w[i] if w0 is None else alpha * (w[i] - w0[i])
    return gradient


def pull_expanded(w, w0, alpha, beta):
    if w0 is not None:
        return w * alpha - alpha * w0
    return np.multiply(beta, w)


def pull_by_strength(w, w0, alpha, beta):
    strength, origin = (beta, np.zeros_like(w)) if w0 is None else (alpha, w0)
    return (strength * np.subtract(w, origin)).tolist()


def pull(pretrained, new=lambda w, a, b: w * b):
    return {"l2sp_gradient": lambda w, w0, a, b: new(w, a, b) if w0 is None else pretrained(w, w0, a, b)}


def back(w, w0, a, b):
    return a * w - a * w0


def descend(
    moves=lambda p: p.trainable and p.grad is not None,
    direction=lambda p, dR: p.grad + dR,
    rate=lambda lr, p: lr * p.learning_rate_multiplier,
    has_penalty=lambda name, p: p.decays,
    own=lambda name, p, start, a, b: a * (p.value - start[name]) if name in start else b * p.value,
):
    """sgd_step() of parts, in place."""

    def sgd_step(parameters, start, learning_rate, alpha, beta):
        for name in parameters:
            p = parameters[name]
            if not moves(p):
                continue
            dR = own(name, p, start, alpha, beta) if has_penalty(name, p) else np.zeros_like(p.value)
            p.value[...] = p.value - rate(learning_rate, p) * direction(p, dR)
        return parameters

    return {"sgd_step": sgd_step}


def step_outside(parameters, start, learning_rate, alpha, beta):
    """The penalty beside the step, not slowed down by the learning rate."""
    for name, p in parameters.items():
        if p.trainable and p.grad is not None:
            old = p.value.copy()
            p.value -= learning_rate * p.learning_rate_multiplier * p.grad
            if p.decays:
                p.value -= alpha * (old - start[name]) if name in start else beta * old
    return parameters


def step_penalty_slow(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        if p.grad is None or not p.trainable:
            continue
        slowed = p.learning_rate_multiplier * p.grad
        if p.decays:
            slowed = slowed + (alpha * (p.value - start[name]) if name in start else beta * p.value)
        p.value -= learning_rate * slowed
    return parameters


def step_all(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        g = p.grad
        if g is None:
            continue
        if p.decays and name in start:
            g = g + alpha * (p.value - start[name])
        elif p.decays:
            g = g + beta * p.value
        p.value = p.value - p.learning_rate_multiplier * learning_rate * g
    return parameters


def step_frozen_drawn(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        g = p.grad.copy() if p.trainable and p.grad is not None else None
        if g is None and p.trainable:
            continue
        if g is None:
            g = np.zeros_like(p.value)
        if p.decays:
            g += alpha * (p.value - start[name]) if name in start else beta * p.value
        p.value -= learning_rate * p.learning_rate_multiplier * g
    return parameters


def step_no_gradient_drawn(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        if not p.trainable:
            continue
        g = np.zeros_like(p.value) if p.grad is None else p.grad
        dR = (alpha * (p.value - start[name]) if name in start else beta * p.value) if p.decays else 0.0
        p.value = p.value - learning_rate * p.learning_rate_multiplier * (g + dR)
    return parameters


def step_into_gradient(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        if p.trainable and p.grad is not None:
            if p.decays:
                p.grad += alpha * (p.value - start[name]) if name in start else beta * p.value
            p.value -= learning_rate * p.learning_rate_multiplier * p.grad
    return parameters


def step_copies(parameters, start, learning_rate, alpha, beta):
    right_step = descend()["sgd_step"]
    return {name: p.value for name, p in right_step(parameters, start, learning_rate, alpha, beta).items()}


def step_in_float64(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        if p.trainable and p.grad is not None:
            dR = (alpha * (p.value - start[name]) if name in start else beta * p.value) if p.decays else 0
            p.value = p.value.astype(np.float64) - learning_rate * p.learning_rate_multiplier * (p.grad + dR)
    return parameters


def step_by_engine(parameters, start, learning_rate, alpha, beta):
    kept = {name: p.grad for name, p in parameters.items()}
    for name, p in parameters.items():
        if p.grad is not None and p.decays:
            p.grad = p.grad + pull_expanded(p.value, start.get(name), alpha, beta).astype(p.value.dtype)
    SGD(parameters, learning_rate).step()
    for name, p in parameters.items():
        p.grad = kept[name]
    return parameters


def step_new_arrays(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        if p.grad is None or p.trainable is False:
            continue
        rate = p.value.dtype.type(learning_rate * p.learning_rate_multiplier)
        moved = p.value - rate * p.grad
        if p.decays:
            moved = moved - rate * np.asarray(pull_loop(p.value, start.get(name), alpha, beta), p.value.dtype)
        p.value = moved
    return parameters


def step_two_loops(parameters, start, learning_rate, alpha, beta):
    learning = [name for name, p in parameters.items() if p.trainable and p.grad is not None]
    penalties = {}
    for name in learning:
        p = parameters[name]
        pulled = p.value - start[name] if name in start else p.value
        penalties[name] = (alpha if name in start else beta) * pulled if p.decays else 0.0
    for name in learning:
        p = parameters[name]
        p.value -= learning_rate * (p.learning_rate_multiplier * (p.grad + penalties[name]))
    return parameters


def biases_by_name(name, p):
    return name.endswith((".b", ".gamma", ".beta"))


WRONG[3] = [
    ("w0 - w", pull(lambda w, w0, a, b: a * w0 - a * w), "Pretrained weights are pushed away from where they were"),
    ("minus both", pull(lambda w, w0, a, b: -back(w, w0, a, b), lambda w, a, b: -b * w), "Both gradients have the wrong sign"),
    (
        "twice",
        pull(lambda w, w0, a, b: 2 * back(w, w0, a, b), lambda w, a, b: (b + b) * w),
        "The gradients are twice too large",
    ),
    ("twice, old", pull(lambda w, w0, a, b: (w - w0) * a * 2.0), "The gradient of pretrained weights is twice too large"),
    (
        "halves",
        pull(lambda w, w0, a, b: 0.5 * a * (w - w0), lambda w, a, b: 0.5 * (b * w)),
        "The gradients are half as large as they should be",
    ),
    ("weight decay", pull(lambda w, w0, a, b: np.multiply(w, a)), "Pretrained weights are drawn to 0"),
    (
        "both penalties",
        pull(lambda w, w0, a, b: (a + b) * w - a * w0),
        "Pretrained weights are drawn to 0, and to where they were",
    ),
    (
        "exchanged",
        {"l2sp_gradient": lambda w, w0, a, b: pull_loop(w, w0, b, a)},
        "alpha and beta are exchanged",
    ),
    ("nothing for new ones", pull(back, lambda w, a, b: 0 * w), "New layers have no penalty"),
    (
        "w0 = 0",
        {"l2sp_gradient": lambda w, w0, a, b: a * (w - (0 if w0 is None else w0))},
        "New layers are drawn to 0 by alpha",
    ),
    (
        "constant",
        pull(back, lambda w, a, b: np.full(w.shape, b)),
        "The gradient of a new layer is beta, whatever w is",
    ),
    (
        "signs",
        pull(lambda w, w0, a, b: np.where(w > w0, a, -a), lambda w, a, b: np.copysign(b, w)),
        "Only the sign of the distance counts",
    ),
    (
        "R",
        pull(lambda w, w0, a, b: a * np.sum(np.square(w - w0)) / 2, lambda w, a, b: b * np.vdot(w, w) / 2),
        "The penalty itself is returned",
    ),
    (
        "means",
        pull(lambda w, w0, a, b: back(w, w0, a, b) / np.prod(w.shape), lambda w, a, b: w * (b / w.size)),
        "The gradients are divided by the number of weights",
    ),
    (
        "squares",
        pull(lambda w, w0, a, b: a * (w - w0) * (w - w0), lambda w, a, b: b * w * w),
        "The square is not differentiated",
    ),
    (
        "a view of w",
        {"l2sp_gradient": lambda w, w0, a, b: w if w0 is None else a * (w - w0)},
        "The result is an argument, or a view of it",
    ),
    ("frozen moves", {"sgd_step": step_all}, "What is frozen moves as well"),
    (
        "frozen only",
        descend(moves=lambda p: p.grad is not None and p.trainable is False),
        "What should be frozen moves, and the other way round",
    ),
    ("None", descend(moves=lambda p: p.trainable), "A parameter without a gradient breaks it"),
    (
        "no gradient, drawn",
        {"sgd_step": step_no_gradient_drawn},
        "A parameter without a gradient is drawn to where it was all the same",
    ),
    ("frozen, drawn", {"sgd_step": step_frozen_drawn}, "What is frozen is drawn to where it was all the same"),
    ("ascent", descend(rate=lambda lr, p: -lr * p.learning_rate_multiplier), "The step goes uphill"),
    ("minus the penalty", descend(direction=lambda p, dR: p.grad - dR), "The penalty has the wrong sign in the step"),
    ("one rate", descend(rate=lambda lr, p: lr), "The multiplier is left out"),
    ("its own rate", descend(rate=lambda lr, p: p.learning_rate_multiplier), "The multiplier replaces the learning rate"),
    (
        "divided",
        descend(rate=lambda lr, p: lr / p.learning_rate_multiplier),
        "The learning rate is divided by the multiplier",
    ),
    (
        "penalty not slowed",
        {"sgd_step": step_penalty_slow},
        "The multiplier is for the gradient only, and not for the penalty",
    ),
    ("decoupled", {"sgd_step": step_outside}, "The penalty is not multiplied by the learning rate"),
    (
        "biases too",
        descend(has_penalty=lambda name, p: True),
        "The penalty is for biases, gamma and beta as well",
    ),
    (
        "biases only",
        descend(has_penalty=biases_by_name),
        "The penalty is for biases, gamma and beta, and not for weights",
    ),
    ("plain SGD", descend(has_penalty=lambda name, p: False), "There is no penalty"),
    (
        "old layers only",
        descend(has_penalty=lambda name, p: p.decays and not name.startswith("scores")),
        "The new head has no penalty",
    ),
    (
        "alpha everywhere",
        descend(own=lambda name, p, start, a, b: a * (p.value - start.get(name, 0))),
        "The new head is drawn to 0 by alpha",
    ),
    (
        "beta everywhere",
        descend(own=lambda name, p, start, a, b: b * p.value),
        "Pretrained weights are treated like those of a new head",
    ),
    ("the step itself", {"sgd_step": lambda *given: set_to_step(*given)}, "Weights are set to the step, and not moved by it"),
    ("into the gradient", {"sgd_step": step_into_gradient}, "An argument is changed"),
    ("arrays returned", {"sgd_step": step_copies}, "The arrays are returned, and not the parameters"),
    ("float64", {"sgd_step": step_in_float64}, None),
]


def set_to_step(parameters, start, learning_rate, alpha, beta):
    for name, p in parameters.items():
        if p.trainable and p.grad is not None:
            dR = pull_loop(p.value, start.get(name), alpha, beta) if p.decays else 0
            p.value = (-learning_rate * p.learning_rate_multiplier * (p.grad + dR)).astype(p.value.dtype)
    return parameters


RIGHT[3] = [
    ("loops; parts", {"l2sp_gradient": pull_loop} | descend()),
    ("multiplied out; minicnn's SGD", {"l2sp_gradient": pull_expanded, "sgd_step": step_by_engine}),
    ("a list; new arrays", {"l2sp_gradient": pull_by_strength, "sgd_step": step_new_arrays}),
    ("two loops", {"sgd_step": step_two_loops}),
]

# ---- 4: a batch normalisation that can be frozen


def statistics(x):
    """Mean and biased variance of each channel, and how many values it has: by rows of a channel's values."""
    values = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    return values.mean(axis=1), values.var(axis=1), values.shape[1]


def scaled(x, mean, var, gamma, beta, eps):
    shape = 1, len(gamma), 1, 1
    factor = gamma / np.sqrt(var + eps)
    return x * factor.reshape(shape) + (beta - mean * factor).reshape(shape)


def answer_4(
    batch_normalises=lambda training, trainable: training and trainable,
    statistics_move=lambda training, trainable: training and trainable,
    after=lambda old, new, momentum: old + momentum * (new - old),
    normalise=scaled,
    factor=lambda M: M / (M - 1),
    chosen=lambda batch, old, new, M: batch,
):
    """norm_forward() of parts."""

    def norm_forward(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
        mean, var, M = statistics(x)
        new_mean, new_var = np.array(running_mean), np.array(running_var)
        if statistics_move(training, trainable):
            new_mean = np.array(after(running_mean, mean, momentum))
            new_var = np.array(after(running_var, var * factor(M), momentum))
        if batch_normalises(training, trainable):
            m, v = chosen((mean, var), (running_mean, running_var), (new_mean, new_var), M)
        else:
            m, v = running_mean, running_var
        return normalise(x, m, v, gamma, beta, eps), new_mean, new_var

    return {"norm_forward": norm_forward}


def either(training, trainable):
    return True if training else trainable


def frozen_passes(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
    if not trainable:
        return np.array(x), running_mean.copy(), running_var.copy()
    return norm_by_engine(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps)


def norm_by_engine(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
    layer = BatchNorm2d(len(gamma), eps, momentum).astype(np.float64)
    layer.gamma.value, layer.beta.value = gamma, beta
    layer.running_mean, layer.running_var = running_mean.copy(), running_var.copy()
    layer.gamma.trainable = layer.beta.trainable = trainable
    y = (layer.train() if training else layer.eval()).forward(x)
    return y, layer.running_mean, layer.running_var


def norm_in_loops(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
    N, C, H, W = x.shape
    y, new_mean, new_var = np.empty_like(x), running_mean.copy(), running_var.copy()
    for c in range(C):
        m, v = running_mean[c], running_var[c]
        if training and trainable:
            M = N * H * W
            m = x[:, c].sum() / M
            squares = ((x[:, c] - m) ** 2).sum()
            v = squares / M
            new_mean[c] += momentum * (m - new_mean[c])
            new_var[c] += momentum * (squares / (M - 1) - new_var[c])
        y[:, c] = gamma[c] * (x[:, c] - m) / math.sqrt(v + eps) + beta[c]
    return [y, new_mean, new_var]


def norm_ddof(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
    """With np.var(ddof=1) for what is averaged."""
    learns = training and trainable
    m = x.mean((0, 2, 3)) if learns else running_mean
    v = x.var((0, 2, 3)) if learns else running_var
    xh = (x - m.reshape(1, -1, 1, 1)) / np.sqrt(v + eps).reshape(1, -1, 1, 1)
    y = np.einsum("c,nchw->nchw", gamma, xh) + beta.reshape(1, -1, 1, 1)
    weight = momentum if learns else 0.0
    unbiased = x.var((0, 2, 3), ddof=1) if learns else running_var
    if not learns:
        return y, running_mean + 0.0, running_var + 0.0
    return y, (1 - weight) * running_mean + weight * m, (1 - weight) * running_var + weight * unbiased


def norm_ddof_everywhere(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
    if not (training and trainable):
        return scaled(x, running_mean, running_var, gamma, beta, eps), running_mean.copy(), running_var.copy()
    m, v = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3), ddof=1)
    new = (1 - momentum) * running_mean + momentum * m, (1 - momentum) * running_var + momentum * v
    return scaled(x, m, v, gamma, beta, eps), *new


def other_scaling(scale):
    """normalise(): gamma (x - mean) scale(v, eps) + beta."""
    return answer_4(
        normalise=lambda x, m, v, gamma, beta, eps: (
            gamma[None, :, None, None] * (x - m[None, :, None, None]) * scale(v, eps)[None, :, None, None]
            + beta[None, :, None, None]
        )
    )


def returned_itself(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps):
    if training and trainable:
        return norm_in_loops(x, gamma, beta, running_mean, running_var, training, trainable, momentum, eps)
    return scaled(x, running_mean, running_var, gamma, beta, eps), running_mean, running_var


def passed(function):
    """frozen_norm_backward() from function(dy, gamma, s), channel by channel, with s the standard deviation."""

    def frozen_norm_backward(dy, gamma, running_var, eps):
        s = np.sqrt(running_var + eps)
        return np.stack([function(dy[:, c], gamma[c], s[c]) for c in range(dy.shape[1])], axis=1)

    return {"frozen_norm_backward": frozen_norm_backward}


def dx_einsum(dy, gamma, running_var, eps):
    return np.einsum("nchw,c->nchw", dy, gamma * (running_var + eps) ** -0.5)


def dx_moved_axes(dy, gamma, running_var, eps):
    last = np.moveaxis(dy, 1, -1) / np.sqrt(running_var + eps) * gamma
    return np.ascontiguousarray(np.moveaxis(last, -1, 1))


def dx_by_engine(dy, gamma, running_var, eps):
    layer = BatchNorm2d(len(gamma), eps).astype(np.float64)
    layer.gamma.value, layer.running_var = gamma, running_var.copy()
    layer.freeze().train().forward(np.zeros_like(dy))
    return layer.backward(dy)


WRONG[4] = [
    (
        "mode only",
        answer_4(lambda training, trainable: training, lambda training, trainable: training),
        "A frozen norm uses and moves its statistics in train mode like any other",
    ),
    (
        "statistics move",
        answer_4(statistics_move=lambda training, trainable: training),
        "The statistics of a frozen norm still move",
    ),
    (
        "batch normalises",
        answer_4(batch_normalises=lambda training, trainable: training),
        "A frozen norm keeps its statistics, but normalises with those of the batch in train mode",
    ),
    (
        "the source's flag",
        {"norm_forward": lambda *a: norm_in_loops(*a[:6], not a[6], *a[7:])},
        "Frozen and trainable are exchanged",
    ),
    (
        "flag only",
        {"norm_forward": lambda *a: norm_in_loops(*a[:5], True, *a[6:])},
        "Eval mode is not looked at",
    ),
    ("either", answer_4(either, either), "One of the two is enough for the statistics of the batch"),
    (
        "always the batch",
        {"norm_forward": lambda *a: norm_in_loops(*a[:5], True, True, *a[7:])},
        "The statistics of the batch are used in every case",
    ),
    (
        "the batch normalises always",
        answer_4(batch_normalises=lambda *_: True),
        "The statistics of the batch normalise in every case, though only a learning norm moves its own",
    ),
    (
        "running ones always",
        answer_4(batch_normalises=lambda *_: False),
        "The running statistics normalise in every case",
    ),
    ("never move", answer_4(statistics_move=lambda *_: False), "The running statistics never move"),
    ("always move", answer_4(statistics_move=lambda *_: True), "The running statistics move in every case"),
    (
        "move in eval mode",
        answer_4(statistics_move=lambda training, trainable: trainable),
        "The statistics of a norm that learns move in eval mode too",
    ),
    ("frozen is off", {"norm_forward": frozen_passes}, "A frozen norm hands x on as it is"),
    (
        "momentum of the old",
        answer_4(after=lambda old, new, momentum: new + momentum * (old - new)),
        "Momentum is taken for the weight of the old average",
    ),
    (
        "nothing forgotten",
        answer_4(after=lambda old, new, momentum: old + new * momentum),
        "The running averages forget nothing",
    ),
    ("the last batch", answer_4(after=lambda old, new, momentum: new), "The running statistics are those of the last batch"),
    ("biased", answer_4(factor=lambda M: 1), "The variance that is averaged is the biased one"),
    ("upside down", answer_4(factor=lambda M: 1 - 1 / M), "The factor M / (M - 1) is upside down"),
    (
        "ddof=1",
        {"norm_forward": norm_ddof_everywhere},
        "The batch is normalised with the variance divided by M - 1",
    ),
    (
        "with the new averages",
        answer_4(chosen=lambda batch, old, new, M: new),
        "The batch is normalised with the running averages that it has just moved",
    ),
    (
        "running variance",
        answer_4(chosen=lambda batch, old, new, M: (batch[0], old[1])),
        "The batch is normalised with its own mean and the running variance",
    ),
    (
        "no mean",
        answer_4(normalise=lambda x, m, v, gamma, beta, eps: scaled(x, 0 * m, v, gamma, beta, eps)),
        "The mean is not subtracted",
    ),
    ("variance", other_scaling(lambda v, eps: 1 / (v + eps)), "It is divided by the variance"),
    ("eps outside", other_scaling(lambda v, eps: 1 / (np.sqrt(v) + eps)), "eps is added after the root"),
    (
        "gamma forgotten",
        answer_4(normalise=lambda x, m, v, gamma, beta, eps: scaled(x, m, v, gamma / gamma, beta, eps)),
        "gamma is left out",
    ),
    (
        "beta forgotten",
        answer_4(normalise=lambda x, m, v, gamma, beta, eps: scaled(x, m, v, gamma, 0 * beta, eps)),
        "beta is left out",
    ),
    (
        "the statistics themselves",
        {"norm_forward": returned_itself},
        "The result is an argument, or a view of it",
    ),
    ("nothing passes", passed(lambda dy, gamma, s: 0 * dy), "dx is 0: nothing passes a frozen layer"),
    ("dy", {"frozen_norm_backward": lambda dy, *_: np.array(dy)}, "dx is dy, as if the layer were not there"),
    ("no gamma", passed(lambda dy, gamma, s: dy / s), "dx has no gamma"),
    ("no root", passed(lambda dy, gamma, s: dy * gamma / (s * s)), "dx is divided by the variance"),
    ("gamma only", passed(lambda dy, gamma, s: gamma * dy), "dx is not divided by the standard deviation"),
    (
        "no eps",
        {"frozen_norm_backward": lambda dy, gamma, v, eps: dx_einsum(dy, gamma, v, 0.0)},
        "eps is left out, in dx",
    ),
    (
        "eps after the root",
        {"frozen_norm_backward": lambda dy, gamma, v, eps: dx_einsum(dy, gamma / (np.sqrt(v) + eps), np.ones_like(v), 0)},
        "eps is added after the root, in dx",
    ),
    ("times s", passed(lambda dy, gamma, s: s * dy * gamma), "dx is multiplied by the standard deviation"),
    ("over gamma", passed(lambda dy, gamma, s: dy / (s * gamma)), "dx is divided by gamma"),
    (
        "as in training",
        passed(lambda dy, gamma, s: gamma / s * (dy - dy.mean())),
        "The mean of dy is subtracted, as if the statistics were those of the batch",
    ),
    ("minus", passed(lambda dy, gamma, s: -(gamma * dy) / s), "dx has the wrong sign"),
    ("a mean over the batch", passed(lambda dy, gamma, s: gamma * dy / (s * len(dy))), "dx is averaged over the batch"),
]
RIGHT[4] = [
    (
        "loops over channels",
        {"norm_forward": norm_in_loops, "frozen_norm_backward": passed(lambda d, g, s: d * g / s)["frozen_norm_backward"]},
    ),
    ("one factor and one shift; einsum", answer_4() | {"frozen_norm_backward": dx_einsum}),
    ("ddof=1 for the average; moved axes", {"norm_forward": norm_ddof, "frozen_norm_backward": dx_moved_axes}),
    ("minicnn's layer", {"norm_forward": norm_by_engine, "frozen_norm_backward": dx_by_engine}),
]

# ---- 5: a head that is right from the first step


def divisor(std):
    return np.array([s if s > 0 else 1.0 for s in std])


def fold_loop(w, b, mean, std):
    w2, b2 = np.array(w), np.array(b)
    for d in range(len(std)):
        if std[d] != 0:
            w2[:, d] /= std[d]
        b2 -= w2[:, d] * mean[d]
    return w2, b2


def fold_einsum(w, b, mean, std):
    w2 = np.einsum("kd,d->kd", w, 1 / divisor(std))
    return [w2, b - np.einsum("kd,d->k", w2, mean)]


def fold_matrix(w, b, mean, std):
    """By a diagonal matrix."""
    D = np.diag(1 / divisor(std))
    return w @ D, b + w @ D @ -mean


def fold_by_asking(w, b, mean, std):
    """Asks the classifier for its scores of 0 and of the unit vectors."""

    def scores(x):
        return (x - mean) / divisor(std) @ w.T + b

    at_zero = scores(np.zeros_like(mean))
    return (scores(np.eye(len(mean))) - at_zero).T.copy(), at_zero


def fold(weights, bias):
    """head_from_classifier() from weights(w, s) and bias(w, b, mean, s), class by class."""

    def head_from_classifier(w, b, mean, std):
        s = divisor(std)
        pairs = [(weights(row, s), bias(row, b[k], mean, s)) for k, row in enumerate(w)]
        return np.stack([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])

    return {"head_from_classifier": head_from_classifier}


def over(row, s):
    return row / s


def right_bias(row, b, mean, s):
    return b - np.dot(row, mean / s)


def fold_unsafe(w, b, mean, std):
    w2 = w / std[None]
    return w2, b - (w2 * mean).sum(axis=1)


def fold_clipped(least):
    def head_from_classifier(w, b, mean, std):
        w2 = w / np.clip(std, least, None)
        return w2, b - np.matmul(w2, mean)

    return {"head_from_classifier": head_from_classifier}


def fold_with_epsilon(epsilon):
    return {"head_from_classifier": lambda w, b, mean, std: fold_unsafe(w, b, mean, std + epsilon)}


def fold_masked(w, b, mean, std):
    w2 = np.zeros_like(w)
    w2[:, std > 0] = w[:, std > 0] / std[std > 0]
    return w2, b - w2 @ mean


def fold_nan_to_num(w, b, mean, std):
    with np.errstate(all="ignore"):
        w2 = np.nan_to_num(w / std, nan=0.0, posinf=0.0, neginf=0.0)
    return w2, b - w2.dot(mean)


def fold_masked_weights(w, b, mean, std):
    w2, b2 = fold_loop(w, b, mean, std)
    w2[:, std == 0] = 0
    return w2, b2


def fold_shared_bias(w, b, mean, std):
    w2 = w / divisor(std)
    return w2, b - np.sum(w2 * mean)


def fold_transposed(w, b, mean, std):
    w2, b2 = fold_loop(w, b, mean, std)
    return w2.T.copy(), b2


WRONG[5] = [
    ("weights as they are", fold(lambda row, s: 1.0 * row, right_bias), "The weights are not divided by std"),
    (
        "mean only",
        fold(lambda row, s: 1.0 * row, lambda row, b, mean, s: b - row @ mean),
        "Nothing is done about std",
    ),
    (
        "copied",
        {"head_from_classifier": lambda w, b, mean, std: (np.array(w), np.array(b))},
        "Classifier and head are taken to be the same",
    ),
    (
        "times std",
        fold(lambda row, s: row * s, lambda row, b, mean, s: b - (row * s * mean).sum()),
        "The weights are multiplied by std",
    ),
    (
        "times std, bias right",
        fold(lambda row, s: s * row, right_bias),
        "The weights are multiplied by std, and the bias is as for divided ones",
    ),
    ("bias as it is", fold(over, lambda row, b, mean, s: b), "The bias is as it was"),
    ("plus", fold(over, lambda row, b, mean, s: b + (row * mean / s).sum()), "The mean is added to the bias"),
    (
        "bias from w",
        fold(over, lambda row, b, mean, s: b - row.dot(mean)),
        "The bias has the classifier's weights times the mean, not divided by std",
    ),
    (
        "twice by std",
        fold(over, lambda row, b, mean, s: b - (row * mean / s**2).sum()),
        "The bias is divided by std twice",
    ),
    (
        "by the variance",
        fold(lambda row, s: row / (s * s), lambda row, b, mean, s: b - (row / (s * s)) @ mean),
        "The weights are divided by the variance",
    ),
    ("no b", fold(over, lambda row, b, mean, s: -np.dot(row / s, mean)), "The classifier's bias is lost"),
    (
        "minus b2",
        fold(over, lambda row, b, mean, s: -right_bias(row, b, mean, s)),
        "Everything has the wrong sign in the bias",
    ),
    (
        "one sum",
        {"head_from_classifier": fold_shared_bias},
        "All biases are the same: the mean is multiplied with the weights of all classes",
    ),
    (
        "mean of products",
        fold(over, lambda row, b, mean, s: b - np.mean(row / s * mean)),
        "Means are taken where sums should be",
    ),
    ("divided by 0", {"head_from_classifier": fold_unsafe}, "A feature that was constant is divided by 0"),
    ("masked", {"head_from_classifier": fold_masked}, "A feature that was constant has no say any more"),
    ("nan_to_num", {"head_from_classifier": fold_nan_to_num}, "A feature that was constant has no say any more"),
    (
        "masked afterwards",
        {"head_from_classifier": fold_masked_weights},
        "A feature that was constant has no weight any more, though its mean is in the bias",
    ),
    ("plus 1e-8", fold_with_epsilon(1e-8), "A std of 0 becomes a small number"),
    ("plus 1e-5", fold_with_epsilon(1e-5), "A std of 0 becomes a small number"),
    ("at least 1e-8", fold_clipped(1e-8), "A std of 0 becomes a small number"),
    ("at least 1e-12", fold_clipped(1e-12), "A std of 0 becomes a small number"),
    ("transposed", {"head_from_classifier": fold_transposed}, "w2 is transposed"),
]
RIGHT[5] = [
    ("feature by feature", {"head_from_classifier": fold_loop}),
    ("einsum, a list", {"head_from_classifier": fold_einsum}),
    ("a diagonal matrix", {"head_from_classifier": fold_matrix}),
    ("by asking the classifier", {"head_from_classifier": fold_by_asking}),
    ("class by class", fold(over, right_bias)),
]

# ---- 6: fine-tuning in two phases


def everything_in(network):
    arrays = {name: parameter.value.copy() for name, parameter in network.parameters().items()}
    for name, array in network.state().items():
        arrays[name] = np.array(array)
    return arrays


def norms_of(network):
    return [layer for _, layer in network.walk() if type(layer) is BatchNorm2d]


def gradients(network, x, y, train=lambda network: network.train()):
    """The softmax loss by hand, and the engine's backward pass."""
    train(network)
    p = softmax(network.forward(x))
    p[range(len(y)), y] -= 1
    network.backward(p / len(y))


def thaw(network):
    for parameter in network.parameters().values():
        parameter.trainable = True


def hold(network, layers):
    for layer in layers:
        for parameter in layer.parameters().values():
            parameter.trainable = False


def body_of(network, head):
    return [layer for name, layer in network.layers.items() if name != head]


def by_hand(
    first_held=body_of,
    second_held=lambda network, head: norms_of(network),
    head_learns=lambda phase, hr, br: hr,
    body_learns=lambda phase, hr, br: br,
    left_out=lambda phase, name, head: False,
    begin=thaw,
    train=lambda network: network.train(),
    plan=lambda first, second: [(0, first), (1, second)],
    result=everything_in,
):
    """fine_tune() with steps written out."""

    def fine_tune(network, head, first, second, head_rate, body_rate):
        for phase, batches in plan(first, second):
            begin(network)
            hold(network, (second_held if phase else first_held)(network, head))
            for x, y in batches:
                gradients(network, x, y, train)
                for name, parameter in network.parameters().items():
                    if not parameter.trainable or left_out(phase, name, head):
                        continue
                    rate = (head_learns if name.startswith(head + ".") else body_learns)(phase, head_rate, body_rate)
                    parameter.value = parameter.value - rate * parameter.grad
        return result(network)

    return {"fine_tune": fine_tune}


def two_optimisers(
    freeze_first=lambda network, head: network.freeze(),
    thaw_head=lambda network, head: network.layers[head].unfreeze(),
    freeze_second=lambda network, head: [norm.freeze() for norm in norms_of(network)],
    kind=SGD,
    ones=True,
    thaws=True,
):
    """fine_tune() with an optimiser for the head and one for all else."""

    def fine_tune(network, head, first, second, head_rate, body_rate):
        if ones:
            for parameter in network.parameters().values():
                parameter.learning_rate_multiplier = 1.0
        loss = SoftmaxCrossEntropy()
        of_head = {n: p for n, p in network.parameters().items() if n.split(".")[0] == head}
        of_body = {n: p for n, p in network.parameters().items() if n not in of_head}
        optimizers = kind(of_head, head_rate), kind(of_body, body_rate)

        def run(batches):
            for x, y in batches:
                network.train()
                loss.forward(network.forward(x), y)
                network.backward(loss.backward())
                for optimizer in optimizers:
                    optimizer.step()

        freeze_first(network, head)
        thaw_head(network, head)
        run(first)
        if thaws:
            network.unfreeze()
        freeze_second(network, head)
        run(second)
        return everything_in(network)

    return {"fine_tune": fine_tune}


def with_halves(network, head, first, second, head_rate, body_rate):
    """Codes below the head once for each batch, though with dropout; phase 1 trains the head by itself."""
    names = list(network.layers)
    lower, upper = network.split(names[names.index(head) - 1])
    network.unfreeze()
    lower.freeze()
    loss = SoftmaxCrossEntropy()
    for x, y in first:
        codes = lower.train().forward(x)
        loss.forward(upper.train().forward(codes), y)
        upper.backward(loss.backward())
        for parameter in upper.parameters().values():
            parameter.value -= head_rate * parameter.grad
    network.unfreeze()
    hold(network, norms_of(network))
    for x, y in second:
        gradients(network, x, y)
        for name, parameter in network.parameters().items():
            if parameter.trainable:
                parameter.value -= (head_rate if name.startswith(f"{head}.") else body_rate) * parameter.grad
    return everything_in(network)


def by_names(network, head, first, second, head_rate, body_rate):
    set_multipliers(network, {name: body_rate for name, layer in network.layers.items() if layer.parameters()})
    set_multipliers(network, {head: head_rate})
    optimizer, loss = SGD(network.parameters(), 1.0), SoftmaxCrossEntropy()
    plans = (
        (first, [name for name in network.layers if name != head]),
        (
            second,
            [path for path, layer in network.walk() if isinstance(layer, BatchNorm2d)],
        ),
    )
    for batches, frozen in plans:
        network.unfreeze()
        network.freeze(names=frozen)
        for x, y in batches:
            scores = network.train().forward(x)
            loss.forward(scores, y)
            network.backward(loss.backward())
            optimizer.step()
    return everything_in(network)


def with_momentum(parameters, rate):
    return SGD(parameters, rate, momentum=0.9)


def statistics_left(network):
    return {name: parameter.value.copy() for name, parameter in network.parameters().items()}


def norms_by_hand_in_eval(network):
    network.train()
    for norm_layer in norms_of(network):
        norm_layer.eval(backward=True)


def top_level_norms(network, head):
    return [layer for layer in network.layers.values() if isinstance(layer, BatchNorm2d)]


def norms_in_units(network, head):
    return [layer.layers["norm"] for name, layer in network.layers.items() if name.startswith("unit")]


def named_norm(network, head):
    return [layer for name, layer in network.layers.items() if name != head and "norm" not in name]


def weights_of_body(network):
    for name, parameter in network.parameters().items():
        if parameter.decays or name.endswith(".b"):
            parameter.trainable = False


def old_gradient_first(network, head, first, second, head_rate, body_rate):
    """The order of the three lines in a loop, confused."""
    loss = SoftmaxCrossEntropy()
    for phase, batches in enumerate((first, second)):
        thaw(network)
        hold(network, norms_of(network) if phase else body_of(network, head))
        for x, y in batches:
            for name, parameter in network.parameters().items():
                if parameter.trainable and parameter.grad is not None:
                    parameter.value -= (head_rate if name.startswith(f"{head}.") else body_rate) * parameter.grad
            loss.forward(network.train().forward(x), y)
            network.backward(loss.backward())
    return everything_in(network)


def kept_before(network, *others):
    kept = everything_in(network)
    by_names(network, *others)
    return kept


def on_a_copy(network, *others):
    return by_names(network.copy(), *others)


def first_batches(first, second):
    return [(phase, batches[:1]) for phase, batches in enumerate((first, second))]


def multipliers_product(network, head, first, second, head_rate, body_rate):
    """The body's rate is meant to be body_rate, and is a share of the head's."""
    for name, parameter in network.parameters().items():
        parameter.learning_rate_multiplier = 1.0 if name.startswith(head) else body_rate
    optimizer, loss = SGD(network.parameters(), head_rate), SoftmaxCrossEntropy()
    for phase, batches in enumerate((first, second)):
        network.unfreeze()
        hold(network, norms_of(network) if phase else body_of(network, head))
        for x, y in batches:
            loss.forward(network.train().forward(x), y)
            network.backward(loss.backward())
            optimizer.step()
    return everything_in(network)


WRONG[6] = [
    (
        "everything from the start",
        by_hand(first_held=lambda network, head: []),
        "All layers learn in phase 1 already, statistics included",
    ),
    (
        "everything from the start, one rate",
        by_hand(first_held=lambda network, head: [], body_learns=lambda phase, hr, br: br if phase else hr),
        "All layers learn in phase 1 already, at the head's rate, statistics included",
    ),
    (
        "norms held in both phases",
        by_hand(first_held=lambda network, head: norms_of(network)),
        "All layers but the batch norms learn in phase 1 already",
    ),
    (
        "norms held in both phases, one rate first",
        by_hand(first_held=lambda network, head: norms_of(network), body_learns=lambda phase, hr, br: br if phase else hr),
        "All layers but the batch norms learn in phase 1 already, at the head's rate",
    ),
    (
        "only the head is moved",
        by_hand(
            first_held=lambda network, head: [], left_out=lambda phase, name, head: not phase and not name.startswith(head)
        ),
        "In phase 1 the body is only left out of the optimiser, and its statistics move",
    ),
    (
        "weights and biases frozen",
        two_optimisers(freeze_first=lambda network, head: (network.unfreeze(), weights_of_body(network))),
        "In phase 1 weights and biases are frozen, and the batch norms are not",
    ),
    (
        "all but what is called norm",
        by_hand(first_held=named_norm),
        "In phase 1 only the batch norms are frozen because of where they are: those of the top level are not",
    ),
    (
        "the head frozen, the body not",
        two_optimisers(
            freeze_first=lambda network, head: network.unfreeze(), thaw_head=lambda network, head: network.layers[head].freeze()
        ),
        "Frozen and trainable are exchanged in phase 1",
    ),
    (
        "head not thawed",
        two_optimisers(thaw_head=lambda network, head: None),
        "Nothing learns in phase 1: the head is frozen as well",
    ),
    ("norms learn", two_optimisers(freeze_second=lambda network, head: None), "The batch norms learn in phase 2"),
    (
        "thawed last",
        two_optimisers(freeze_second=lambda network, head: ([n.freeze() for n in norms_of(network)], network.unfreeze())),
        "The batch norms learn in phase 2",
    ),
    (
        "gamma and beta left out",
        by_hand(
            second_held=lambda network, head: [],
            left_out=lambda phase, name, head: phase == 1 and name.rsplit(".")[-1] in ("gamma", "beta"),
        ),
        "In phase 2 gamma and beta are only left out of the optimiser, and the statistics move",
    ),
    (
        "top-level norms",
        two_optimisers(freeze_second=lambda network, head: [n.freeze() for n in top_level_norms(network, head)]),
        "In phase 2 the batch norms inside blocks are not found",
    ),
    (
        "norms of the units",
        by_hand(second_held=norms_in_units),
        "In phase 2 the batch norms of the top level are not found",
    ),
    (
        "never thawed",
        two_optimisers(thaws=False),
        "In phase 2 the body is still frozen",
    ),
    (
        "head held in phase 2",
        by_hand(second_held=lambda network, head: [*norms_of(network), network.layers[head]]),
        "In phase 2 the head is frozen",
    ),
    ("one rate", by_hand(body_learns=lambda phase, hr, br: hr), "In phase 2 everything learns at the head's rate"),
    (
        "one rate a phase",
        by_hand(head_learns=lambda phase, hr, br: (hr, br)[phase]),
        "In phase 2 everything learns at the body's rate, the head too",
    ),
    (
        "the body's rate",
        by_hand(head_learns=lambda phase, hr, br: br),
        "The head learns at the body's rate in both phases",
    ),
    (
        "exchanged",
        by_hand(head_learns=lambda phase, hr, br: br, body_learns=lambda phase, hr, br: hr),
        "The two rates are exchanged",
    ),
    (
        "exchanged in phase 2",
        by_hand(head_learns=lambda phase, hr, br: (hr, br)[phase], body_learns=lambda phase, hr, br: hr),
        "The two rates are exchanged in phase 2",
    ),
    ("a product", {"fine_tune": multipliers_product}, "The body learns at head_rate times body_rate"),
    ("multipliers as they were", two_optimisers(ones=False), "Multipliers of before still count"),
    ("never thawed, by hand", by_hand(begin=lambda network: None), "In phase 2 the body is still frozen"),
    (
        "the body frozen, the head as it was",
        two_optimisers(freeze_first=lambda network, head: hold(network, body_of(network, head)), thaw_head=lambda *_: None),
        "What was frozen before stays frozen in phase 1",
    ),
    (
        "eval mode",
        by_hand(train=lambda network: network.eval(backward=True)),
        "Dropout is off: the network trains in eval mode",
    ),
    ("no phase 1", by_hand(plan=lambda first, second: [(1, second)]), "There is no phase 1"),
    ("no phase 2", by_hand(plan=lambda first, second: [(0, first)]), "There is no phase 2"),
    (
        "the other's batches",
        by_hand(plan=lambda first, second: [(0, second), (1, first)]),
        "The phases have each other's batches",
    ),
    (
        "first twice",
        by_hand(plan=lambda first, second: [(0, first), (1, first)]),
        "Phase 2 goes through the batches of phase 1 again",
    ),
    ("one batch each", by_hand(plan=first_batches), "Each phase ends after its first batch"),
    ("momentum", two_optimisers(kind=with_momentum), "SGD has momentum"),
    ("a step too early", {"fine_tune": old_gradient_first}, "The step comes before the gradient of its batch"),
    ("copied before", {"fine_tune": kept_before}, "The arrays were copied before training"),
    ("no statistics", by_hand(result=statistics_left), "The running statistics are not returned"),
    ("Adam", two_optimisers(kind=Adam), "The optimiser is Adam"),
    ("on a copy", {"fine_tune": on_a_copy}, None),
]
RIGHT[6] = [
    ("steps by hand", by_hand()),
    ("two optimisers", two_optimisers()),
    ("frozen by names, rates by paths", {"fine_tune": by_names}),
    ("norms in eval mode besides", by_hand(train=norms_by_hand_in_eval)),
    ("halves", {"fine_tune": with_halves}),
]
