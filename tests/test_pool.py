"""Pooling: where windows lie, who wins, what counts, and the fast kernels against the reference loops."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minicnn.gradcheck import check_layer
from minicnn.kernels import pool, reference
from minicnn.kernels.layout import channels_last
from minicnn.layers import AdaptiveAvgPool2d, AvgPool2d, FractionalMaxPool2d, GlobalAvgPool2d, MaxPool2d
from minicnn.runtime import get_threads, set_threads


def picture(*rows):
    return np.array(rows, np.float64)[None, None]


def distinct(shape, seed=0):
    """Values that are all different, at least 0.01 apart, in random order."""
    return 0.01 * np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(np.float64) - 1


def geometries():
    """Many sizes of pictures, windows, strides and padding, even and uneven."""
    rng = np.random.default_rng(12)
    for _ in range(40):
        kernel = tuple(int(k) for k in rng.integers(1, 5, 2))
        stride = tuple(int(s) for s in rng.integers(1, 5, 2))
        pad = "same" if rng.random() < 0.3 else tuple(int(rng.integers(0, k)) for k in kernel)
        H, W = (int(size) for size in rng.integers(4, 10, 2))
        yield kernel, stride, pad, bool(rng.integers(2)), (2, 3, H, W)


# ---- the size of the output


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "floor", "ceil"),
    [
        (7, 2, 2, 0, 3, 4),  # the last row alone under half a window
        (6, 3, 2, 0, 2, 3),
        (224, 3, 2, 1, 112, 113),
        (112, 3, 2, 0, 55, 56),  # GoogLeNet's pools round up
        (5, 3, 2, 1, 3, 3),  # divides without rest: nothing to round
        (5, 1, 3, 0, 2, 2),  # a third window would start at 6, beyond the picture
        (4, 2, 3, 1, 2, 2),  # a third would start at 6 >= 4 + 1, in the bottom padding
    ],
)
def test_output_size_rounds_down_or_up_but_no_window_starts_beyond_the_picture(size, kernel, stride, pad, floor, ceil):
    for ceil_mode, expected in ((False, floor), (True, ceil)):
        for pool_type in (MaxPool2d, AvgPool2d):
            layer = pool_type(kernel, stride, pad, ceil_mode)
            assert layer.output_shape((2, 3, size, size)) == (2, 3, expected, expected)


def test_same_padding_keeps_the_ceiling_of_size_over_stride_and_pads_uneven_at_the_end():
    layer = MaxPool2d(3, stride=2, pad="same")
    for size in (1, 2, 7, 8, 224):
        assert layer.output_shape((1, 1, size, size))[2:] == (-(-size // 2),) * 2
    assert layer.geometry((1, 1, 8, 7)).pads == (0, 1, 1, 1)


def test_stride_is_the_kernel_size_unless_given():
    assert MaxPool2d((2, 3)).stride == (2, 3)
    assert MaxPool2d((2, 3)).output_shape((1, 1, 8, 9)) == (1, 1, 4, 3)


@pytest.mark.parametrize("pool_type", [MaxPool2d, AvgPool2d])
def test_unless_told_nothing_is_padded_and_sizes_are_rounded_down(pool_type):
    assert pool_type(2).output_shape((1, 1, 7, 9)) == (1, 1, 3, 4)
    assert pool_type(2).geometry((1, 1, 7, 9)).pads == (0, 0, 0, 0)


def test_config_rebuilds_the_layer():
    for layer in (MaxPool2d(3, 2, "same", True), AvgPool2d((3, 2), (1, 2), (1, 0), count_include_pad=True)):
        assert type(layer)(**layer.config()).config() == layer.config()


@pytest.mark.parametrize("layer", [MaxPool2d(2), AvgPool2d(2), GlobalAvgPool2d()], ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("channels", [3, 20])
def test_of_no_pictures_there_are_no_averages_and_no_gradients(layer, channels):
    x = np.zeros((0, channels, 4, 4), np.float32)
    y = layer.train().forward(x)
    assert y.shape == layer.output_shape(x.shape)
    assert layer.backward(y).shape == x.shape


# ---- max pooling


def test_max_pooling_by_hand():
    x = picture([1, 5, 2, 0], [3, 4, 8, 6], [-1, -7, -3, -9], [-2, -8, -5, -4])
    layer = MaxPool2d(2).train()
    assert np.array_equal(layer.forward(x), picture([5, 8], [-1, -3]))
    dx = layer.backward(picture([10, 20], [30, 40]))
    assert np.array_equal(dx, picture([0, 10, 0, 0], [0, 0, 20, 0], [30, 0, 40, 0], [0, 0, 0, 0]))


def test_the_gradient_adds_up_where_one_pixel_wins_several_windows():
    x = picture([0, 1, 2], [3, 9, 4], [5, 6, 7])
    layer = MaxPool2d(2, stride=1).train()
    assert np.array_equal(layer.forward(x), np.full((1, 1, 2, 2), 9.0))
    assert np.array_equal(layer.backward(picture([1, 10], [100, 1000])), picture([0, 0, 0], [0, 1111, 0], [0, 0, 0]))


def test_of_equal_values_the_first_in_reading_order_gets_all_of_the_gradient():
    layer = MaxPool2d(2).train()
    layer.forward(picture([1, 3], [3, 3]))
    assert np.array_equal(layer.backward(picture([7])), picture([0, 7], [0, 0]))
    layer.forward(np.zeros((1, 1, 2, 2)))
    assert np.array_equal(layer.backward(picture([7])), picture([7, 0], [0, 0]))


def test_padding_never_wins_over_negative_values():
    x = picture([-5, -6], [-7, -8])
    layer = MaxPool2d(2, stride=1, pad=1).train()
    assert np.array_equal(layer.forward(x), picture([-5, -5, -6], [-5, -5, -6], [-7, -7, -8]))
    assert np.array_equal(layer.backward(np.ones((1, 1, 3, 3))), picture([4, 2], [2, 1]))


@pytest.mark.parametrize("training", [True, False])
def test_nan_and_infinities_survive_max_pooling(training):
    x = picture([1, np.nan, 3, 4], [5, 6, 7, np.inf], [-np.inf, -np.inf, 0, 1], [-np.inf, -np.inf, 2, 3])
    layer = MaxPool2d(2)
    y = (layer.train() if training else layer.eval()).forward(x)
    assert np.array_equal(y, picture([np.nan, np.inf], [-np.inf, 3]), equal_nan=True)
    if training:  # also where a window holds nothing but -inf, dy must land inside it
        assert np.array_equal(
            layer.backward(picture([1, 2], [3, 4])), picture([0, 1, 0, 0], [0, 0, 0, 2], [3, 0, 0, 0], [0, 0, 0, 4])
        )


def test_inference_and_training_give_the_same_maxima():
    x = np.random.default_rng(0).standard_normal((2, 3, 11, 13)).astype(np.float32)
    layer = MaxPool2d(3, 2, 1, ceil_mode=True)
    assert np.array_equal(layer.train().forward(x), layer.eval().forward(x))


# ---- average pooling


def test_average_pooling_by_hand():
    x = picture([1, 3, 0], [5, 7, 2], [4, 4, 4])
    layer = AvgPool2d(2, stride=1).train()
    assert np.array_equal(layer.forward(x), picture([4, 3], [5, 4.25]))
    assert np.array_equal(layer.backward(picture([4, 8], [12, 16])), picture([1, 3, 2], [4, 10, 6], [3, 7, 4]))


def test_padding_counts_only_if_asked_to():
    x = picture([8, 4], [2, 6])
    assert np.array_equal(AvgPool2d(2, 2, pad=1).forward(x), picture([8, 4], [2, 6]))
    assert np.array_equal(AvgPool2d(2, 2, pad=1, count_include_pad=True).forward(x), picture([2, 1], [0.5, 1.5]))


def test_what_hangs_over_the_padding_never_counts():
    # ceil mode: the last window starts at column 2 of 3 and hangs over the edge by one
    x = picture([1, 2, 6])
    for count_include_pad in (False, True):
        layer = AvgPool2d((1, 2), 2, ceil_mode=True, count_include_pad=count_include_pad)
        assert np.array_equal(layer.forward(x), picture([1.5, 6]))


def test_global_average_by_hand():
    x = np.stack([np.arange(6.0).reshape(2, 3), np.full((2, 3), 7.0)])[None]
    layer = GlobalAvgPool2d().train()
    assert np.array_equal(layer.forward(x), [[2.5, 7]])
    assert np.array_equal(layer.backward(np.array([[6.0, 12.0]])), np.stack([np.full((2, 3), 1.0), np.full((2, 3), 2.0)])[None])


def test_global_average_of_a_large_float32_picture_is_exact():
    x = np.full((1, 1, 1500, 1500), 0.1, np.float32)
    assert GlobalAvgPool2d().forward(x)[0, 0] == np.float32(0.1)


@pytest.mark.parametrize("layer", [AvgPool2d(2), GlobalAvgPool2d()])
def test_nan_survives_averages(layer):
    x = np.ones((1, 2, 4, 4), np.float32)
    x[0, 1, 0, 0] = np.nan
    y = layer.forward(x)
    assert np.isnan(y[0, 1].flat[0])
    assert np.isfinite(y[0, 0]).all()


# ---- gradients, and the fast kernels against the loops


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [3, 16, 37])
@pytest.mark.parametrize("size", [(2, 2), (6, 8), (7, 8), (9, 35)])
def test_any_number_of_channels_has_the_same_winners(size, channels, dtype):
    """Of equals the first, and a NaN before all others: with channels that fill vectors and with the rest."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (2, channels, *size)).astype(dtype)
    x[0, 1, 1, 0], x[1, 2, 0, 1], x[1, -1, :2, :2] = np.nan, np.nan, np.nan
    where, count = ((2, 2), (2, 2), (0, 0, 0, 0)), (size[0] // 2, size[1] // 2)
    y, winners = pool.max_pool2d_forward(x, *where, count)
    expected, expected_winners = reference.max_pool2d_forward(x, *where, count)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(winners, expected_winners)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = pool.max_pool2d_backward(dy, winners, size, *where)
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(dy, expected_winners, size, *where))


@pytest.mark.parametrize(("kernel", "stride", "pad", "ceil_mode", "shape"), list(geometries())[:10])
def test_gradients_match_numeric_ones(kernel, stride, pad, ceil_mode, shape):
    for layer in (
        MaxPool2d(kernel, stride, pad, ceil_mode),
        AvgPool2d(kernel, stride, pad, ceil_mode),
        AvgPool2d(kernel, stride, pad, ceil_mode, count_include_pad=True),
    ):
        report = check_layer(layer, distinct(shape), elements=60)
        assert report.ok, report
        assert report.kinks == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fast_kernels_agree_with_the_reference_loops(dtype):
    for number, (kernel, stride, pad, ceil_mode, (N, C, H, W)) in enumerate(geometries()):
        shape = (N, C if number % 2 else 16 + C, H, W)
        x = np.random.default_rng(1).integers(-4, 5, shape).astype(dtype)  # many ties
        layer = MaxPool2d(kernel, stride, pad, ceil_mode)
        where, size, picture_size = (kernel, stride, layer.geometry(shape).pads), layer.output_shape(shape)[2:], shape[2:]
        y, winners = pool.max_pool2d_forward(x, *where, size)
        y_loops, winners_loops = reference.max_pool2d_forward(x, *where, size)
        assert np.array_equal(y, y_loops) and np.array_equal(winners, winners_loops)
        assert np.array_equal(y, pool.max_pool2d_forward(x, *where, size, needs_winners=False)[0])
        dy = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
        close = {"rtol": 1e-5 if dtype == np.float32 else 1e-12, "atol": 1e-6 if dtype == np.float32 else 1e-12}
        dx, dx_loops = (module.max_pool2d_backward(dy, winners, picture_size, *where) for module in (pool, reference))
        np.testing.assert_allclose(dx, dx_loops, **close)
        for count in (False, True):
            y, y_loops = (module.avg_pool2d_forward(x, *where, size, count) for module in (pool, reference))
            np.testing.assert_allclose(y, y_loops, **close)
            dx, dx_loops = (module.avg_pool2d_backward(dy, picture_size, *where, count) for module in (pool, reference))
            np.testing.assert_allclose(dx, dx_loops, **close)
            assert y.dtype == dx.dtype == dtype


def test_a_window_of_more_places_than_a_byte_can_count():
    x = distinct((1, 1, 20, 20))
    layer = MaxPool2d(20).train()
    assert layer.forward(x).item() == x.max()
    assert layer.backward(np.ones((1, 1, 1, 1))).argmax() == x.argmax()


def name_of(layer):
    return "-".join(map(str, (type(layer).__name__, *layer.config().values())))


def is_channels_last(x):
    return np.shares_memory(channels_last(x), x)


def every_other(a):
    """The same numbers with gaps between them."""
    return np.repeat(a, 2, axis=-1)[..., ::2]


def some_pools():
    return [MaxPool2d(3, 2, 1), MaxPool2d(1, 2), AvgPool2d(3, 2, 1), AdaptiveAvgPool2d(3), FractionalMaxPool2d(1.5, rng=0)]


@pytest.mark.parametrize("layer", [*some_pools(), GlobalAvgPool2d()], ids=name_of)
def test_arrays_are_read_right_in_any_order_of_memory(layer):
    x, results = distinct((3, 5, 7, 8)), []
    dy = np.random.default_rng(1).standard_normal(layer.output_shape(x.shape))
    for order in (lambda a: a, np.asfortranarray, lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1), every_other):
        layer.rng = np.random.default_rng(0)
        y = layer.train().forward(order(x))
        results.append((y, layer.backward(order(dy)), layer.eval().forward(order(x))))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("layer", some_pools(), ids=name_of)
def test_maps_and_their_gradients_lie_in_memory_with_channels_last(layer):
    x = distinct((2, 5, 7, 8))
    y = layer.train().forward(x)
    assert is_channels_last(y) and is_channels_last(layer.backward(y))
    assert is_channels_last(layer.eval().forward(x))


def test_the_gradient_below_a_global_average_has_channels_last():
    layer = GlobalAvgPool2d().train()
    assert is_channels_last(layer.backward(layer.forward(distinct((2, 5, 7, 8)))))


@pytest.mark.parametrize("layer", [*some_pools(), GlobalAvgPool2d()], ids=name_of)
def test_one_picture_is_shared_among_threads_without_a_difference(layer):
    x, results, before = distinct((1, 5, 7, 8)), [], get_threads()
    try:
        for threads in (1, 3, 7):
            set_threads(threads)
            layer.rng = np.random.default_rng(0)
            y = layer.train().forward(x)
            results.append((y, layer.backward(np.cos(y))))
    finally:
        set_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_nothing_is_remembered_in_inference_and_one_byte_an_output_in_training():
    x = np.zeros((2, 3, 8, 8), np.float32)
    layer = MaxPool2d(2).eval()
    layer.forward(x)
    with pytest.raises(RuntimeError, match=r"backward\(\) needs a forward"):
        layer.backward(np.zeros((2, 3, 4, 4), np.float32))
    layer.train().forward(x)
    assert layer._remembered["winners"].nbytes == 2 * 3 * 4 * 4


def test_loops_give_the_same_without_the_compiler():
    code = (
        "import numpy as np\n"
        "from minicnn.layers import MaxPool2d, AvgPool2d, GlobalAvgPool2d, BatchNorm2d, ReLU6, Sigmoid\n"
        "x = np.random.default_rng(0).standard_normal((2, 3, 5, 6))\n"
        "pools = [MaxPool2d(3, 2, 1, True), AvgPool2d(2, 2, 'same'), GlobalAvgPool2d()]\n"
        "for layer in (*pools, BatchNorm2d(3).astype('f8'), ReLU6(), Sigmoid()):\n"
        "    y = layer.train().forward(x)\n"
        "    dx = layer.backward(np.cos(np.arange(y.size)).reshape(y.shape))\n"
        "    print(repr(float(y.sum())), repr(float((dx * x).sum())))\n"
    )
    outputs = []
    for disabled in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs.append([float(word) for word in done.stdout.split()])
    assert len(outputs[0]) == 12
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-9, atol=1e-12)


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size is a whole number of at least 1"),
        ({"kernel_size": 2.5}, "kernel_size is a whole number"),
        ({"kernel_size": (2, 2, 2)}, r"or a pair \(height, width\)"),
        ({"kernel_size": 2, "stride": 0}, r"stride is a whole number of at least 1, or a pair .*got 0"),
        ({"kernel_size": 2, "pad": 2}, "must be smaller than the kernel"),
        ({"kernel_size": (2, 3), "pad": (2, 0)}, "must be smaller than the kernel"),
        ({"kernel_size": (2, 3), "pad": (0, 3)}, "must be smaller than the kernel"),
        ({"kernel_size": 2, "pad": "valid"}, '"valid" is pad=0'),
    ],
)
def test_geometry_that_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaxPool2d(**arguments)


def test_inputs_that_do_not_fit_are_refused():
    layer = MaxPool2d(3)
    with pytest.raises(ValueError, match=r"the window \(3, 3\) is larger than the padded picture, x \(1, 1, 2, 5\)"):
        layer.forward(np.zeros((1, 1, 2, 5)))
    with pytest.raises(ValueError, match="a picture of 0 x 5 has no pixels"):
        layer.forward(np.zeros((1, 1, 0, 5)))
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), got \(3, 5, 5\)"):
        layer.forward(np.zeros((3, 5, 5)))
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        layer.forward(np.zeros((1, 1, 5, 5), np.int64))
    layer.train().forward(np.zeros((1, 1, 6, 6)))
    with pytest.raises(ValueError, match=r"expects a dy like y, float64 \(1, 1, 2, 2\), got float64 \(1, 1, 3, 3\)"):
        layer.backward(np.zeros((1, 1, 3, 3)))


@pytest.mark.parametrize("shape", [(1, 2, 0, 3), (1, 2, 3, 0), (2, 3, 4)])
def test_there_is_no_global_average_without_pixels(shape):
    with pytest.raises(ValueError, match=r"expects an input of shape \(N, C, H, W\) with H and W at least 1") as error:
        GlobalAvgPool2d().output_shape(shape)
    assert str(shape) in str(error.value)
    assert GlobalAvgPool2d().forward(np.full((1, 1, 1, 1), 7.0)) == 7


# ---- another engine


def test_pytorch_gives_the_same():
    torch = pytest.importorskip("torch")
    for kernel, stride, pad, ceil_mode, shape in geometries():
        if pad == "same" or any(2 * p > k for p, k in zip(pad, kernel, strict=True)):
            continue  # PyTorch has neither
        x = distinct(shape)
        ours = MaxPool2d(kernel, stride, pad, ceil_mode).train()
        theirs = torch.from_numpy(x).requires_grad_()
        y = torch.nn.functional.max_pool2d(theirs, kernel, stride, pad, ceil_mode=ceil_mode)
        np.testing.assert_array_equal(ours.forward(x), y.detach().numpy())
        dy = np.random.default_rng(3).standard_normal(tuple(y.shape))
        y.backward(torch.from_numpy(dy))
        np.testing.assert_allclose(ours.backward(dy), theirs.grad.numpy(), atol=1e-12)
        for count in (False, True):
            ours = AvgPool2d(kernel, stride, pad, ceil_mode, count).train()
            theirs = torch.from_numpy(x).requires_grad_()
            y = torch.nn.functional.avg_pool2d(theirs, kernel, stride, pad, ceil_mode, count)
            np.testing.assert_allclose(ours.forward(x), y.detach().numpy(), atol=1e-12)
            y.backward(torch.from_numpy(dy))
            np.testing.assert_allclose(ours.backward(dy), theirs.grad.numpy(), atol=1e-12)
