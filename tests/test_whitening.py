"""Preprocessing that is fitted: standardisation, principal components, whitening."""

import numpy as np
import pytest

from minicnn.data import PCA, ZCA, Standardization

# along (3, 4) / 5 the variance is 2 * 10^2 / 4 = 50, along (4, -3) / 5 it is 2 * 5^2 / 4 = 12.5
CROSS = np.array([[6.0, 8], [-6, -8], [4, -3], [-4, 3]]) + [100, -20]


@pytest.fixture(scope="module")
def data():
    """3,000 samples of shape (2, 3), more than one chunk; their six numbers are correlated."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(3000, 6)) @ rng.normal(size=(6, 6)) + 5).reshape(3000, 2, 3)


def covariance(y):
    return np.cov(y.reshape(len(y), -1).T, bias=True)


# ---- mean and variance


def test_standardised_features_have_mean_0_and_variance_1(data):
    y = Standardization().fit(data)(data)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=0), 1)
    centred = Standardization(unit_variance=False).fit(data)(data)
    np.testing.assert_allclose(centred, data - data.mean(axis=0))


def test_standardised_channels_have_mean_0_and_variance_1_over_all_their_pixels():
    x = np.random.default_rng(0).normal(3, 2, (50, 3, 4, 5)) * [[[1]], [[2]], [[3]]] + np.arange(20).reshape(4, 5)
    standardize = Standardization(per="channel").fit(x)
    assert standardize.mean.shape == standardize.std.shape == (3, 1, 1)
    np.testing.assert_allclose(standardize(x).mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(standardize(x).std(axis=(0, 2, 3)), 1)
    np.testing.assert_array_equal(standardize(x[:, :, :2, 1:]), standardize(x)[:, :, :2, 1:])  # other sizes fit too
    with pytest.raises(ValueError, match=r"it was fitted to \(N, 3, any, any\), got \(50, 2, 4, 5\)"):
        standardize(x[:, :2])


def test_standardisation_by_hand():
    """1 and 5: mean 3, std 2; a number that never varies becomes 0, and is not divided by the rounding of its mean."""
    x = np.array([[1, 0.1], [5, 0.1]] * 1500)
    standardize = Standardization().fit(x)
    np.testing.assert_allclose(standardize(np.array([[9, 0.1]])), [[3, 0]], atol=1e-12)
    np.testing.assert_allclose(standardize.inverse(np.array([[-1.0, 0]])), [[1, 0.1]])


# ---- components


def test_principal_components_by_hand():
    pca = PCA().fit(CROSS)
    np.testing.assert_allclose(pca.mean, [100, -20])
    np.testing.assert_allclose(pca.eigenvalues, [50, 12.5])
    np.testing.assert_allclose(pca.eigenvectors, [[0.6, 0.8], [0.8, -0.6]])
    np.testing.assert_allclose(pca(CROSS), [[10, 0], [-10, 0], [0, 5], [0, -5]], atol=1e-12)
    np.testing.assert_allclose(PCA(whiten=True, eps=14).fit(CROSS)(CROSS[:1]), [[10 / 8, 0]], atol=1e-12)  # sqrt(50 + 14) = 8
    # one component keeps what is along (3, 4)
    np.testing.assert_allclose(PCA(1).fit(CROSS).inverse(np.array([[5.0]])), [[103, -16]])


def test_zca_turns_whitened_data_back_by_hand():
    """(6, 8) is 10 along (3, 4) / 5: 10 / sqrt(50) of it are left, in the same direction."""
    np.testing.assert_allclose(ZCA(eps=0).fit(CROSS)(CROSS[:1]), [[0.6 * 2**0.5, 0.8 * 2**0.5]])


def test_principal_components_are_not_correlated(data):
    pca = PCA().fit(data)
    np.testing.assert_allclose(covariance(pca(data)), np.diag(pca.eigenvalues), atol=1e-11)


@pytest.mark.parametrize("whitening", [PCA(whiten=True, eps=0), PCA(3, whiten=True, eps=0), ZCA(eps=0)])
def test_whitened_data_has_the_unit_matrix_as_its_covariance(data, whitening):
    y = whitening.fit(data)(data)
    np.testing.assert_allclose(covariance(y), np.eye(covariance(y).shape[0]), atol=1e-9)


def test_zca_is_the_whitening_nearest_to_the_data(data):
    x, zca = data - data.mean(axis=0), ZCA(eps=0).fit(data)
    rotated = PCA(whiten=True, eps=0).fit(data)(data).reshape(x.shape)
    assert zca(data).shape == x.shape
    assert np.square(zca(data) - x).sum() < np.square(rotated - x).sum()
    W = zca(np.eye(6).reshape(6, 2, 3) + data.mean(axis=0)).reshape(6, 6)
    np.testing.assert_allclose(W, W.T, atol=1e-10)  # the one symmetric matrix among those that whiten


def test_scikit_learn_finds_the_same_components(data):
    """scikit-learn divides by N - 1 where the covariance of the training data has N."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    N = len(data)
    theirs = decomposition.PCA(4, whiten=True).fit(data.reshape(N, 6))
    ours = PCA(4, whiten=True, eps=0).fit(data)
    np.testing.assert_allclose(ours.eigenvalues, theirs.explained_variance_ * (N - 1) / N)
    signs = np.sign((theirs.components_.T * ours.eigenvectors).sum(axis=0))
    expected = theirs.transform(data.reshape(N, 6)) * signs * (N / (N - 1)) ** 0.5
    np.testing.assert_allclose(ours(data), expected, atol=1e-10)
    back = theirs.inverse_transform(theirs.transform(data.reshape(N, 6)))
    np.testing.assert_allclose(ours.inverse(ours(data)).reshape(N, 6), back, atol=1e-10)


# ---- what all of them promise

ALL = [Standardization, lambda: Standardization("channel"), PCA, lambda: PCA(whiten=True), lambda: PCA(5), ZCA]


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("dtype, kept", [(np.float64, np.float64), (np.float32, np.float32), (np.uint8, np.float32)])
def test_dtypes_are_kept_and_the_inverse_undoes_it(make, dtype, kept):
    x = np.random.default_rng(0).integers(0, 256, (60, 2, 3, 2)).astype(dtype)
    x[:, 1] = x[:, 0]  # six directions are empty
    before = x.copy()
    fitted = make().fit(x)
    y = fitted(x)
    assert y.dtype == fitted.inverse(y).dtype == kept and len(y) == 60
    np.testing.assert_array_equal(x, before)
    error = np.abs(fitted.inverse(y) - x).max()
    assert error > 1 if getattr(fitted, "components", None) else error < (1e-9 if dtype == np.float64 else 1e-2)


@pytest.mark.parametrize("make", ALL)
def test_other_shapes_and_data_that_is_no_data_are_refused(make):
    name = type(make()).__name__
    with pytest.raises(ValueError, match=rf"{name}: call fit\(x\)"):
        make()(np.zeros((2, 2, 2, 2)))
    with pytest.raises(ValueError, match=rf"{name}: call fit\(x\)"):
        make().inverse(np.zeros((2, 2, 2, 2)))
    x = np.random.default_rng(0).normal(size=(9, 2, 2, 2))
    with pytest.raises(ValueError, match=r"it was fitted to \(N, 2, (2, 2|any, any)\), got \(9, 8\)"):
        make().fit(x)(x.reshape(9, 8))
    for bad, words in (
        (x[:0], r"got shape \(0, 2, 2, 2\)"),
        (x[0, 0, 0], r"got shape \(2,\)"),
        (np.where(x > 1, np.nan, x), "not a finite number"),
    ):
        with pytest.raises(ValueError, match=words):
            make().fit(bad)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Standardization("picture"), "per is 'feature' or 'channel', got 'picture'"),
        (lambda: Standardization("channel").fit(CROSS), r"expects pictures \(N, C, H, W\), got \(4, 2\)"),
        (lambda: PCA(0), "components is at least 1, got 0"),
        (lambda: PCA(3).fit(CROSS), "3 components of data that has 2 numbers"),
        (lambda: PCA(whiten=True, eps=-1), "eps is added to variances, a number of at least 0, got -1"),
        (lambda: ZCA(eps=np.nan), "ZCA: eps is added"),
        (lambda: PCA(whiten=True, eps=0).fit(CROSS[:2]), "the data varies in 1 directions only"),
    ],
)
def test_constants_out_of_range_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
