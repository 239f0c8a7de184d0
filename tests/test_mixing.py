"""Mixup: samples between samples, targets between targets, by the same amounts."""

import numpy as np
import pytest
from scipy import stats

from minicnn.data.mixing import Mixup
from minicnn.data.per_sample import PerSampleGenerator
from minicnn.losses import SoftmaxCrossEntropy

X, LABELS = np.eye(6), np.arange(6) % 3


def drawn(indices, epoch=1):
    return PerSampleGenerator(0, epoch, np.asarray(indices))


def shares(alpha, n, rng):
    """How much of each sample is left in its mixture: row i of the unit matrix is sample i."""
    mixed, _ = Mixup(alpha, classes=n)(np.eye(n), np.arange(n), rng)
    return mixed


def test_a_mixture_is_of_two_samples_and_its_target_of_theirs_by_the_same_shares():
    mixed, q = Mixup(1.0, classes=3)(X, LABELS, drawn(range(6)))
    assert ((mixed > 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(mixed.sum(axis=1), 1)
    np.testing.assert_allclose(q, mixed @ np.eye(3)[LABELS])


def test_mixtures_by_hand():
    """With a share m of its own, sample i with its partner j."""
    rng = drawn([0, 1])
    mixed, q = Mixup(1.0, classes=2)(np.array([[10.0], [20.0]]), np.array([0, 1]), drawn([0, 1]))
    m = rng.random(2)  # alpha = 1: uniform
    np.testing.assert_allclose(mixed[:, 0], [10 * m[0] + 20 * (1 - m[0]), 20 * m[1] + 10 * (1 - m[1])])
    np.testing.assert_allclose(q, [[m[0], 1 - m[0]], [1 - m[1], m[1]]])


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_every_sample_is_used_twice_and_never_with_itself(n):
    mixed = shares(1.0, n, drawn(range(n)))
    assert ((mixed > 0).sum(axis=0) == min(n, 2)).all() and ((mixed > 0).sum(axis=1) == min(n, 2)).all()
    assert (np.diag(mixed) > 0).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(alpha):
    mixed = shares(alpha, 2000, drawn(range(2000)))
    assert stats.kstest(np.diag(mixed), "beta", (alpha, alpha)).pvalue > 1e-3


def test_shares_depend_on_the_sample_and_the_epoch_and_not_on_the_batch():
    whole = np.diag(shares(1.0, 20, drawn(range(20))))
    np.testing.assert_array_equal(np.diag(shares(1.0, 5, drawn(range(10, 15)))), whole[10:15])
    assert not np.array_equal(np.diag(shares(1.0, 20, drawn(range(20), epoch=2))), whole)


def test_probabilities_are_mixed_as_class_numbers_are_and_a_loss_takes_them():
    x = np.random.default_rng(0).normal(size=(6, 3, 4, 4)).astype(np.float32)
    from_labels = Mixup(0.5, classes=3)(x, LABELS, drawn(range(6)))
    from_rows = Mixup(0.5)(x, np.eye(3, dtype=np.float32)[LABELS], drawn(range(6)))
    for one, other in zip(from_labels, from_rows, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32
    assert SoftmaxCrossEntropy().forward(np.zeros((6, 3), np.float32), from_labels[1]) == pytest.approx(np.log(3))


def test_arguments_are_not_touched_and_numpys_generator_will_do():
    x, labels = X.copy(), LABELS.copy()
    Mixup(1.0, classes=3)(x, labels, np.random.default_rng(0))
    assert np.array_equal(x, X) and np.array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("arguments", "x", "targets", "said"),
    [
        ({"alpha": 0}, X, LABELS, "alpha is more than 0"),
        ({"alpha": 1, "classes": 0}, X, LABELS, "at least 1"),
        ({"alpha": 1}, X, LABELS, "classes=K"),
        ({"alpha": 1, "classes": 2}, X, LABELS, "from 0 to 1, got 0 to 2"),
        ({"alpha": 1, "classes": 3}, X, LABELS[:4], "each sample needs one target"),
        ({"alpha": 1, "classes": 3}, X, LABELS * 0.5, "class numbers"),
        ({"alpha": 1, "classes": 3}, X.astype(np.uint8), LABELS, "floating-point"),
    ],
)
def test_what_cannot_be_mixed_is_refused(arguments, x, targets, said):
    with pytest.raises(ValueError, match=said):
        Mixup(**arguments)(x, targets, drawn(range(6)))
