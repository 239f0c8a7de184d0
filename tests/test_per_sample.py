"""A generator for each sample: the same numbers in whatever batch, and random ones."""

import numpy as np
import pytest
from scipy import stats

from minicnn.data.per_sample import PerSampleGenerator

DRAWS = {
    "random": lambda rng, n: rng.random((n, 2)),
    "uniform": lambda rng, n: rng.uniform(-3, 5, n),
    "integers": lambda rng, n: rng.integers(-2, 4, (n, 3)),
    "normal": lambda rng, n: rng.normal(1, 2, (n, 2)),
}


def generator(indices, seed=0, epoch=1):
    return PerSampleGenerator(seed, epoch, np.asarray(indices))


def test_a_stream_is_splitmix64_worked_in_whole_numbers():
    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    golden = 0x9E3779B97F4A7C15
    start = mix((mix((mix(3) + golden * 2) % 2**64) + golden * 41) % 2**64)
    expected = [(mix((start + golden * j) % 2**64) >> 11) / 2**53 for j in (1, 2, 3)]
    rng = generator([7, 41], seed=3, epoch=2)
    assert rng.random((2, 2))[1].tolist() + [rng.random(2)[1]] == expected
    assert mix(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF, "the first number of the published generator from seed 0"


@pytest.mark.parametrize("draw", DRAWS)
def test_a_samples_numbers_do_not_depend_on_the_batch(draw):
    def numbers(indices):
        rng = generator(indices)
        return np.stack([DRAWS[draw](rng, len(indices)).reshape(len(indices), -1) for _ in range(2)], axis=1)

    whole = numbers(range(30))
    for indices in ([4], [29, 3, 17], range(10, 20)):
        np.testing.assert_array_equal(numbers(indices), whole[list(indices)])
    assert len(np.unique(whole)) > 5 and not np.array_equal(whole[:, 0], whole[:, 1]), "each draw gives new ones"


def test_seed_and_epoch_give_other_numbers():
    u = generator(range(100)).random(100)
    for other in (generator(range(100), seed=1), generator(range(100), epoch=2), generator(range(100, 200))):
        assert not np.intersect1d(other.random(100), u).size
    large = generator([2**40], seed=2**64 - 1, epoch=2**40).random(1)
    assert 0 <= large[0] < 1


def test_numbers_are_uniform_and_unrelated_along_samples_epochs_seeds_and_draws():
    samples = generator(range(20_000)).random((20_000, 4))
    epochs = np.stack([generator(range(50), epoch=epoch).random(50) for epoch in range(1, 400)])
    seeds = np.stack([generator(range(50), seed=seed).random(50) for seed in range(400)])
    for table in (samples, epochs, seeds):
        assert stats.kstest(table.ravel(), "uniform").pvalue > 1e-3
        for a, b in [(table[1:], table[:-1]), (table[:, 1:], table[:, :-1]), (table[1:, 1:], table[:-1, :-1])]:
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size)


def test_each_kind_of_number_is_distributed_as_numpys_is():
    n = 20_000
    assert stats.kstest(generator(range(n)).normal(1, 2, n), "norm", (1, 2)).pvalue > 1e-3
    assert stats.kstest(generator(range(n)).uniform(-3, 5, n), "uniform", (-3, 8)).pvalue > 1e-3
    counts = np.bincount(generator(range(n)).integers(-2, 4, n) + 2)
    assert len(counts) == 6 and stats.chisquare(counts).pvalue > 1e-3


def test_arguments_that_are_left_out_are_numpys():
    for draw in (lambda rng: rng.uniform(size=9), lambda rng: rng.random((9,)), lambda rng: rng.uniform(0, 1, 9)):
        np.testing.assert_array_equal(draw(generator(range(9))), generator(range(9)).random(9))
    np.testing.assert_array_equal(generator(range(9)).normal(size=9), generator(range(9)).normal(0, 1, 9))
    np.testing.assert_array_equal(generator(range(9)).integers(4, size=9), generator(range(9)).integers(0, 4, 9))


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 2**64}, {"epoch": 0.5}, {"indices": [-1]}, {"indices": [0.5]}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        generator(**{"indices": [0], **arguments})


@pytest.mark.parametrize("size", [2, (2, 3), (), (4, 3)])
def test_a_size_begins_with_the_number_of_samples(size):
    with pytest.raises(ValueError, match="size must begin with 3"):
        generator([0, 1, 2]).random(size)
    with pytest.raises(ValueError, match="size must begin with 3"):
        generator([0, 1, 2]).normal()
