"""The monitor of layers: its numbers by hand, that training does not notice it, and what it says in words."""

import json

import numpy as np
import pytest
from drawn import frame_is_white, png_of

from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Layer,
    Linear,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    Tanh,
)
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.training import LayerMonitor, Trainer
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoint import Checkpoints
from minicnn.training.watching import watched
from minicnn.viz import monitoring_figure

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3, 9, 8)).astype(np.float32)
Y = RNG.integers(0, 3, 40)


def network():
    body = Sequential(Conv2d(8, 8, 3, pad=1, rng=1), BatchNorm2d(8), ReLU(), Conv2d(8, 8, 3, pad=1, rng=2))
    return Sequential(
        conv=Conv2d(3, 8, 3, rng=0),
        norm=BatchNorm2d(8),
        relu=ReLU(),
        block=Residual(body),
        relu6=ReLU6(),
        drop=Dropout(0.3),
        pool=GlobalAvgPool2d(),
        fc=Linear(8, 3, rng=3),
    )


def fit(model, *callbacks, x=X, y=Y, learning_rate=0.05, epochs=2, **options):
    options = {"batch_size": 16, "progress": False, "callbacks": callbacks} | options
    trainer = Trainer(
        model, SoftmaxCrossEntropy(), SGD(model.parameters(), learning_rate, momentum=0.9), epochs=epochs, **options
    )
    trainer.fit(x, y)
    return trainer


def arrays(model):
    return [p.value.tobytes() for p in model.parameters().values()] + [array.tobytes() for array in model.state().values()]


# ---- the numbers


def test_all_numbers_of_a_step_by_hand():
    """Two samples; the second unit is 0 for both, and so dead."""
    model = Sequential(hidden=Linear(2, 2, rng=0), relu=ReLU(), scores=Linear(2, 2, bias=False, rng=0))
    model.layers["hidden"].w.value[:] = [[1, 0], [0, 1]]
    model.layers["hidden"].b.value[:] = [0, -9]
    model.layers["scores"].w.value[:] = [[1, 0], [-1, 0]]
    x, monitor = np.array([[1, 0], [3, 4]], np.float32), LayerMonitor(every=1)
    fit(model, monitor, x=x, y=np.array([0, 0]), learning_rate=0.1, epochs=1)
    (record,) = monitor.records
    hidden, relu, scores = (record["layers"][path] for path in ("hidden", "relu", "scores"))
    outputs = np.array([[1, -9], [3, -5]])
    assert (hidden["mean"], hidden["std"]) == pytest.approx((outputs.mean(), outputs.std()))
    assert relu == {
        "mean": 1,
        "std": pytest.approx(np.std([1, 0, 3, 0])),
        "dead": 0.5,
        "gradient_norm": None,
        "update_ratio": None,
    }
    p_wrong = 1 / (1 + np.exp([2, 6]))  # of scores (1, -1) and (3, -3)
    ds = np.stack([-p_wrong, p_wrong], axis=1) / 2
    dw = ds.T @ [[1, 0], [3, 0]]
    assert scores["gradient_norm"] == pytest.approx(np.linalg.norm(dw))
    assert scores["update_ratio"] == pytest.approx(0.1 * np.linalg.norm(dw) / np.sqrt(2), rel=1e-4)
    dh = ds @ [[1, 0], [-1, 0]]
    assert hidden["gradient_norm"] == pytest.approx(np.linalg.norm(dh.T @ x))
    assert hidden["dead"] is None and scores["dead"] is None
    assert (record["step"], record["epoch"], record["learning_rate"]) == (1, 1, pytest.approx(0.1))
    assert record["loss"] == pytest.approx(-np.log(1 - p_wrong).mean())


def test_a_channel_is_dead_only_if_no_pixel_of_it_is_alive():
    model = Sequential(conv=Conv2d(1, 3, 1), relu=ReLU(), pool=GlobalAvgPool2d(), fc=Linear(3, 2, rng=0))
    model.layers["conv"].w.value[:] = np.array([1, -1, 0]).reshape(3, 1, 1, 1)
    x = np.zeros((4, 1, 2, 2), np.float32)
    x[2, 0, 1, 1] = 1  # one pixel of one picture: the first channel lives, the second is negative there, the third is 0
    for parts in (1, 4):
        monitor = LayerMonitor()
        fit(model, monitor, x=x, y=np.array([0, 1, 0, 1]), learning_rate=0.0, epochs=1, accumulate=parts)
        assert monitor.records[0]["layers"]["relu"]["dead"] == pytest.approx(2 / 3)


def test_a_batch_in_parts_is_seen_as_a_whole():
    def plain():
        return Sequential(conv=Conv2d(3, 8, 3, rng=0), relu=ReLU(), pool=GlobalAvgPool2d(), fc=Linear(8, 3, rng=3))

    whole, parts = LayerMonitor(1), LayerMonitor(1)
    fit(plain(), whole, epochs=1)
    fit(plain(), parts, epochs=1, accumulate=3)
    for one, other in zip(whole.records, parts.records, strict=True):
        for path, numbers in one["layers"].items():
            for name, value in numbers.items():
                expected = value if value is None else pytest.approx(value, rel=1e-3, abs=1e-5)
                assert other["layers"][path][name] == expected, (path, name)


def test_every_layer_with_weights_and_every_activation_is_measured_wherever_it_stands():
    monitor = LayerMonitor()
    fit(network(), monitor)
    assert list(monitor.records[0]["layers"]) == ["conv", "relu", "block.body.0", "block.body.2", "block.body.3", "relu6", "fc"]


def test_frozen_layers_have_outputs_and_no_steps():
    model, monitor = network(), LayerMonitor()
    model.layers["conv"].freeze()
    fit(model, monitor)
    conv = monitor.records[0]["layers"]["conv"]
    assert conv["std"] > 0 and conv["gradient_norm"] is conv["update_ratio"] is None


def test_weights_that_start_at_zero_have_no_ratio():
    model, monitor = network(), LayerMonitor(every=1)
    model.layers["fc"].w.value[:] = 0
    fit(model, monitor, epochs=1)
    ratios = [record["layers"]["fc"]["update_ratio"] for record in monitor.records]
    assert ratios[0] is None and ratios[1] > 0
    assert monitor.series("update_ratio")["fc"][0] == [2, 3]


def test_steps_are_measured_from_the_first_on_at_equal_distances():
    monitor = LayerMonitor(every=4)
    fit(network(), monitor, epochs=3)  # three steps an epoch
    assert [(record["epoch"], record["step"]) for record in monitor.records] == [(1, 1), (2, 5), (3, 9)]


# ---- training does not notice


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_goes_on_as_without_it_to_the_bit(every, accumulate):
    alone, watched_one = network(), network()
    fit(alone, accumulate=accumulate)
    fit(watched_one, LayerMonitor(every), accumulate=accumulate)
    assert arrays(alone) == arrays(watched_one)


def test_nothing_of_it_is_left_on_the_model_however_the_run_ends():
    class Stop(Callback):
        def on_gradients(self, run):
            raise KeyError("in the middle of a step")

    class Breaks(Layer):
        def forward(self, x):
            self.remember()
            return x * np.nan

    for model, callbacks in ((network(), [Stop()]), (Sequential(fc=Linear(8, 3, rng=0), b=Breaks()), [])):
        before = [set(vars(layer)) for _, layer in model.walk()]
        x = X if isinstance(model.layers.get("conv"), Conv2d) else X[:, 0, 0]
        with pytest.raises((KeyError, RuntimeError)):
            fit(model, LayerMonitor(1), *callbacks, x=x)
        assert [set(vars(layer)) for _, layer in model.walk()] == before


def test_a_resumed_run_goes_on_with_the_same_record(tmp_path):
    class Killed(Callback):
        def on_step_end(self, run):
            if run.steps_done == 4:
                raise KeyError("killed")

    unbroken, resumed = LayerMonitor(every=2), LayerMonitor(every=2)
    fit(network(), unbroken)
    with pytest.raises(KeyError):
        fit(network(), LayerMonitor(every=2), Killed(), checkpoint=Checkpoints(tmp_path, seconds=0))
    fit(network(), resumed, checkpoint=Checkpoints(tmp_path, seconds=0), resume=True)
    assert resumed.records == unbroken.records and len(resumed.records) == 3
    assert json.loads(json.dumps(resumed.state())) == resumed.state()


def test_a_run_that_ended_in_the_middle_of_a_step_leaves_nothing_to_the_next():
    class Stop(Callback):
        def on_gradients(self, run):
            raise KeyError("in the middle of a step")

    used, new = LayerMonitor(), LayerMonitor()
    with pytest.raises(KeyError):
        fit(network(), used, Stop(), x=9 * X)
    for monitor in (used, new):
        fit(network(), monitor)
    assert used.records == new.records


def test_a_new_run_begins_a_new_record():
    monitor = LayerMonitor(every=2)
    for _ in range(2):
        fit(network(), monitor)
    assert [record["step"] for record in monitor.records] == [1, 3, 5]


# ---- in words


def test_a_healthy_run_is_called_usual_and_the_table_has_a_row_for_each_layer():
    monitor = LayerMonitor()
    assert monitor.text() == "nothing has been measured yet" and monitor.findings() == []
    fit(network(), monitor, learning_rate=0.01)
    lines = monitor.text().splitlines()
    assert lines[0].startswith("step 1, loss ") and lines[1].split() == [
        "layer",
        "mean",
        "std",
        "dead",
        "gradient_norm",
        "update_ratio",
    ]
    assert [line.split()[0] for line in lines[2:-1]] == list(monitor.records[0]["layers"])
    assert lines[-1] == "nothing unusual"


@pytest.mark.parametrize(
    ("rate", "words"), [(5.0, "The rate is too high"), (1e-6, "The rate is too low"), (0.0, "do not change")]
)
def test_steps_of_an_unusual_length_are_named(rate, words):
    monitor = LayerMonitor(every=1)
    fit(network(), monitor, learning_rate=rate, epochs=1)
    assert any(finding.startswith("conv: ") and words in finding for finding in monitor.findings())


def test_dead_units_are_named():
    model, monitor = network(), LayerMonitor()
    model.layers["norm"].beta.value[:5] = -100
    fit(model, monitor, learning_rate=0.001)
    assert [finding for finding in monitor.findings() if finding.startswith("relu: 62% of its units are dead")]
    assert not [finding for finding in monitor.findings() if finding.startswith("relu6")]


def test_a_layer_with_numbers_that_are_not_finite_is_named():
    monitor = LayerMonitor()
    fit(network(), monitor)
    monitor.records[-1]["layers"]["fc"]["std"] = float("inf")
    assert any(finding.startswith("fc: not all of its numbers are finite") for finding in monitor.findings())


def test_a_network_of_a_single_layer_has_a_name_in_the_table():
    monitor = LayerMonitor()
    fit(Linear(8, 3, rng=0), monitor, x=X[:, 0, 0], learning_rate=0.0)
    assert monitor.text().splitlines()[2].split()[0] == "network"
    assert monitor.findings()[0].startswith("network: its weights do not change")


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="every is a number of steps, at least 1, got 0"):
        LayerMonitor(0)
    with pytest.raises(ValueError, match="measures mean, std, dead, gradient_norm, update_ratio, and no 'median'"):
        LayerMonitor().series("median")


# ---- watching


def test_watched_layers_tell_both_passes_and_only_in_the_block():
    model, seen = Sequential(a=Linear(2, 3, rng=0), b=Sequential(c=Tanh(), d=Linear(3, 1, rng=1))).train(), []

    def both():
        model.backward(np.ones_like(model.forward(np.ones((4, 2), np.float32))))

    with watched(
        model,
        forward=lambda path, layer, y: seen.append((path, y.shape)),
        backward=lambda path, layer, dy, dx: seen.append((path, dy.shape, dx.shape)),
    ):
        both()
    both()
    forward = [("a", (4, 3)), ("b.c", (4, 3)), ("b.d", (4, 1))]
    assert seen == [*forward, ("b.d", (4, 1), (4, 3)), ("b.c", (4, 3), (4, 3)), ("a", (4, 3), (4, 2))]


# ---- the figure


def test_the_figure_has_a_line_for_each_layer_in_the_panels_where_it_has_numbers():
    monitor = LayerMonitor(every=1)
    fit(network(), monitor)
    figure = monitoring_figure(monitor)
    drawn = [axes.get_lines() for axes in figure.axes]
    assert [len(lines) for lines in drawn] == [4 + 1, 4, 7, 3]  # the fifth: the usual ratio
    steps, ratios = drawn[0][0].get_data()
    assert list(steps) == [1, 2, 3, 4, 5, 6] and list(ratios) == monitor.series("update_ratio")["conv"][1]
    assert [text.get_text() for text in figure.legends[0].texts] == list(monitor.records[0]["layers"])
    assert frame_is_white(png_of(figure))
    some = monitoring_figure(monitor, layers=["relu6", "fc"])
    assert [len(axes.get_lines()) for axes in some.axes] == [1 + 1, 1, 2, 1]


def test_a_single_record_and_many_layers_can_be_drawn():
    layers = {f"{kind}{i}": make() for i in range(16) for kind, make in (("fc", lambda: Linear(4, 4, rng=0)), ("relu", ReLU))}
    monitor = LayerMonitor()
    fit(Sequential(**layers), monitor, x=X[:, 0, 0, :4], y=Y, epochs=1)
    figure = monitoring_figure(monitor)
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[2].get_lines()}
    assert len(looks) == 32
    assert frame_is_white(png_of(figure))


def test_figures_of_nothing_of_too_much_and_of_unknown_layers_are_refused():
    with pytest.raises(ValueError, match="1 to 32 layers, got 0"):
        monitoring_figure(LayerMonitor())
    monitor = LayerMonitor()
    fit(Sequential(**{f"fc{i}": Linear(4, 4, rng=0) for i in range(33)}), monitor, x=X[:, 0, 0, :4], y=Y, epochs=1)
    with pytest.raises(ValueError, match=r"1 to 32 layers, got 33; name some with layers=\[...\]"):
        monitoring_figure(monitor)
    with pytest.raises(ValueError, match="nothing was measured of pool; there are fc0, fc1"):
        monitoring_figure(monitor, ["pool"])
