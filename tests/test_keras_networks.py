"""Whole models of Keras, with what people put before and on a published network, give the same scores for the same pictures."""

import os

import h5py
import numpy as np
import pytest

from minicnn.errors import WeightsError
from minicnn.pretrained.convert import convert
from minicnn.pretrained.readers import read_keras
from minicnn.pretrained.readers.keras_config import understand

SIDE, CLASSES = 48, 5
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")


@pytest.fixture(scope="module")
def keras():
    pytest.importorskip("torch", reason="Keras computes with it here")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def shaken(net):
    """Weights under which the scores depend on the picture; not those that a layer has measured."""
    rng = np.random.default_rng(5)
    for variable in net.variables:
        kind, shape = variable.path.split("/")[-1], variable.shape
        if kind == "kernel":
            inputs = np.prod(shape[:2]) if len(shape) == 4 and shape[-1] == 1 else np.prod(shape[:-1])
            variable.assign(rng.normal(0, np.sqrt(2 / inputs), shape))
        elif kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif kind in ("beta", "bias", "moving_mean"):
            variable.assign(rng.normal(0, 0.2, shape))
    return net


def pixels(side=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (2, side, side, 3)).astype(np.uint8)


def base(keras, side=SIDE, **arguments):
    return keras.applications.MobileNet(weights=None, include_top=False, input_shape=(side, side, 3), alpha=0.25, **arguments)


def save(net, path):
    (net.save_weights if path.name.endswith(".weights.h5") else net.save)(path)
    return path


def assert_same_scores(model, net, side=SIDE, after=lambda scores: scores):
    """From the pixels on: what prepares them is part of the comparison."""
    picture = pixels(side)
    theirs = np.asarray(net.predict(picture.astype(np.float32), verbose=0))
    ours = after(model.forward(model.preprocessing.normalise(picture)))
    assert ours.shape == theirs.shape and np.ptp(theirs) > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


# ---- own heads, with preparation in the file


def guide(keras):
    """As Keras's guide to transfer learning has it."""
    layers = keras.layers
    x = inputs = keras.Input((SIDE, SIDE, 3))
    for layer in (
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.Rescaling(1 / 127.5, offset=-1),
        base(keras),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.2),
        layers.Dense(CLASSES),
    ):
        x = layer(x)
    return keras.Model(inputs, x)


def stack(keras):
    """Sequential, with an own hidden layer, and pictures of the measured mean and standard deviation."""
    layers = keras.layers
    measured = layers.Normalization()
    measured.adapt(pixels(seed=3).astype(np.float32) / 255 * np.array([1, 0.8, 0.5], np.float32))
    head = [layers.Dense(8), layers.ReLU(), layers.Dropout(0.5), layers.Dense(CLASSES)]
    return keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255), measured, base(keras, pooling="avg"), *head]
    )


def operations(keras):
    """preprocess_input inside the model leaves operations in the place of layers."""
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.applications.mobilenet.preprocess_input(inputs)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(base(keras, pooling="avg")(x)))


def caffe_operations(keras):
    """The same for networks from Caffe: channels in another order, minus their means. The head takes averages in VGG, too."""
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.applications.vgg16.preprocess_input(inputs)
    vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling2D()(vgg(x))))


@pytest.mark.parametrize("file", ["net.h5", "net.keras"])
@pytest.mark.parametrize(
    ("build", "architecture"),
    [(guide, "mobilenet_v1"), (stack, "mobilenet_v1"), (operations, "mobilenet_v1"), (caffe_operations, "vgg16")],
)
def test_a_network_with_a_head_of_its_own_and_preparation_in_the_file(keras, tmp_path, build, architecture, file):
    net = shaken(build(keras))
    model, mapped = convert(save(net, tmp_path / file), architecture)
    assert not mapped.differences and model.input_shape == (3, SIDE, SIDE) == (3, *model.preprocessing.size)
    assert "How pixels become numbers was read from the layers in the file." in mapped.notes
    assert_same_scores(model, net)


def test_a_head_on_a_flattened_map_with_a_sigmoid(keras, tmp_path):
    layers = keras.layers
    vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
    head = [layers.Flatten(), layers.Dense(8, activation="relu"), layers.Dense(1, activation="sigmoid")]
    net = shaken(keras.Sequential([keras.Input((64, 64, 3)), layers.Rescaling(1 / 255), vgg, *head]))
    model, _ = convert(save(net, tmp_path / "net.keras"), "vgg16")
    assert_same_scores(model, net, 64, after=lambda scores: 1 / (1 + np.exp(-scores)))
    assert np.allclose(model.predict_proba(pixels(64))[:, 1:], net.predict(pixels(64).astype(np.float32), verbose=0), atol=1e-4)


def test_weights_alone_have_the_head_and_say_that_the_preparation_is_not_in_them(keras, tmp_path):
    net = shaken(guide(keras))
    model, mapped = convert(save(net, tmp_path / "net.weights.h5"), "mobilenet_v1")
    (note,) = (note for note in mapped.notes if "describe" in note)
    assert "only its weights: taken are pictures of 224 x 224, prepared as" in note and "scaled by a layer of it" in note
    assert_same_scores(model, net)  # this network's usual preparation, as it happens


def test_measured_means_are_read_or_where_it_is_open_what_is_done_with_them_spoken_of(keras, tmp_path):
    net = shaken(stack(keras))
    for file, is_open in (("net.keras", False), ("net.weights.h5", True)):
        notes = " ".join(convert(save(net, tmp_path / file), "mobilenet_v1")[1].notes)
        assert ("normalization" in notes and "/1 = " in notes and ", a variance: the network may prepare" in notes) == is_open


@pytest.mark.parametrize(
    ("family", "architecture", "head", "remarks"),
    [("MobileNet", "mobilenet_v1", {"classes": 1000}, 0), ("MobileNet", "mobilenet_v1", {"include_top": False}, 0),
     ("MobileNet", "mobilenet_v1", {"classes": CLASSES}, 1), ("MobileNetV2", "mobilenet_v2", {"classes": CLASSES}, 2)],
)  # fmt: skip
def test_only_published_weights_alone_need_no_remark(keras, tmp_path, family, architecture, head, remarks):
    """With classes of one's own the pictures may have been of another size, on which MobileNetV2's padding depends as well."""
    net = getattr(keras.applications, family)(weights=None, input_shape=(SIDE, SIDE, 3), alpha=0.35, **head)
    _, mapped = convert(save(net, tmp_path / "net.weights.h5"), architecture)
    words = [note for note in mapped.notes if "file of model.save()" in note]
    assert len(words) == remarks and (remarks < 2 or "At stride 2 Keras pads as for the size" in words[1])


# ---- heads on a flattened map


def assert_same_scores_of_inputs(model, net, size):
    x = np.random.default_rng(2).uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    theirs = net.predict(x, verbose=0)
    ours = model.forward(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def flattening(keras, size, family, *between):
    """As tutorials have it; ``between`` are layers between the network and the Flatten."""
    layers = keras.layers
    body = getattr(keras.applications, family)(weights=None, include_top=False, input_shape=(*size, 3))
    head = [layers.Flatten(), layers.Dense(8, activation="relu"), layers.Dense(CLASSES)]
    return shaken(keras.Sequential([keras.Input((*size, 3)), body, *between, *head]))


@pytest.mark.parametrize(
    ("family", "architecture", "side", "taken"),
    [("VGG16", "vgg16", 80, 64), ("MobileNet", "mobilenet_v1", 80, 63), ("MobileNet", "mobilenet_v1", 224, 224)],
)
def test_a_flattened_map_is_of_the_usual_or_the_smallest_pictures(keras, tmp_path, family, architecture, side, taken):
    net = flattening(keras, (side, side), family)
    for file, size in (("net.weights.h5", taken), ("net.keras", side)):
        model, mapped = convert(save(net, tmp_path / file), architecture)
        assert model.input_shape == (3, size, size) and model.preprocessing.size == (size, size)
        assert_same_scores_of_inputs(model, net, (side, side))
        is_a_guess = any(f"{taken} x {taken} is the smallest square" in note for note in mapped.notes)
        assert is_a_guess == (file == "net.weights.h5" and side != taken)


def test_a_flattened_map_that_is_not_square_needs_its_size(keras, tmp_path):
    vgg = flattening(keras, (64, 96), "VGG16")
    path = save(vgg, tmp_path / "net.weights.h5")
    with pytest.raises(WeightsError, match=r"takes 3072 numbers, and vgg16 makes .* no square picture.*--size HEIGHTxWIDTH"):
        convert(path, "vgg16")
    assert convert(path, "vgg16", input_shape=(3, 64, 96))[0].preprocessing.size == (64, 96)
    mobilenet = flattening(keras, (64, 96), "MobileNet")
    with pytest.raises(WeightsError, match="else convert a file that describes its network"):
        convert(save(mobilenet, tmp_path / "net.weights.h5"), "mobilenet_v1")
    model, _ = convert(save(mobilenet, tmp_path / "net.keras"), "mobilenet_v1")
    assert model.input_shape == (3, 64, 96)
    assert_same_scores_of_inputs(model, mobilenet, (64, 96))


@pytest.mark.parametrize(
    ("pool", "complaint"),
    [("MaxPooling2D", "MaxPooling2D"), ("AveragePooling2D", r"AveragePooling2D of \(2, 2\) on a map of \(3, 3\)")],
)
def test_a_pool_in_front_of_a_flatten_counts_where_it_does_not_cover_the_map(keras, tmp_path, pool, complaint):
    pool = getattr(keras.layers, pool)(2)
    net = flattening(keras, (96, 96), "MobileNet", pool)
    with pytest.raises(WeightsError, match=f"cannot be built here: it has {complaint}"):
        convert(save(net, tmp_path / "net.keras"), "mobilenet_v1")


def test_an_average_pool_over_the_whole_map_is_the_average(keras, tmp_path):
    net = flattening(keras, (SIDE, SIDE), "MobileNet", keras.layers.AveragePooling2D(1))
    model, _ = convert(save(net, tmp_path / "net.keras"), "mobilenet_v1")
    assert_same_scores_of_inputs(model, net, (SIDE, SIDE))


def averages(layers):
    return layers.GlobalAveragePooling2D()


@pytest.mark.parametrize(
    ("layers_of_head", "complaint"),
    [
        (lambda layers: [layers.GlobalMaxPooling2D(), layers.Dense(CLASSES)], "GlobalMaxPooling2D"),
        (lambda layers: [layers.Conv2D(8, 1), averages(layers), layers.Dense(3)], "none of its layers takes the 256 numbers"),
        (lambda layers: [averages(layers), layers.Dense(8, activation="tanh", name="hid"), layers.Dense(3)], "tanh after hid"),
        (lambda layers: [averages(layers), layers.Dense(8), layers.LayerNormalization(), layers.Dense(3)], "layer_norm"),
    ],
)  # fmt: skip
def test_a_head_that_is_not_built_here_is_named_and_partial_takes_the_network_below(keras, tmp_path, layers_of_head, complaint):
    net = shaken(keras.Sequential([keras.Input((SIDE, SIDE, 3)), base(keras), *layers_of_head(keras.layers)]))
    with pytest.raises(WeightsError, match=f"cannot be built here: .*{complaint}.*--partial"):
        convert(save(net, tmp_path / "net.keras"), "mobilenet_v1")
    model, _ = convert(tmp_path / "net.keras", "mobilenet_v1", partial=True)
    picture = pixels()
    theirs = np.asarray(net.layers[0](picture.astype(np.float32), training=False).detach()).transpose(0, 3, 1, 2)
    ours = model.forward(picture.transpose(0, 3, 1, 2).astype(np.float32), layers=["block13"])["block13"]
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_preparation_that_is_not_understood_is_named(keras, tmp_path):
    layers = keras.layers
    odd = [layers.Lambda(lambda x: x / 9, name="ninth")]
    net = shaken(keras.Sequential([keras.Input((SIDE, SIDE, 3)), *odd, base(keras, pooling="avg"), layers.Dense(CLASSES)]))
    _, mapped = convert(save(net, tmp_path / "net.keras"), "mobilenet_v1")
    assert "prepares its pictures by ninth (Lambda), which is not read" in " ".join(mapped.notes)


def test_pictures_that_the_file_resizes_are_stretched_here_as_well(keras, tmp_path):
    layers = keras.layers
    prepared = [layers.Resizing(SIDE, SIDE), layers.Rescaling(1 / 255)]
    net = shaken(keras.Sequential([keras.Input((None, None, 3)), *prepared, base(keras, pooling="avg"), layers.Dense(CLASSES)]))
    model, _ = convert(save(net, tmp_path / "net.keras"), "mobilenet_v1")
    assert (model.preprocessing.size, model.preprocessing.fit, model.preprocessing.resize) == ((SIDE, SIDE), "stretch", None)
    assert model.preprocessing.std == (255.0,) * 3
    assert_same_scores(model, net)


# ---- sizes


@pytest.mark.parametrize("file", ["net.h5", "net.weights.h5"])
def test_pools_of_keras_leave_out_what_does_not_fill_a_window(keras, tmp_path, file):
    """28 pixels under windows of 3 at stride 2 make 13, where SqueezeNet's authors have 14."""
    layers, x = keras.layers, (picture := keras.Input((57, 57, 3)))
    x = layers.Conv2D(64, 3, strides=2, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, strides=2)(x)
    for n, (squeezed, expanded) in enumerate([(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2, 2):
        x = layers.Conv2D(squeezed, 1, activation="relu", name=f"fire{n}_squeeze1x1")(x)
        wide = [layers.Conv2D(expanded, k, padding="same", activation="relu", name=f"fire{n}_expand{k}x{k}")(x) for k in (1, 3)]
        x = layers.Concatenate()(wide)
        if n in (3, 5):
            x = layers.MaxPooling2D(3, strides=2)(x)
    x = layers.Conv2D(CLASSES, 1, activation="relu", name="conv10")(x)
    net = shaken(keras.Model(picture, layers.GlobalAveragePooling2D()(x)))
    model, _ = convert(save(net, tmp_path / file), "squeezenet1_1")
    raw = pixels(57)
    ours = model.forward(np.ascontiguousarray(raw.transpose(0, 3, 1, 2), np.float32), layers=["pool1", "pool10"])
    theirs = net.predict(raw.astype(np.float32), verbose=0)
    assert ours["pool1"].shape[2:] == (13, 13)
    np.testing.assert_allclose(ours["pool10"], theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_pool_is_padded_by_itself_by_a_layer_before_it_or_not_at_all(keras, tmp_path):
    """Old ResNet-50s of Keras have no padding in front of their first pool, later ones have."""
    layers = keras.layers
    pools = [
        layers.MaxPooling2D(3, 2), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2), layers.MaxPooling2D(3, 2, padding="same")
    ]  # fmt: skip
    net = keras.Sequential([keras.Input((40, 40, 3)), layers.Conv2D(4, 3), *pools, layers.Flatten(), layers.Dense(2)])
    assert read_keras(save(net, tmp_path / "net.keras")).model.pools == [(0, 0), (1, 1), "same"]


@pytest.mark.parametrize(("made_for", "used_at"), [(None, 65), (None, 64), (64, 65), (65, 64)])
def test_padding_at_stride_2_is_what_the_model_was_saved_with(keras, tmp_path, made_for, used_at):
    """Keras computes it once, from the size that the model was made for; without one it takes an even size for granted."""
    net = shaken(
        keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(made_for, made_for, 3), alpha=0.35)
    )
    model, _ = convert(save(net, tmp_path / "net.keras"), "mobilenet_v2")
    x = (pixels(used_at) / 127.5 - 1).astype(np.float32)
    if made_for is not None:  # such a model takes no other size; its layers do
        inputs = keras.Input((used_at, used_at, 3))
        net = keras.models.clone_model(
            net, input_tensors=inputs, call_function=lambda layer, *x, **named: net.get_layer(layer.name)(*x, **named)
        )
    theirs = net.predict(x, verbose=0)
    ours = model.forward(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * np.abs(theirs).max())


# ---- the description


def test_keras_2_describes_operations_in_another_way(tmp_path):
    """A model of TensorFlow 2.x: "TFOpLambda", and references that are lists."""

    def layer(kind, name, before, **config):
        extra = config.pop("extra", {})
        nodes = [[before, 0, 0, extra]] if kind == "TFOpLambda" else [[[before, 0, 0, {}]]]
        return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes if before else []}

    config = {
        "class_name": "Functional",
        "config": {
            "layers": [
                layer("InputLayer", "input_1", "", batch_input_shape=[None, 96, 128, 3]),
                layer("TFOpLambda", "tf.math.truediv", "input_1", function="math.truediv", extra={"y": 127.5, "name": None}),
                layer("TFOpLambda", "tf.math.subtract", "tf.math.truediv", function="math.subtract", extra={"y": 1.0}),
                layer("ZeroPadding2D", "pad", "tf.math.subtract", padding=[[0, 1], [0, 1]]),
                layer("Conv2D", "conv", "pad", strides=[2, 2], padding="valid"),
                layer("ZeroPadding2D", "pad2", "conv", padding=[[3, 3], [3, 3]]),
                layer("Conv2D", "second", "pad2", strides=[2, 2], padding="valid"),
                layer("GlobalAveragePooling2D", "pool", "second"),
                layer("Dense", "scores", "pool", activation="softmax"),
            ]
        },
    }
    model = understand(config, {})
    assert model.size == (96, 128) and not model.unread and model.pads == {"conv": ((0, 1), (0, 1)), "second": (3, 3)}
    np.testing.assert_allclose(model.scale * 255 + model.offset, 1)
    assert model.activations == {"scores": "softmax"}


def test_a_description_that_makes_no_sense_costs_nothing_but_itself(keras, tmp_path):
    path = save(shaken(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])), tmp_path / "net.h5")
    assert read_keras(path).model is not None
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = '{"config": {"layers": [{"class_name": "Conv2D"}]}}'
    arrays = read_keras(path)
    assert arrays.model is None and len(arrays) == 2
