"""Losses: values and gradients by hand, large scores, and targets that cannot be."""

import numpy as np
import pytest

from minicnn.gradcheck import check_loss
from minicnn.losses import BinaryLogistic, SoftmaxCrossEntropy, SVMHinge, log_softmax, softmax

SCORES = np.random.default_rng(0).standard_normal((6, 4))
TARGETS = np.array([0, 3, 1, 1, 2, 3])


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax(np.log([[1.0, 2, 5]])), [[1 / 8, 2 / 8, 5 / 8]])
    np.testing.assert_allclose(log_softmax(np.log([[1.0, 2, 5]])), np.log([[1 / 8, 2 / 8, 5 / 8]]))


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
    with pytest.raises(ValueError, match="margin"):
        SVMHinge(0)


def test_backward_needs_a_forward_and_comes_once():
    loss = SoftmaxCrossEntropy()
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
        (np.tile([1, 1, 0, 0], (6, 1)), "several labels a sample is BinaryLogistic"),
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


def test_several_labels_a_sample_are_questions_of_their_own_and_the_advice_works():
    loss, several = BinaryLogistic(), np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 1]] * 2)
    with pytest.raises(
        ValueError, match=r"several labels a sample, .* scores.reshape\(-1\) and targets.reshape\(-1\)"
    ) as error:
        loss.forward(SCORES, several)
    assert "Not SoftmaxCrossEntropy" in str(error.value)
    value = loss.forward(SCORES.reshape(-1), several.reshape(-1))
    assert value == pytest.approx(np.mean(np.log1p(np.exp(np.where(several == 1, -SCORES, SCORES)))))
    assert loss.backward().reshape(SCORES.shape).shape == SCORES.shape


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
