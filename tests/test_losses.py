"""Losses: values and gradients by hand, large scores, and targets that cannot be."""

import math

import numpy as np
import pytest

from minicnn.gradcheck import check_loss
from minicnn.losses import (
    BinaryLogistic,
    Loss,
    MeanSquaredError,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SVMHinge,
    log_softmax,
    softmax,
)

SCORES = np.random.default_rng(0).standard_normal((6, 4))
TARGETS = np.array([0, 3, 1, 1, 2, 3])
INF = np.inf


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax(np.log([[1.0, 2, 5]])), [[1 / 8, 2 / 8, 5 / 8]])
    np.testing.assert_allclose(log_softmax(np.log([[1.0, 2, 5]])), np.log([[1 / 8, 2 / 8, 5 / 8]]))
    np.testing.assert_allclose(log_softmax(np.log([1.0, 2, 5])), np.log([1 / 8, 2 / 8, 5 / 8]))


def test_softmax_does_not_depend_on_the_level_of_the_scores_and_does_not_overflow():
    for level in (-1e5, 1e5):
        np.testing.assert_allclose(softmax(SCORES + level), softmax(SCORES), rtol=1e-9)
    np.testing.assert_allclose(log_softmax(np.array([[0.0, 2000]])), [[-2000, 0]])
    assert softmax(SCORES.astype(np.float32)).dtype == np.float32


def test_cross_entropy_by_hand():
    loss = SoftmaxCrossEntropy()
    scores = np.log([[1.0, 2, 5], [4.0, 4, 8]])  # p = 1/8 2/8 5/8; 1/4 1/4 1/2
    assert loss.forward(scores, np.array([1, 2])) == pytest.approx((np.log(4) + np.log(2)) / 2)
    np.testing.assert_allclose(loss.backward(), [[1 / 16, -6 / 16, 5 / 16], [1 / 8, 1 / 8, -1 / 4]])


def test_label_smoothing_by_hand():
    # e = 0.3 over K = 3: targets 0.1, 0.8, 0.1
    loss = SoftmaxCrossEntropy(label_smoothing=0.3)
    p = np.array([1 / 8, 2 / 8, 5 / 8])
    value = loss.forward(np.log(p)[None], np.array([1]))
    assert value == pytest.approx(-(0.1 * np.log(p[0]) + 0.8 * np.log(p[1]) + 0.1 * np.log(p[2])))
    np.testing.assert_allclose(loss.backward(), [p - [0.1, 0.8, 0.1]])


def test_targets_may_be_probabilities():
    # three experts looked at the first sample, and one disagreed
    loss = SoftmaxCrossEntropy()
    scores, p = np.log([[1.0, 3], [2.0, 2]]), np.array([[1 / 4, 3 / 4], [1 / 2, 1 / 2]])
    q = np.array([[1 / 3, 2 / 3], [1, 0]])
    assert loss.forward(scores, q) == pytest.approx(-(q * np.log(p)).sum() / 2)
    np.testing.assert_allclose(loss.backward(), (p - q) / 2)


def test_certain_probabilities_are_class_numbers():
    for smoothing in (0.0, 0.2):
        loss = SoftmaxCrossEntropy(smoothing)
        values = [loss.forward(SCORES, targets) for targets in (TARGETS, np.eye(4)[TARGETS])]
        gradient = loss.backward()
        assert values[0] == pytest.approx(values[1])
        loss.forward(SCORES, TARGETS)
        np.testing.assert_allclose(gradient, loss.backward())


def test_gradient_of_cross_entropy_with_probabilities():
    q = softmax(np.random.default_rng(3).standard_normal(SCORES.shape))
    report = check_loss(SoftmaxCrossEntropy(0.1), SCORES, q)
    assert report.ok, report


def test_the_most_probable_class_counts_as_the_right_one():
    loss = SoftmaxCrossEntropy()
    np.testing.assert_array_equal(loss.labels(np.array([[0.3, 0.7], [1, 0]])), [1, 0])
    np.testing.assert_array_equal(loss.labels(TARGETS), TARGETS)
    assert BinaryLogistic().labels(np.array([0.5, 1.0])) is None


def test_probabilities_that_are_none_are_refused():
    loss = SoftmaxCrossEntropy()
    with pytest.raises(ValueError, match=r"expects a probability for each score, \(6, 4\), got targets \(6, 3\)"):
        loss.forward(SCORES, np.full((6, 3), 1 / 3))
    with pytest.raises(ValueError, match="1 in sum; row 2 of targets"):
        loss.forward(SCORES, np.eye(4)[TARGETS] + 0.5 * (np.arange(6) == 2)[:, None])


def test_an_untrained_network_pays_the_logarithm_of_the_number_of_classes():
    assert SoftmaxCrossEntropy().forward(np.zeros((5, 10), np.float32), np.arange(5)) == pytest.approx(np.log(10))
    assert SVMHinge().forward(np.zeros((5, 10), np.float32), np.arange(5)) == pytest.approx(9)
    assert BinaryLogistic().forward(np.zeros(5, np.float32), np.ones(5, int)) == pytest.approx(np.log(2))


def test_cross_entropy_of_extreme_scores_stays_finite():
    loss = SoftmaxCrossEntropy()
    with np.errstate(all="raise", under="ignore"):
        assert loss.forward(np.array([[1e4, 0.0], [1e4, 0.0]]), np.array([0, 1])) == pytest.approx(5e3)
    np.testing.assert_allclose(loss.backward(), [[0, 0], [0.5, -0.5]])


def test_hinge_by_hand():
    # margins: sample 0: (2 - 1 + 1, 0 - 1 + 1 -> exactly at the kink), sample 1: none violated
    loss = SVMHinge()
    scores = np.array([[2.0, 1, 0], [-1, 0, 3]])
    assert loss.forward(scores, np.array([1, 2])) == pytest.approx(2 / 2)
    np.testing.assert_array_equal(loss.backward(), [[0.5, -0.5, 0], [0, 0, 0]])


def test_hinge_margin_is_an_argument():
    loss = SVMHinge(margin=10)
    assert loss.forward(np.array([[2.0, 1, 0]]), np.array([1])) == pytest.approx(11 + 9)
    np.testing.assert_array_equal(loss.backward(), [[1, -2, 1]])


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_logistic_by_hand(shape):
    loss = BinaryLogistic()
    scores = np.log([3.0, 3, 1, 1 / 3]).reshape(shape)  # p = 3/4, 3/4, 1/2, 1/4
    value = loss.forward(scores, np.array([1, 0, 1, 0]))
    assert value == pytest.approx((np.log(4 / 3) + np.log(4) + np.log(2) + np.log(4 / 3)) / 4)
    np.testing.assert_allclose(loss.backward(), np.array([-1 / 16, 3 / 16, -1 / 8, 1 / 16]).reshape(shape))


def test_logistic_of_extreme_scores_stays_finite():
    loss = BinaryLogistic()
    with np.errstate(all="raise", under="ignore"):
        assert loss.forward(np.array([1e4, -1e4, 1e4]), np.array([1, 0, 0])) == pytest.approx(1e4 / 3)
    np.testing.assert_allclose(loss.backward(), [0, 0, 1 / 3])


def test_logistic_is_the_cross_entropy_of_two_classes():
    two = np.stack([np.zeros(6), SCORES[:, 0]], axis=1)
    targets = TARGETS % 2
    assert BinaryLogistic().forward(SCORES[:, 0], targets) == pytest.approx(SoftmaxCrossEntropy().forward(two, targets))
    assert BinaryLogistic().forward(SCORES[:, 0], targets == 1) == BinaryLogistic().forward(SCORES[:, 0], targets.astype(float))


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SoftmaxCrossEntropy(0.2), SVMHinge(), SVMHinge(0.3)])
def test_gradients_match_numeric_ones(loss):
    report = check_loss(loss, SCORES, TARGETS)
    assert report.ok, report
    assert report.kinks == 0


@pytest.mark.parametrize("shape", [(24,), (24, 1)])
def test_the_logistic_gradient_matches_the_numeric_one(shape):
    report = check_loss(BinaryLogistic(), SCORES.reshape(shape), np.arange(24) % 2)
    assert report.ok, report


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SVMHinge(), BinaryLogistic()])
def test_float32_scores_give_a_float_and_float32_gradients_and_are_not_changed(loss):
    scores = SCORES.astype(np.float32) if not isinstance(loss, BinaryLogistic) else SCORES[:, 0].astype(np.float32)
    targets = TARGETS if not isinstance(loss, BinaryLogistic) else TARGETS % 2
    before = scores.copy()
    assert type(loss.forward(scores, targets)) is float
    assert loss.backward().dtype == np.float32
    assert np.array_equal(scores, before)


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SVMHinge()])
def test_nan_scores_give_a_nan_loss_so_that_training_can_stop(loss):
    scores = SCORES.copy()
    scores[2, 0] = np.nan
    assert np.isnan(loss.forward(scores, TARGETS))
    assert np.isnan(BinaryLogistic().forward(scores[:, 0], TARGETS % 2))


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SVMHinge()])
def test_targets_that_cannot_be_are_refused_with_advice(loss):
    with pytest.raises(ValueError, match="4 scores a sample mean classes 0 to 3, got targets 4, 7"):
        loss.forward(SCORES, np.array([0, 4, 1, 7, 2, 3]))
    with pytest.raises(ValueError, match="got targets -1"):
        loss.forward(SCORES, TARGETS - 1)
    with pytest.raises(TypeError, match=r"got float64 \(6,\); convert with targets.astype"):
        loss.forward(SCORES, TARGETS.astype(float))
    with pytest.raises(TypeError, match=r"one-hot rows with targets.argmax"):
        loss.forward(SCORES, np.eye(4, dtype=bool)[TARGETS])
    with pytest.raises(TypeError, match="class numbers, got list"):
        loss.forward(SCORES, TARGETS.tolist())
    with pytest.raises(ValueError, match=r"one target a sample, \(6,\), got targets \(5,\)"):
        loss.forward(SCORES, TARGETS[:5])


def test_scores_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"shape \(N, K\).* got \(6,\)"):
        SoftmaxCrossEntropy().forward(SCORES[:, 0], TARGETS)
    with pytest.raises(TypeError, match="float32 or float64 array, got int64"):
        SoftmaxCrossEntropy().forward(SCORES.astype(int), TARGETS)
    with pytest.raises(ValueError, match=r"nothing in this one: scores \(0, 4\)"):
        SoftmaxCrossEntropy().forward(SCORES[:0], TARGETS[:0])
    with pytest.raises(ValueError, match=r"one score a sample, .* got scores \(6, 4\)"):
        BinaryLogistic().forward(SCORES, TARGETS % 2)
    with pytest.raises(ValueError, match="targets are 0 or 1, got 0, 1, 2, 3"):
        BinaryLogistic().forward(SCORES[:, 0], TARGETS)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="label_smoothing"):
        SoftmaxCrossEntropy(1.0)
    for margin in (0, np.inf, np.nan):
        with pytest.raises(ValueError, match="margin"):
            SVMHinge(margin)


def test_backward_needs_a_forward_and_comes_once():
    for loss in (BinaryLogistic(), SigmoidCrossEntropy(), MeanSquaredError(), SVMHinge(), SoftmaxCrossEntropy()):
        with pytest.raises(RuntimeError, match="needs a forward"):
            loss.backward()
    loss.forward(SCORES, TARGETS)
    loss.backward()
    with pytest.raises(RuntimeError, match="needs a forward"):
        loss.backward()


def test_pytorch_gives_the_same():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    targets = torch.from_numpy(TARGETS)
    ones = torch.from_numpy((TARGETS % 2).astype(float))
    pairs = [
        (SoftmaxCrossEntropy(), TARGETS, lambda s: functional.cross_entropy(s, targets)),
        (SoftmaxCrossEntropy(0.1), TARGETS, lambda s: functional.cross_entropy(s, targets, label_smoothing=0.1)),
        # PyTorch divides by the number of classes as well
        (SVMHinge(), TARGETS, lambda s: 4 * functional.multi_margin_loss(s, targets)),
        (BinaryLogistic(), TARGETS % 2, lambda s: functional.binary_cross_entropy_with_logits(s[:, 0], ones)),
    ]
    for loss, our_targets, theirs in pairs:
        scores = torch.from_numpy(SCORES).requires_grad_()
        value = theirs(scores)
        value.backward()
        ours = SCORES[:, 0] if isinstance(loss, BinaryLogistic) else SCORES
        gradient = scores.grad[:, 0] if isinstance(loss, BinaryLogistic) else scores.grad
        assert loss.forward(ours, our_targets) == pytest.approx(value.item(), rel=1e-12)
        np.testing.assert_allclose(loss.backward(), gradient.numpy(), atol=1e-14)


# ---- targets of other kinds, and what is said about them


@pytest.mark.parametrize(
    ("targets", "advice"),
    [
        (np.array(["cat", "dog", "cat", "cat", "dog", "cat"]), "np.unique(targets, return_inverse=True)"),
        (np.array(["cat", "dog", None, "cat", "dog", "cat"], object), "np.unique(targets, return_inverse=True)"),
        (np.array([0.0, 1.5, 1, 1, 2, 3]), "not whole numbers"),
        (TARGETS.astype(float), "targets.astype(np.int64)"),
        (TARGETS == 1, "targets.astype(np.int64)"),
        (np.eye(4, dtype=int)[TARGETS], "convert one-hot rows with targets.argmax(axis=1)"),
        (TARGETS[:, None], "targets[:, 0]"),
        (np.tile([1, 1, 0, 0], (6, 1)), "several labels a sample is SigmoidCrossEntropy"),
        (list(TARGETS), "np.asarray(targets)"),
    ],
)
def test_whoever_gives_targets_of_another_form_is_told_how_to_make_them_class_numbers(targets, advice):
    for loss in (SoftmaxCrossEntropy(), SVMHinge()):
        with pytest.raises((TypeError, ValueError)) as error:
            loss.forward(SCORES, targets)
        assert advice in str(error.value)
        if isinstance(targets, np.ndarray) and targets.dtype.kind in "UO":
            assert "astype" not in str(error.value)


def test_the_advice_for_names_of_classes_works():
    names = np.array(["b", "d", "a", "a", "c", "d"])
    _, targets = np.unique(names, return_inverse=True)
    assert SoftmaxCrossEntropy().forward(SCORES, targets) > 0
    assert BinaryLogistic().forward(SCORES[:, 0], (names == "a").astype(np.int64)) > 0


def test_an_svm_does_not_take_probabilities_and_says_how_to_make_classes_of_them():
    with pytest.raises(TypeError, match=r"if the class is where the largest value is, with targets.argmax\(axis=1\)"):
        SVMHinge().forward(SCORES, softmax(SCORES))


def test_probabilities_of_float16_are_as_good_as_their_digits():
    q = softmax(np.random.default_rng(3).standard_normal(SCORES.shape))
    for dtype in (np.float32, np.float64):
        loss = SoftmaxCrossEntropy()
        value = loss.forward(SCORES.astype(dtype), q.astype(np.float16))
        assert value == pytest.approx(loss.forward(SCORES.astype(dtype), q), rel=2e-3)
        assert loss.backward().dtype == dtype
    np.testing.assert_array_equal(SoftmaxCrossEntropy().labels(q.astype(np.float16)), q.argmax(axis=1))
    with pytest.raises(ValueError, match="1 in sum"):
        SoftmaxCrossEntropy().forward(SCORES, (q + 0.01).astype(np.float16))


@pytest.mark.parametrize("targets", [np.zeros(0, int), np.zeros((0, 4)), np.zeros((0, 4), np.float16)])
def test_an_empty_batch_is_refused_whatever_its_targets(targets):
    with pytest.raises(ValueError, match=r"nothing in this one: scores \(0, 4\)"):
        SoftmaxCrossEntropy().forward(SCORES[:0], targets)
    with pytest.raises(ValueError, match=r"nothing in this one: scores \(0,\)"):
        BinaryLogistic().forward(SCORES[:0, 0], targets[:0].reshape(-1))


def test_probabilities_with_nan_are_refused():
    with pytest.raises(ValueError, match="row 0 of targets"):
        SoftmaxCrossEntropy().forward(SCORES, np.full((6, 4), np.nan))


# ---- one score a sample


def test_several_labels_a_sample_are_sent_to_the_loss_for_them_and_the_advice_works():
    several = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]] * 2)
    with pytest.raises(ValueError, match=r"for several labels a sample, .* use SigmoidCrossEntropy"):
        BinaryLogistic().forward(SCORES, several)
    with pytest.raises(ValueError, match="several labels of a sample may be right, use SigmoidCrossEntropy"):
        SoftmaxCrossEntropy().forward(SCORES, several.astype(float))
    assert SigmoidCrossEntropy().forward(SCORES, several) > 0


def test_one_class_of_several_is_sent_to_the_softmax():
    for targets in (TARGETS, np.eye(4)[TARGETS]):
        with pytest.raises(ValueError, match=r"one class a sample, .*use SoftmaxCrossEntropy"):
            BinaryLogistic().forward(SCORES, targets)


@pytest.mark.parametrize("targets", [np.array(["yes", "no"] * 3), np.array([None, 1, 0, 1, 0, 1], object)])
def test_names_of_two_classes_are_refused_with_advice(targets):
    with pytest.raises(TypeError, match=r"0 or 1, got .*\(targets == name\).astype\(np.int64\)"):
        BinaryLogistic().forward(SCORES[:, 0], targets)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_infinite_score_costs_nothing_on_the_right_side_and_infinitely_much_on_the_wrong_one(shape, dtype):
    scores, right = np.array([np.inf, -np.inf, np.inf, -np.inf], dtype).reshape(shape), np.array([1, 0, 1, 0])
    loss = BinaryLogistic()
    assert loss.forward(scores, right) == 0
    np.testing.assert_array_equal(loss.backward(), 0)
    assert loss.forward(scores, 1 - right) == np.inf
    np.testing.assert_array_equal(loss.backward().ravel(), np.array([1, -1, 1, -1]) / 4)


# ---- infinite scores: the limit, where there is one


def reference_cross_entropy(scores, q):
    """Softmax cross-entropy by its definition, score by score, for q that are 1 in sum; p of infinite scores is the limit."""
    losses, gradient, N = [], np.empty(scores.shape), len(scores)
    for n, s in enumerate(scores):
        if np.isnan(s).any() or np.isposinf(s).sum() > 1 or np.isneginf(s).all():
            p = np.full(len(s), np.nan)
        elif np.isposinf(s).any():
            p = np.isposinf(s).astype(float)
        else:
            p = np.array([math.exp(score - max(s)) for score in s])
            p /= p.sum()
        gradient[n] = (p - q[n]) / N
        costs = [math.inf if p_k == 0 else -math.log(p_k) for p_k in p]
        losses.append(sum(0 if q_k == 0 and cost == math.inf else q_k * cost for q_k, cost in zip(q[n], costs, strict=True)))
    return sum(losses) / N, gradient


INFINITE = [
    [[-INF, 0, 1], [0, 1, 2]],
    [[0, -INF, -INF], [0, 1, 2]],
    [[INF, 0, 1], [0, 1, 2]],
    [[0, INF, 1], [0, 1, 2]],
    [[INF, -INF, 1], [-INF, -INF, 5]],
    [[INF, INF, 1], [0, 1, 2]],
    [[0, 1, 2], [-INF, -INF, -INF]],
    [[INF, np.nan, 1], [0, 1, 2]],
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scores", INFINITE)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_infinite_scores_is_the_limit(scores, smoothing, dtype):
    scores, loss = np.array(scores, dtype), SoftmaxCrossEntropy(smoothing)
    for targets, q in (
        (np.array([0, 2]), np.array([[1.0, 0, 0], [0, 0, 1]])),
        (np.array([1, 2]), np.array([[0.0, 1, 0], [0, 0, 1]])),
        (None, np.array([[0.0, 0.25, 0.75], [0, 0, 1]])),
        (None, np.array([[0.5, 0.5, 0], [0, 0, 1]])),
    ):
        value, gradient = reference_cross_entropy(scores, (1 - smoothing) * q + smoothing / 3)
        for given in [q] if targets is None else [q, targets]:
            assert loss.forward(scores, given) == pytest.approx(value, rel=1e-6, nan_ok=True)
            np.testing.assert_allclose(loss.backward(), gradient, atol=1e-7)


@pytest.mark.filterwarnings("error")
def test_probabilities_of_infinite_scores_are_the_limit_or_nan():
    scores = np.array([[-INF, 0, 0], [INF, 0, -INF], [INF, INF, 0], [-INF, -INF, -INF]])
    p = [[0, 0.5, 0.5], [1, 0, 0], [np.nan] * 3, [np.nan] * 3]
    np.testing.assert_array_equal(softmax(scores), p)
    np.testing.assert_array_equal(softmax(scores[1]), p[1])
    np.testing.assert_allclose(log_softmax(scores[:2]), [[-INF, np.log(0.5), np.log(0.5)], [0, -INF, -INF]])
    assert np.isnan(log_softmax(scores[2:])).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("scores", "target", "value", "gradient"),
    [
        ([1, -INF, 0.5], 0, 0.5, [-1, 0, 1]),  # nothing to fear from -inf
        ([INF, 2, 5], 0, 0, [0, 0, 0]),
        ([INF, 2, 5], 1, INF, [1, -2, 1]),
        ([-INF, 2, 5], 0, INF, [-2, 1, 1]),
        ([INF, INF, 5], 0, np.nan, [np.nan, np.nan, 0]),
        ([-INF, -INF, 5], 0, np.nan, [np.nan, np.nan, 1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hinge_of_infinite_scores_follows_the_differences(scores, target, value, gradient, dtype):
    loss = SVMHinge()
    assert loss.forward(np.array([scores], dtype), np.array([target])) == pytest.approx(value, nan_ok=True)
    np.testing.assert_array_equal(loss.backward(), [gradient])


@pytest.mark.filterwarnings("error")
def test_infinite_scores_of_several_labels_cost_nothing_on_the_right_side():
    loss, scores = SigmoidCrossEntropy(), np.array([[INF, -INF, 0.0]])
    assert loss.forward(scores, np.array([[1, 0, 1]])) == pytest.approx(np.log(2))
    np.testing.assert_array_equal(loss.backward(), [[0, 0, -0.5]])
    assert loss.forward(scores, np.array([[0, 0, 1]])) == INF
    np.testing.assert_array_equal(loss.backward(), [[1, 0, -0.5]])
    assert loss.forward(scores, np.array([[1, 0.25, 1]])) == INF
    np.testing.assert_array_equal(loss.backward(), [[0, -0.25, -0.5]])


# ---- soft targets


def test_soft_targets_of_float16_lose_no_more_than_their_own_rounding():
    """A gradient of q / N that were computed in float16 would have one digit here."""
    q = np.full((64, 1024), 2.0**-10 * 0.75, np.float16)
    q[:, 0] = 1 - 1023 * 0.75 / 1024
    scores = np.zeros(q.shape, np.float32)
    loss = SoftmaxCrossEntropy()
    loss.forward(scores, q)
    np.testing.assert_allclose(loss.backward()[:, 1:], (1 / 1024 - 0.75 / 1024) / 64, rtol=1e-4)


def test_mixed_pictures_have_mixed_losses():
    """mixup (Zhang et al. 2018): the loss of mixed targets is the mixture of the losses."""
    scores, mixed = SCORES.astype(np.float32), 0.3
    q = (mixed * np.eye(4)[TARGETS] + (1 - mixed) * np.eye(4)[TARGETS[::-1]]).astype(np.float32)
    loss = SoftmaxCrossEntropy()
    parts = [loss.forward(scores, targets) for targets in (TARGETS, TARGETS[::-1])]
    assert loss.forward(scores, q) == pytest.approx(mixed * parts[0] + (1 - mixed) * parts[1], rel=1e-6)
    assert loss.backward().dtype == np.float32


def test_the_row_of_targets_that_is_named_is_the_one_that_is_wrong():
    q = np.eye(4)[TARGETS]
    q[3] = [1.5, -0.5, 0, 0]  # 1 in sum
    with pytest.raises(ValueError, match=r"row 3 of targets is \[ 1.5 -0.5") as error:
        SoftmaxCrossEntropy().forward(SCORES, q)
    assert "SigmoidCrossEntropy" not in str(error.value)


# ---- weights of classes and labels


def test_class_weights_by_hand():
    scores = np.log([[1.0, 2, 5], [4.0, 4, 8]])  # p = 1/8 2/8 5/8; 1/4 1/4 1/2
    loss = SoftmaxCrossEntropy(class_weights=[1, 2, 6])
    assert loss.forward(scores, np.array([1, 2])) == pytest.approx((2 * np.log(4) + 6 * np.log(2)) / 2)
    np.testing.assert_allclose(loss.backward(), [[2 / 16, -12 / 16, 10 / 16], [6 / 8, 6 / 8, -6 / 4]])
    q = np.array([[0.5, 0.5, 0], [0, 0, 1]])  # c = 1.5, 6
    assert loss.forward(scores, q) == pytest.approx((1.5 * (np.log(8) + np.log(4)) / 2 + 6 * np.log(2)) / 2)
    np.testing.assert_allclose(loss.backward()[0], 0.75 * np.array([1 / 8 - 0.5, 2 / 8 - 0.5, 5 / 8]))

    loss = SVMHinge(class_weights=[1, 3, 5])
    assert loss.forward(np.array([[2.0, 1, 0], [-1, 0, 3]]), np.array([1, 2])) == 3 * 2 / 2
    np.testing.assert_array_equal(loss.backward(), [[1.5, -1.5, 0], [0, 0, 0]])

    loss = BinaryLogistic(class_weights=[5, 2])
    assert loss.forward(np.log([3.0, 3]), np.array([1, 0])) == pytest.approx((2 * np.log(4 / 3) + 5 * np.log(4)) / 2)
    np.testing.assert_allclose(loss.backward(), [-2 / 8, 15 / 8])


def test_a_class_that_counts_three_times_is_one_whose_samples_come_three_times():
    thrice = np.concatenate([np.arange(6), np.repeat(np.flatnonzero(TARGETS == 1), 2)])
    weights = np.where(np.arange(4) == 1, 3, 1)
    for loss, weighted, columns, targets in (
        (SoftmaxCrossEntropy(0.1), SoftmaxCrossEntropy(0.1, weights), slice(None), TARGETS),
        (SVMHinge(0.5), SVMHinge(0.5, weights), slice(None), TARGETS),
        (BinaryLogistic(), BinaryLogistic([1, 3]), 0, TARGETS == 1),
        (SigmoidCrossEntropy(), SigmoidCrossEntropy([3]), slice(1), (TARGETS == 1)[:, None]),
    ):
        scores = SCORES[:, columns]
        assert weighted.forward(scores, targets) * 6 == pytest.approx(
            loss.forward(scores[thrice], targets[thrice]) * len(thrice)
        )
        gradient = loss.backward() * len(thrice)
        expected = np.zeros_like(scores)
        np.add.at(expected, thrice, gradient)
        np.testing.assert_allclose(weighted.backward() * 6, expected, atol=1e-12)


def test_weights_that_cannot_be_are_refused():
    for loss in (SoftmaxCrossEntropy, SVMHinge, BinaryLogistic):
        for wrong in ([1, 0], [1, -1], [1, np.nan], [1, np.inf], [[1, 2]], 2, [], "balanced", {"cat": 2}):
            with pytest.raises(ValueError, match=f"{loss.__name__}: class_weights are positive numbers, one for each class"):
                loss(class_weights=wrong)
    with pytest.raises(ValueError, match=r"SigmoidCrossEntropy: positive_weights are .* one for each label, got 2"):
        SigmoidCrossEntropy(2)
    for loss in (SoftmaxCrossEntropy(class_weights=[1, 2]), SVMHinge(class_weights=[1, 2])):
        with pytest.raises(ValueError, match="has 2 class_weights, and there are 4: give one weight for each"):
            loss.forward(SCORES, TARGETS)
        with pytest.raises(RuntimeError, match="needs a forward"):
            loss.backward()
    with pytest.raises(ValueError, match="has 2 positive_weights, and there are 4"):
        SigmoidCrossEntropy([1, 2]).forward(SCORES, np.zeros((6, 4)))
    with pytest.raises(ValueError, match="has 3 class_weights, and there are 2"):
        BinaryLogistic([1, 2, 3])


# ---- several labels a sample

LABELS = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]] * 2)


def test_sigmoid_cross_entropy_by_hand():
    loss, scores = SigmoidCrossEntropy(), np.log([[3.0, 1, 1 / 3], [1, 3, 3]])  # p = 3/4 1/2 1/4; 1/2 3/4 3/4
    targets = np.array([[1, 0, 1], [0.5, 0, 1]])
    first, second = np.log(4 / 3) + np.log(2) + np.log(4), np.log(2) + np.log(4) + np.log(4 / 3)
    assert loss.forward(scores, targets) == pytest.approx((first + second) / 2)
    np.testing.assert_allclose(loss.backward(), np.array([[-1 / 4, 1 / 2, -3 / 4], [0, 3 / 4, -1 / 4]]) / 2, atol=1e-15)
    loss = SigmoidCrossEntropy(positive_weights=[2, 1, 10])
    first, second = 2 * np.log(4 / 3) + np.log(2) + 10 * np.log(4), 1.5 * np.log(2) + np.log(4) + 10 * np.log(4 / 3)
    assert loss.forward(scores, targets) == pytest.approx((first + second) / 2)
    np.testing.assert_allclose(loss.backward(), np.array([[-1 / 2, 1 / 2, -30 / 4], [-1 / 4, 3 / 4, -10 / 4]]) / 2)


def test_several_labels_are_a_binary_loss_for_each():
    several, value = SigmoidCrossEntropy(), 0.0
    assert several.forward(SCORES, LABELS == 1) == several.forward(SCORES, LABELS.astype(np.float16))
    gradient = several.backward()
    for k in range(4):
        binary = BinaryLogistic()
        value += binary.forward(SCORES[:, k], LABELS[:, k])
        np.testing.assert_array_equal(binary.backward(), gradient[:, k])
    assert several.forward(SCORES, LABELS) == pytest.approx(value)


def test_a_gradient_of_a_certain_score_keeps_its_digits():
    loss = BinaryLogistic()
    loss.forward(np.array([30.0, -30.0], np.float32), np.array([1, 0]))
    np.testing.assert_allclose(loss.backward(), np.array([-1, 1]) * np.exp(-30) / 2, rtol=1e-6)


def test_several_labels_and_values_name_no_class():
    assert SigmoidCrossEntropy().labels(LABELS) is None
    assert SigmoidCrossEntropy().labels(LABELS[:, :1]) is None
    assert MeanSquaredError().labels(TARGETS) is None  # a number of cracks is no class


def test_labels_that_cannot_be_are_refused():
    loss = SigmoidCrossEntropy()
    with pytest.raises(ValueError, match=r"scores \(6, 4\) and targets \(6,\); for one class a sample use SoftmaxCrossEntropy"):
        loss.forward(SCORES, TARGETS)
    with pytest.raises(ValueError, match=r"targets \(6, 3\)$"):
        loss.forward(SCORES, LABELS[:, :3])
    with pytest.raises(ValueError, match=r"expects scores \(N, K\), .* got scores \(6,\)"):
        loss.forward(SCORES[:, 0], LABELS[:, 0])
    for wrong in (-1, 2, 1.01, np.nan):
        with pytest.raises(ValueError, match=f"targets are 0 to 1, got {wrong}$"):
            loss.forward(SCORES, np.where(np.arange(4) == 1, wrong, LABELS))
    with pytest.raises(TypeError, match="numbers from 0 to 1, got <U"):
        loss.forward(SCORES, LABELS.astype(str))
    with pytest.raises(ValueError, match="nothing in this one"):
        loss.forward(SCORES[:0], LABELS[:0])
    with pytest.raises(TypeError, match="float32 or float64 array"):
        loss.forward(LABELS, LABELS)


# ---- regression


def test_squared_error_by_hand():
    loss = MeanSquaredError()
    assert loss.forward(np.array([[1.0, 2], [0, 5]]), np.array([[0, 4], [0, 2]])) == (1 + 4 + 9) / 2
    np.testing.assert_array_equal(loss.backward(), [[1, -2], [0, 3]])
    maps = np.zeros((2, 3, 4, 4), np.float32)
    assert loss.forward(maps, np.ones(maps.shape)) == 48
    assert loss.backward().dtype == np.float32


def test_the_mean_of_float32_errors_is_taken_in_double_precision():
    assert MeanSquaredError().forward(np.full(3, 1e30, np.float32), np.zeros(3)) == pytest.approx(1e60)


def test_values_that_cannot_be_are_refused():
    loss, column = MeanSquaredError(), SCORES[:, :1]
    with pytest.raises(ValueError, match=r"for each score, \(6, 1\), got targets \(6,\); .* targets.reshape\(6, 1\)"):
        loss.forward(column, SCORES[:, 0])  # NumPy would make 36 differences of these
    with pytest.raises(ValueError, match=r"got targets \(6, 4\)$"):
        loss.forward(column, SCORES)
    for missing in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite numbers, got 1 of 6 that are NaN or infinite"):
            loss.forward(column, np.where(np.arange(6) == 2, missing, 0)[:, None])
    with pytest.raises(TypeError, match=r"are numbers, got <U\d+; convert with targets.astype\(float\)"):
        loss.forward(column, column.astype(str))
    with pytest.raises(ValueError, match="nothing in this one"):
        loss.forward(column[:0], column[:0])


# ---- all of them

GRADIENTS = {
    "weighted softmax": (SoftmaxCrossEntropy(0.1, [1, 2, 3, 0.5]), SCORES, TARGETS),
    "weighted softmax of probabilities": (SoftmaxCrossEntropy(0.1, [1, 2, 3, 0.5]), SCORES, softmax(2 * SCORES[::-1])),
    "weighted hinge": (SVMHinge(0.7, [1, 2, 3, 0.5]), SCORES, TARGETS),
    "weighted logistic": (BinaryLogistic([3, 0.5]), SCORES[:, 0], TARGETS % 2),
    "sigmoid": (SigmoidCrossEntropy(), SCORES, LABELS),
    "weighted sigmoid of probabilities": (SigmoidCrossEntropy([1, 2, 3, 0.5]), SCORES, softmax(2 * SCORES[::-1])),
    "squares": (MeanSquaredError(), SCORES, SCORES[::-1].copy()),
    "squares of maps": (MeanSquaredError(), SCORES.reshape(3, 2, 2, 2), SCORES[::-1].reshape(3, 2, 2, 2).copy()),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_with_weights_and_of_other_targets_match_numeric_ones(case):
    report = check_loss(*GRADIENTS[case])
    assert report.ok, report
    assert report.kinks == 0


FAULTS = {
    "not divided by N": lambda scores, dscores: len(scores) * dscores,
    "divided by all scores": lambda scores, dscores: dscores * len(scores) / scores.size / 3,
    "a wrong sign": lambda scores, dscores: -dscores,
    "half of it": lambda scores, dscores: dscores / 2,
    "the weights left out": lambda scores, dscores: np.sign(dscores) / len(scores),
    "rows mixed up": lambda scores, dscores: dscores[::-1],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", GRADIENTS)
def test_a_wrong_gradient_of_any_of_them_would_be_noticed(case, fault):
    class Faulty(Loss):
        def forward(self, scores, targets):
            value = loss.forward(scores, targets)
            self._dscores = FAULTS[fault](scores, loss.backward())
            return value

    loss, scores, targets = GRADIENTS[case]
    assert not check_loss(Faulty(), scores, targets).ok


def test_pytorch_gives_the_same_with_weights_and_for_labels_and_values():
    torch = pytest.importorskip("torch")
    functional, tensor = torch.nn.functional, torch.from_numpy
    binary = functional.binary_cross_entropy_with_logits
    w, targets, labels, values = np.array([1, 2, 3, 0.5]), tensor(TARGETS), tensor(LABELS).double(), SCORES[::-1].copy()
    soft = softmax(values)
    pairs = [
        # a sum over N, for PyTorch's mean divides by the sum of the weights
        (SoftmaxCrossEntropy(0, w), TARGETS, lambda s: functional.cross_entropy(s, targets, tensor(w), reduction="sum") / 6),
        (SoftmaxCrossEntropy(0.2), soft, lambda s: functional.cross_entropy(s, tensor(soft), label_smoothing=0.2)),
        (SVMHinge(1, w), TARGETS, lambda s: 4 * functional.multi_margin_loss(s, targets, weight=tensor(w))),
        (SigmoidCrossEntropy(), LABELS, lambda s: 4 * binary(s, labels)),
        (SigmoidCrossEntropy(w), LABELS, lambda s: 4 * binary(s, labels, pos_weight=tensor(w))),
        (SigmoidCrossEntropy(w), soft, lambda s: 4 * binary(s, tensor(soft), pos_weight=tensor(w))),
        (MeanSquaredError(), values, lambda s: 4 * functional.mse_loss(s, tensor(values))),
    ]  # fmt: skip
    for loss, our_targets, theirs in pairs:
        scores = tensor(SCORES).requires_grad_()
        value = theirs(scores)
        value.backward()
        assert loss.forward(SCORES, our_targets) == pytest.approx(value.item(), rel=1e-12)
        np.testing.assert_allclose(loss.backward(), scores.grad.numpy(), atol=1e-14)


# ---- what the messages rest on


@pytest.mark.parametrize(
    ("dtype", "close", "too_far"), [(np.float64, 9e-5, 1.5e-4), (np.float32, 9e-5, 1.5e-4), (np.float16, 1e-3, 3e-3)]
)
def test_rows_of_probabilities_sum_to_one_up_to_the_digits_of_their_type(dtype, close, too_far):
    q = np.full((6, 4), 0.25)
    q[:, 0] += close
    SoftmaxCrossEntropy().forward(SCORES, q.astype(dtype))
    q[:, 0] += too_far - close
    with pytest.raises(ValueError, match="1 in sum; row 0"):
        SoftmaxCrossEntropy().forward(SCORES, q.astype(dtype))


def test_rows_are_one_hot_only_if_all_of_them_are():
    labels = np.array([[1, 0, 0, 0], [1, 1, 0, 0]] * 3)
    with pytest.raises(ValueError, match="several labels a sample is SigmoidCrossEntropy"):
        SVMHinge().forward(SCORES, labels)
    with pytest.raises(ValueError, match="for several labels a sample"):
        BinaryLogistic().forward(SCORES, labels)
    with pytest.raises(TypeError, match="rows, if the class is where the largest value is"):
        SVMHinge().forward(SCORES, np.tile([0, 0.5, 0.5, 0], (6, 1)))
    with pytest.raises(ValueError, match=r"one target a sample, \(6,\), got targets \(2,\)$"):
        SVMHinge().forward(SCORES, np.array([0, 1]))


def test_scores_in_a_list_and_a_loss_without_forward_are_refused():
    with pytest.raises(TypeError, match="expects scores as a float32 or float64 array, got list"):
        SVMHinge().forward(SCORES.tolist(), TARGETS)
    with pytest.raises(NotImplementedError, match="Loss must write forward"):
        Loss().forward(SCORES, TARGETS)


@pytest.mark.parametrize(
    ("different", "words"), [(5, "4, 5, 6, 7, 8. Count"), (6, "4, 5, 6, 7, 8, .... Count"), (7, "4, 5, 6, 7, 8, .... Count")]
)
def test_at_most_five_impossible_targets_are_listed(different, words):
    with pytest.raises(ValueError) as error:
        SVMHinge().forward(np.zeros((different, 4)), np.arange(4, 4 + different))
    assert words in str(error.value)


def test_numbers_above_one_are_not_taken_for_labels():
    with pytest.raises(ValueError, match="1 in sum; row 0") as error:
        SoftmaxCrossEntropy().forward(SCORES, np.full((6, 4), 1.5))
    assert "SigmoidCrossEntropy" not in str(error.value)


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_where_targets_are_missing_no_other_loss_is_recommended(shape):
    with pytest.raises(ValueError, match=r"and targets \(5,\)$"):
        BinaryLogistic().forward(np.zeros(shape), np.ones(5))
    with pytest.raises(ValueError, match=r"and targets \(6,\)$"):
        BinaryLogistic().forward(np.zeros((6, 2, 2)), np.ones(6))


def test_two_scores_a_sample_are_sent_to_the_softmax():
    with pytest.raises(ValueError, match=r"use SoftmaxCrossEntropy$"):
        BinaryLogistic().forward(SCORES[:, :2], TARGETS % 2)


# ---- what knowing nothing costs, and knowing all there is to know


def test_what_knowing_nothing_costs_is_the_formula_of_each_loss():
    scores, labels = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 4
    several, values = (np.arange(48).reshape(12, 4) % 3 == 0) * 1.0, np.arange(48.0).reshape(12, 4)
    assert SoftmaxCrossEntropy().at_chance(scores, labels) == pytest.approx(math.log(4))
    assert SoftmaxCrossEntropy(label_smoothing=0.3).at_chance(scores, labels) == pytest.approx(math.log(4))
    assert SVMHinge(margin=2).at_chance(scores, labels) == pytest.approx(3 * 2)
    assert BinaryLogistic().at_chance(scores[:, 0], labels % 2) == pytest.approx(math.log(2))
    assert SigmoidCrossEntropy().at_chance(scores, several) == pytest.approx(4 * math.log(2))
    assert MeanSquaredError().at_chance(scores, values) == pytest.approx((values**2).sum(axis=1).mean())


def test_a_loss_asked_what_chance_costs_still_has_its_gradient():
    loss, labels = SoftmaxCrossEntropy(), np.arange(3)
    scores = np.random.default_rng(0).normal(size=(3, 3))
    loss.forward(scores, labels)
    loss.at_chance(scores, labels), loss.at_best(scores, labels)
    gradient = loss.backward()
    loss.forward(scores, labels)
    np.testing.assert_array_equal(gradient, loss.backward())


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (SoftmaxCrossEntropy(), np.array([0, 2, 1])),
        (SoftmaxCrossEntropy(0.2), np.array([0, 2, 1])),
        (SoftmaxCrossEntropy(0.1, class_weights=[1, 2, 3]), np.array([0, 2, 1])),
        (SoftmaxCrossEntropy(), np.array([[0.2, 0.3, 0.5], [1, 0, 0], [0.5, 0.5, 0]])),
        (SVMHinge(), np.array([0, 2, 1])),
        (SigmoidCrossEntropy(), np.array([[0.2, 0.3, 1], [0, 1, 1], [0.5, 0, 0.9]])),
        (SigmoidCrossEntropy([1, 2, 3]), np.array([[0.2, 0.3, 1], [0, 1, 1], [0.5, 0, 0.9]])),
        (MeanSquaredError(), np.array([[1.0, 2, 3], [0, 0, 0], [4, 5, 6]])),
    ],
)
def test_no_scores_cost_less_than_the_best_ones_and_descent_comes_near_them(loss, targets):
    scores = np.zeros((3, 3))
    best = loss.at_best(scores, targets)
    assert best >= 0
    for _ in range(3000):
        assert loss.forward(scores, targets) >= best - 1e-12
        scores -= 0.5 * loss.backward()
    assert loss.forward(scores, targets) == pytest.approx(best, abs=0.01)
