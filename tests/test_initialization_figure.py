"""Signals through depth by how the weights start: the numbers that theory gives, and the figure."""

import numpy as np
import pytest
from drawn import frame_is_white, png_of

from minicnn.initializers import msra, normal, xavier
from minicnn.viz import initialization_figure
from minicnn.viz.initialization import STARTS, Start, activations_through_depth

SMALL = {"width": 100, "samples": 200}


def squares(activation, start):
    """The mean square of each layer's outputs."""
    return [float((y**2).mean()) for y in activations_through_depth(activation, start, **SMALL)]


def test_small_weights_let_the_signal_die_out_by_the_factor_that_theory_gives():
    """tanh is linear there, so that each layer multiplies the mean square by width std^2; ReLU by half of that."""
    for activation, factor in (("tanh", 100 * 0.02**2), ("relu", 100 * 0.02**2 / 2)):
        values = squares(activation, Start(normal(0.02)))
        assert len(values) == 10
        assert (values[9] / values[3]) ** (1 / 6) == pytest.approx(factor, rel=0.1)


def test_large_weights_saturate_tanh_and_let_relus_outputs_grow():
    last = activations_through_depth("tanh", Start(normal(1.0)), **SMALL)[-1]
    assert (np.abs(last) > 0.99).mean() > 0.6
    values = squares("relu", Start(normal(1.0)))
    assert (values[9] / values[3]) ** (1 / 6) == pytest.approx(100 / 2, rel=0.2)


def test_msra_keeps_the_mean_square_through_relus_and_xavier_halves_it():
    kept, halved = squares("relu", Start(msra)), squares("relu", Start(xavier))
    assert 0.5 < kept[9] < 2
    assert (halved[9] / halved[0]) ** (1 / 9) == pytest.approx(0.5, rel=0.1)
    assert squares("tanh", Start(xavier))[9] > 100 * squares("tanh", Start(normal(0.02)))[9]


@pytest.mark.parametrize("std", [0.01, 1.0])
def test_behind_a_batch_norm_the_size_of_the_weights_does_not_matter(std):
    values = squares("relu", Start(normal(std), batch_norm=True))
    np.testing.assert_allclose(values, 0.5, rtol=0.05)  # of a standard normal variable the positive half


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_figure_has_a_histogram_for_each_layer_and_says_its_spread(activation):
    figure = initialization_figure(activation, depth=3, **SMALL)
    assert len(figure.axes) == 3 * len(STARTS)
    y = activations_through_depth(activation, STARTS["Xavier"], depth=3, **SMALL)[1]
    axes = figure.axes[3 * list(STARTS).index("Xavier") + 1]
    assert float(axes.get_title()) == pytest.approx(y.std(), rel=0.05)
    assert {"tanh": "Tanh", "relu": "ReLU"}[activation] in figure.get_suptitle()
    heights = axes.patches[0].get_data().values
    assert heights.max() == 1
    counts = np.histogram(y, 31, (-1, 1))[0] if activation == "tanh" else None
    if counts is not None:
        np.testing.assert_allclose(heights, counts / counts.max())
    assert frame_is_white(png_of(figure))


def test_another_activation_is_refused():
    with pytest.raises(ValueError, match="the activation is tanh or relu, got 'gelu'"):
        initialization_figure("gelu")
