"""Codes: nearest neighbours, principal components, t-SNE; and the mistakes."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import entr

from minicnn import viz
from minicnn.viz.projection import affinities, kl_and_gradient


def blobs(n=20, groups=3, D=10, seed=0):
    """Groups of codes far from each other, and which group each is of."""
    rng = np.random.default_rng(seed)
    centres = 8 * rng.standard_normal((groups, D))
    labels = np.repeat(np.arange(groups), n)
    return centres[labels] + rng.standard_normal((n * groups, D)), labels


# ---- neighbours


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_those_that_scipy_finds(metric):
    from scipy.spatial.distance import cdist

    codes = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)
    distances = cdist(codes, codes, metric)
    np.fill_diagonal(distances, np.inf)
    found, d = viz.nearest_neighbours(codes, [4, 17], k=7, metric=metric)
    assert np.array_equal(found, np.argsort(distances[[4, 17]], axis=1)[:, :7])
    np.testing.assert_allclose(d, np.sort(distances[[4, 17]], axis=1)[:, :7], rtol=1e-5)


def test_neighbours_come_from_those_that_may_be_found_and_never_are_the_query():
    codes = np.arange(8.0)[:, None]
    assert viz.nearest_neighbours(codes, [3], 2, "euclidean", among=[0, 3, 6, 7])[0].tolist() == [[0, 6]]
    copies = np.ones((4, 2))
    assert viz.nearest_neighbours(copies, [2], 3)[0].tolist() == [[0, 1, 3]]


def test_cosine_does_not_ask_for_the_length_and_euclidean_does():
    codes = np.array([[1.0, 0], [100, 1], [1, 0.5]])
    assert viz.nearest_neighbours(codes, [0], 1)[0].tolist() == [[1]]
    assert viz.nearest_neighbours(codes, [0], 1, "euclidean")[0].tolist() == [[2]]


def test_share_of_the_same_class_counts_all_neighbours():
    labels, neighbours = np.array([0, 0, 1, 1]), np.array([[1, 2], [3, 0]])
    assert viz.share_of_same_class(labels, [0, 2], neighbours) == 0.5


# ---- the plane


def test_principal_components_are_those_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    codes = np.random.default_rng(0).standard_normal((40, 8)) @ np.random.default_rng(1).standard_normal((8, 8))
    points, share = viz.pca(codes, 3)
    theirs = decomposition.PCA(3).fit(codes)
    np.testing.assert_allclose(share, theirs.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(points), np.abs(theirs.transform(codes)), rtol=1e-8, atol=1e-10)
    assert (points.max(axis=0) > -points.min(axis=0)).all()


def test_each_code_has_as_many_neighbours_as_the_perplexity_says():
    x = np.random.default_rng(0).standard_normal((12, 3)) * np.array([1.0, 5, 0.1])
    p = np.zeros((12, 12))
    for i in range(12):
        others = [j for j in range(12) if j != i]
        d = ((x[others] - x[i]) ** 2).sum(axis=1)

        def row(b, d=d):
            w = np.exp(-b * (d - d.min()))
            return w / w.sum()

        def too_many(log_b, row=row):
            w = row(np.exp(log_b))
            return entr(w).sum() - np.log(3.5)

        p[i, others] = row(np.exp(brentq(too_many, -12, 3, xtol=1e-12)))
    np.testing.assert_allclose(affinities(x, 3.5), (p + p.T) / 24, rtol=1e-6, atol=1e-12)


def test_the_gradient_of_t_sne_is_the_numeric_one():
    rng = np.random.default_rng(0)
    p, y = affinities(rng.standard_normal((10, 4)), 3.0), rng.standard_normal((10, 2))
    _, gradient = kl_and_gradient(p, y)
    for index in np.ndindex(y.shape):
        there, back = y.copy(), y.copy()
        there[index] += 1e-5
        back[index] -= 1e-5
        numeric = (kl_and_gradient(p, there)[0] - kl_and_gradient(p, back)[0]) / 2e-5
        assert gradient[index] == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_kl_is_zero_where_both_say_the_same():
    y = np.random.default_rng(0).standard_normal((9, 2))
    t = 1 / (1 + ((y[:, None] - y) ** 2).sum(axis=2))
    np.fill_diagonal(t, 0)
    kl, gradient = kl_and_gradient(t / t.sum(), y)
    assert kl == pytest.approx(0, abs=1e-12) and np.abs(gradient).max() < 1e-12


def test_t_sne_is_as_true_to_the_codes_as_scikit_learns():
    manifold, datasets = pytest.importorskip("sklearn.manifold"), pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits().data[:100]
    theirs = manifold.TSNE(perplexity=10, method="exact", init="pca", random_state=0).fit(digits)
    points, kl = viz.tsne(digits, perplexity=10, progress=False)
    p = affinities(digits, 10)
    assert kl == pytest.approx(kl_and_gradient(p, points)[0])
    assert theirs.kl_divergence_ == pytest.approx(kl_and_gradient(p, theirs.embedding_.astype(float))[0], rel=1e-3)
    assert kl < 1.05 * theirs.kl_divergence_  # both end in some minimum near the best


def test_t_sne_keeps_groups_together_and_gives_the_same_map_again():
    codes, labels = blobs()
    points, kl = viz.tsne(codes, steps=400, progress=False)
    neighbours, _ = viz.nearest_neighbours(points, range(60), 5, "euclidean")
    assert viz.share_of_same_class(labels, range(60), neighbours) == 1
    again, _ = viz.tsne(codes, steps=400, progress=False)
    assert np.array_equal(points, again)
    early, _ = viz.tsne(codes, steps=1, progress=False)
    assert kl < kl_and_gradient(affinities(codes, 59 / 3), early)[0] / 4


def test_t_sne_takes_codes_that_occur_twice():
    codes = np.repeat(np.random.default_rng(0).standard_normal((10, 3)), 2, axis=0)
    assert np.isfinite(viz.tsne(codes, perplexity=4, steps=300, progress=False)[0]).all()


# ---- mistakes


def test_mistakes_come_most_confident_first():
    scores = np.array([[4.0, 0, 0], [0, 9, 0], [0, 0, 2], [1, 0, 0]])
    found = viz.confident_mistakes(np.array([1, 1, 0, 2]), scores)
    assert [(m["index"], m["true"], m["predicted"]) for m in found] == [(0, 1, 0), (2, 0, 2), (3, 2, 0)]
    assert found[1]["confidence"] == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    assert len(viz.confident_mistakes(np.array([1, 1, 0, 2]), scores, most=1)) == 1


def test_mistakes_of_a_single_score():
    found = viz.confident_mistakes(np.array([0, 1, 1]), np.array([[2.0], [-3], [1]]))
    assert [(m["index"], m["predicted"]) for m in found] == [(1, 0), (0, 1)]
    assert found[0]["confidence"] == pytest.approx(1 / (1 + np.exp(-3)))


# ---- what cannot be done


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: viz.nearest_neighbours(np.ones((4, 2)), [0], k=4), "1 to 3 here, got 4"),
        (lambda: viz.nearest_neighbours(np.ones((4, 2)), [0], metric="manhattan"), "'cosine', 'euclidean'"),
        (lambda: viz.nearest_neighbours(np.ones(4), [0]), r"expects codes \(N, D\), got \(4,\)"),
        (lambda: viz.pca(np.ones((5, 3)), 4), "1 to 3 components, not 4"),
        (lambda: viz.pca(np.ones((1, 3))), "two pictures or more"),
        (lambda: viz.pca(np.full((4, 3), np.nan)), "NaN"),
        (lambda: viz.tsne(np.ones((5, 3))), "takes 8 to 3000 of them, got 5"),
        (lambda: viz.tsne(np.ones((31, 3)), perplexity=11), "at most 10, got 11"),
    ],
)
def test_what_cannot_be_done_is_said(call, says):
    with pytest.raises(ValueError, match=says):
        call()
