"""The exercises of the lessons: their checkers pass the solutions, fail the stubs, and name the usual mistakes."""

import importlib.util
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lessons"))

import checking

from minicnn.layers import Linear

REPOSITORY = Path(__file__).resolve().parents[1]
LESSONS = sorted(path for path in (REPOSITORY / "lessons").glob("[0-9]*") if path.is_dir())
NAMES = [path.name for path in LESSONS]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_checker(lesson: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(lesson / "check.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.parametrize("answer", ["import sys; sys.exit(0)", "while True: pass"])
def test_an_answer_that_ends_the_program_or_never_comes_is_wrong_and_the_other_tasks_are_checked(
    answer, tmp_path, monkeypatch, capsys
):
    """An exit with status 0 would be a checker that is content; a loop without an end, one that never is."""
    if answer.startswith("while") and not hasattr(signal, "setitimer"):
        pytest.skip("this system has no alarm for a process")
    (tmp_path / "answers.py").write_text(f"def bad():\n    {answer}\n\n\ndef good():\n    return 1\n")
    monkeypatch.setattr(sys, "argv", ["check.py", str(tmp_path / "answers.py")])
    monkeypatch.setattr(checking, "SECONDS", 1)
    tasks = {"bad": lambda student, rng: student.bad(), "good": lambda student, rng: student.good()}
    assert checking.main(tmp_path, "Lesson 0", tasks) == 1
    said = capsys.readouterr().out
    assert "WRONG" in said and "1 of 2 tasks passed" in said
    assert "exit()" in said or "loop that never ends" in said


def verdict_on(lesson: str, check: str, seed: int = 0, **functions) -> str:
    """What a lesson's check says of its solution with some functions replaced by others; '' if it is content."""
    folder = REPOSITORY / "lessons" / lesson
    answers = load(folder / "solution.py")
    for name, function in functions.items():
        assert hasattr(answers, name)
        setattr(answers, name, function)
    try:
        getattr(load(folder / "check.py"), check)(checking.Student(answers), np.random.default_rng(seed))
    except checking.Mistake as mistake:
        return str(mistake)
    return ""


# ---- the form of a lesson


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_a_solution_passes_its_checker(lesson):
    result = run_checker(lesson, lesson / "solution.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WRONG" not in result.stdout and "not done yet" not in result.stdout


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_stubs_fail_their_checker_as_not_done_yet(lesson):
    result = run_checker(lesson)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "passed\n" not in result.stdout and "WRONG" not in result.stdout
    assert result.stdout.count("not done yet") == len(stubs(lesson)[1])
    assert not result.stderr


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_exercise_and_solution_ask_for_the_same_functions(lesson):
    (exercise, _), solution = stubs(lesson), load(lesson / "solution.py")
    for name, function in exercise.items():
        answer = getattr(solution, name)
        assert inspect.signature(answer) == inspect.signature(function)
        assert answer.__doc__ == function.__doc__


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_a_lesson_is_in_percent_cells_and_has_the_files_that_belong_to_it(lesson):
    text = (lesson / "lesson.py").read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # Lesson ")
    assert text.count("\n# %%") > 5
    assert {"lesson.py", "exercise.py", "check.py", "solution.py"} <= {path.name for path in lesson.iterdir()}


def stubs(lesson: Path) -> tuple[dict, set[str]]:
    """The exercise's functions by name, and the titles of its tasks ("Lesson 1, task 2") that their stubs raise."""
    module = load(lesson / "exercise.py")
    functions = {n: f for n, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__}
    tasks = set()
    for function in functions.values():
        with pytest.raises(NotImplementedError, match=r"^Lesson \d+, task \d+: ") as caught:
            function(*[None] * len(inspect.signature(function).parameters))
        tasks.add(str(caught.value).split(":")[0])
    return functions, tasks


# ---- the checkers know the usual mistakes

BACKPROPAGATION = "01_backpropagation"


@pytest.mark.parametrize("seed", range(3))
def test_tasks_of_lesson_1_accept_the_solution_whatever_the_numbers(seed):
    for check in ("linear", "relu", "softmax", "convolution_forward", "convolution_backward", "fault_finding"):
        assert verdict_on(BACKPROPAGATION, check, seed) == ""


@pytest.mark.parametrize(
    ("check", "functions", "words"),
    [
        ("linear", {"linear_forward": lambda x, w, b: x @ w.T}, "bias forgotten"),
        ("linear", {"linear_backward": lambda dy, x, w: (dy @ w, x.T @ dy, dy.sum(0))}, "transposed"),
        ("linear", {"linear_backward": lambda dy, x, w: (dy @ w, dy.T @ x / len(x), dy.sum(0))}, "batch size"),
        ("linear", {"linear_backward": lambda dy, x, w: (dy @ w, dy.T @ x)}, "3 things"),
        ("relu", {"relu_backward": lambda dy, x: (x > 0) * 1.0}, "relu_backward"),
        ("relu", {"relu_backward": lambda dy, x: np.where(x >= 0, dy, 0)}, "at x = 0"),
        ("relu", {"relu_forward": lambda x: np.maximum(x, 0, out=x)}, "changes its argument"),
        ("relu", {"relu_forward": lambda x: None}, "return"),
        ("relu", {"relu_forward": lambda x: x[1000, 1000]}, "IndexError"),
    ],
)
def test_mistakes_in_simple_layers_are_named(check, functions, words):
    assert words in verdict_on(BACKPROPAGATION, check, **functions)


def naive_softmax_loss(scores, y):
    e = np.exp(scores)
    p = e / e.sum(axis=1, keepdims=True)
    dscores = p.copy()
    dscores[np.arange(len(y)), y] -= 1
    return -np.log(p[np.arange(len(y)), y]).mean(), dscores / len(y)


def test_a_softmax_that_overflows_is_noticed():
    assert "1000" in verdict_on(BACKPROPAGATION, "softmax", softmax_cross_entropy=naive_softmax_loss)


def test_a_summed_loss_and_a_gradient_without_its_mean_are_noticed():
    solution = load(REPOSITORY / "lessons" / BACKPROPAGATION / "solution.py").softmax_cross_entropy

    def summed(scores, y):
        loss, dscores = solution(scores, y)
        return loss * len(y), dscores * len(y)

    def without_n(scores, y):
        loss, dscores = solution(scores, y)
        return loss, dscores * len(y)

    assert "mean" in verdict_on(BACKPROPAGATION, "softmax", softmax_cross_entropy=summed)
    assert "batch size" in verdict_on(BACKPROPAGATION, "softmax", softmax_cross_entropy=without_n)


def test_a_flipped_filter_and_an_uncropped_border_are_noticed():
    solution = load(REPOSITORY / "lessons" / BACKPROPAGATION / "solution.py")

    def flipped(x, w, b, stride, pad):
        return solution.conv2d_forward(x, w[:, :, ::-1, ::-1], b, stride, pad)

    def flipped_dw(dy, x, w, stride, pad):
        dx, dw, db = solution.conv2d_backward(dy, x, w, stride, pad)
        return dx, dw[:, :, ::-1, ::-1], db

    def uncropped(dy, x, w, stride, pad):
        dx, dw, db = solution.conv2d_backward(dy, x, w, stride, pad)
        return np.pad(dx, ((0, 0), (0, 0), (pad, pad), (pad, pad))), dw, db

    assert "flipped" in verdict_on(BACKPROPAGATION, "convolution_forward", conv2d_forward=flipped)
    assert "rotated by 180" in verdict_on(BACKPROPAGATION, "convolution_backward", conv2d_backward=flipped_dw)
    assert "not cropped" in verdict_on(BACKPROPAGATION, "convolution_backward", conv2d_backward=uncropped)


def a_gradient_check(projection, compare):
    """A student's gradient_is_right() with one of the usual weaknesses."""

    def gradient_is_right(forward, backward, x, rng):
        x = x.astype(float)
        r = projection(rng, np.shape(forward(x)))
        claimed, numeric = np.asarray(backward(r, x), float), np.empty(x.shape)
        for i in np.ndindex(x.shape):
            e = np.zeros(x.shape)
            e[i] = 1e-5
            numeric[i] = ((forward(x + e) - forward(x - e)) * r).sum() / 2e-5
        return bool(compare(claimed, numeric))

    return gradient_is_right


def relative(claimed, numeric):
    return np.abs(claimed - numeric).max() <= 1e-5 * np.abs(numeric).max()


def normal(rng, shape):
    return rng.standard_normal(shape)


@pytest.mark.parametrize(
    ("weak", "words"),
    [
        (a_gradient_check(lambda rng, shape: np.ones(shape), relative), "at random"),
        (a_gradient_check(normal, lambda a, n: np.abs(a - n).max() < 1e-4), ""),
        (a_gradient_check(normal, lambda a, n: relative(np.abs(a), np.abs(n))), "wrong sign"),
        (a_gradient_check(normal, lambda a, n: relative(a.ravel()[:1], n.ravel()[:1])), ""),
        (lambda forward, backward, x, rng: True, "was called right"),
        (lambda forward, backward, x, rng: False, "was called faulty"),
    ],
    ids=["equal projection", "absolute tolerance", "signs ignored", "one entry only", "always yes", "always no"],
)
def test_a_weak_gradient_check_lets_a_planted_fault_through(weak, words):
    verdict = verdict_on(BACKPROPAGATION, "fault_finding", gradient_is_right=weak)
    assert verdict and words in verdict


TRANSFER = "02_codes_and_finetuning"


@pytest.mark.parametrize("seed", range(3))
def test_tasks_of_lesson_2_accept_the_solution_whatever_the_numbers(seed):
    for check in ("codes", "standardising", "classifier", "choosing", "head_and_freeze", "learning_rates"):
        assert verdict_on(TRANSFER, check, seed) == ""


def test_codes_in_train_mode_are_noticed():
    def in_whatever_mode(network, layer, x):
        output = network.split(layer)[0].forward(x)
        return output.mean(axis=(2, 3)) if output.ndim == 4 else output

    assert "eval()" in verdict_on(TRANSFER, "codes", extract_codes=in_whatever_mode)


def test_standardising_by_the_other_set_is_noticed():
    def each_by_itself(train, other):
        return tuple((x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1) for x in (train, other))

    assert "own mean and std" in verdict_on(TRANSFER, "standardising", standardise=each_by_itself)


def choice_by(index, again=True):
    """choose_regularisation() that looks at training (0), validation (1) or test part (2)."""

    def choose(fit, train, val, test, path):
        part = (train, val, test)[index]
        best = max(path, key=lambda strength: (fit(*train, strength).score(*part), strength))
        joined = (np.concatenate(pair) for pair in zip(train, val, strict=True))
        return best, fit(*(joined if again else train), best).score(*test)

    return choose


@pytest.mark.parametrize("seed", range(4))
def test_choosing_on_the_test_part_is_caught(seed):
    assert "test part has a say" in verdict_on(TRANSFER, "choosing", seed, choose_regularisation=choice_by(2))


def test_choosing_on_the_training_part_and_not_training_again_are_noticed():
    by_training = [verdict_on(TRANSFER, "choosing", seed, choose_regularisation=choice_by(0)) for seed in range(4)]
    assert all(by_training) and any("training part" in verdict for verdict in by_training)
    assert "together" in verdict_on(TRANSFER, "choosing", choose_regularisation=choice_by(1, again=False))


def test_freezing_the_wrong_way_round_is_named():
    solution = load(REPOSITORY / "lessons" / TRANSFER / "solution.py").replace_head_and_freeze

    def reversed_flags(network, num_classes, until, rng):
        for parameter in solution(network, num_classes, until, rng).parameters().values():
            parameter.trainable = not parameter.trainable
        return network

    assert "wrong way round" in verdict_on(TRANSFER, "head_and_freeze", replace_head_and_freeze=reversed_flags)


def test_learning_rates_by_prefix_are_noticed_where_names_begin_alike():
    def by_prefix(network, head, ratio):
        for name, parameter in network.parameters().items():
            parameter.learning_rate_multiplier = 1.0 if name.startswith(head) else ratio
        return network

    assert "begins like" in verdict_on(TRANSFER, "learning_rates", set_learning_rates=by_prefix)


def test_layers_that_were_frozen_before_and_stay_so_are_noticed():
    def without_unfreezing(network, num_classes, until, rng):
        names = list(network.layers)
        network.layers[names[-1]] = Linear(network.layers[names[-1]].in_features, num_classes, rng=rng)
        for name in names[: names.index(until) + 1]:
            network.layers[name].freeze()
        return network

    assert "unfreeze" in verdict_on(TRANSFER, "head_and_freeze", replace_head_and_freeze=without_unfreezing)
