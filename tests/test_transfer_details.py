"""Small promises of minicnn.transfer: what is meant where nothing is said, and what happens at the edges."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from minicnn.data.augmentation import CELLS, PHOTOS
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import DataError
from minicnn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Sequential,
)
from minicnn.linear_model import SoftmaxRegression
from minicnn.losses import BinaryLogistic, SoftmaxCrossEntropy
from minicnn.models import lenet5
from minicnn.models.model import Model
from minicnn.models.predictions import probabilities
from minicnn.training import History
from minicnn.transfer import feature_bank, feature_file, finetune, multi_crop, setup, sigmoid_head, two_phase
from minicnn.transfer.fc_to_conv import fc_to_conv, without_padding
from minicnn.transfer.feature_bank import build_feature_bank
from minicnn.transfer.feature_file import BLOCK, CodeFile
from minicnn.transfer.finetune import Phase, fine_tune
from minicnn.transfer.learning_rates import discriminative_rates
from minicnn.transfer.multi_crop import dense_probabilities, ten_crop_probabilities, ten_crops
from minicnn.transfer.sigmoid_head import loss_of, to_one_sigmoid, train_head, with_small_head
from minicnn.transfer.surgery import freeze_points, set_head, with_new_head
from minicnn.transfer.two_phase import NO_AUGMENTATION, PhaseRow, linear_probe_then_fine_tune

SIZE = 8
PHASE = Phase("a phase", "block0", epochs=1, learning_rate=0.01, views=1)


def small(classes=2, rng=0):
    """Three convolutions under a classifier."""
    rng = np.random.default_rng(rng)

    def block(channels, filters):
        conv = Conv2d(channels, filters, 3, 1, "same", bias=False, rng=rng)
        return Sequential(conv=conv, norm=BatchNorm2d(filters), relu=ReLU())

    layers = {"block0": block(3, 4), "block1": block(4, 4), "block2": block(4, 4), "pool": GlobalAvgPool2d()}
    layers |= {"dropout": Dropout(0.1), "classifier": Linear(4, classes, rng=rng)}
    preprocessing = Preprocessing(size=SIZE, mean=127.0, std=64.0)
    return Model(layers, architecture="small", input_shape=(3, SIZE, SIZE), preprocessing=preprocessing)


def pictures(n, seed=0, size=(SIZE, SIZE)):
    return np.random.default_rng(seed).integers(0, 256, (n, *size, 3), np.uint8), np.arange(n) % 2


TRAIN, VAL = pictures(10), pictures(4, seed=1)


def snapshot(model):
    arrays = {name: parameter.value for name, parameter in model.parameters().items()} | model.state()
    return {name: array.tobytes() for name, array in arrays.items()}


class Bar:
    """What a progress bar was made with, and by how much it was moved."""

    made: list["Bar"]

    def __init__(self, **options):
        self.options, self.moved = options, 0
        Bar.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self, n):
        self.moved += n


@pytest.fixture
def labels(monkeypatch):
    """The names of the progress bars of runs through a network."""
    seen = []
    for module in (feature_bank, sigmoid_head):
        infer = module.infer

        def listened(*arguments, infer=infer, label=None, **options):
            seen.append(label or (arguments[4] if len(arguments) > 4 else None))
            return infer(*arguments, label=label, **options) if len(arguments) < 5 else infer(*arguments, **options)

        monkeypatch.setattr(module, "infer", listened)
    return seen


@pytest.fixture
def runs(monkeypatch):
    """The first layer and the number of pictures of each run through a part of a network."""
    seen, infer = [], feature_bank.infer

    def counted(layer, n, *arguments, **options):
        seen.append((next(iter(layer.children())), n))
        return infer(layer, n, *arguments, **options)

    monkeypatch.setattr(feature_bank, "infer", counted)
    return seen


# ---- fine-tuning


def test_a_phase_is_gentle_where_nothing_is_said_and_records_how_it_went():
    gentle = {"body_multiplier": 0.25, "layer_decay": None, "views": 4, "batch_size": 16, "norm_momentum": 0.1}
    gentle |= {"weight_decay": 0.01, "label_smoothing": 0.05, "frozen_statistics": False, "pull": 0.0}
    gentle |= {"train_until": None, "trained": "all"}
    phase, epochs = Phase("upper", "c3", 2, 1e-3), [{"epoch": 1}, {"epoch": 2}]
    assert phase == Phase("upper", "c3", 2, 1e-3, **gentle)
    assert phase.record(History(epochs, best_epoch=1)) == {
        "title": "upper", "frozen_until": "c3", "trained_until": None, "trained": "all", "learning_rate": 1e-3,
        "history": epochs, "best_epoch": 1,
    }  # fmt: skip


def test_without_a_seed_fine_tuning_has_the_seed_0():
    found = []
    for options in ({}, {"seed": 0}, {"seed": 1}):
        model = small()
        fine_tune(model, replace(PHASE, views=2), TRAIN, VAL, PHOTOS, progress=False, **options)
        found.append(snapshot(model))
    assert found[0] == found[1] != found[2]


def test_what_an_earlier_phase_has_frozen_is_trained_again():
    model = small().freeze(until="block2")
    before = snapshot(model)
    fine_tune(model, PHASE, TRAIN, VAL, NO_AUGMENTATION, progress=False)
    after = snapshot(model)
    assert {name.split(".")[0] for name in before if before[name] != after[name]} == {"block1", "block2", "classifier"}


def test_the_frozen_part_sees_the_pictures_that_there_are_and_no_more(runs):
    fine_tune(small(), PHASE, TRAIN, None, NO_AUGMENTATION, progress=False)
    assert runs == [("block0", 10)]


def test_a_bank_that_is_given_is_used_and_no_other_is_made(runs):
    model = small()
    bank = build_feature_bank(model, "block0", 1, TRAIN[0], VAL[0], NO_AUGMENTATION, progress=False)
    fine_tune(model, PHASE, TRAIN, VAL, NO_AUGMENTATION, progress=False, bank=bank)
    assert runs == [("block0", 14)]


def test_a_bank_holds_the_plain_pictures_then_each_view_of_the_training_pictures():
    """A network that gives a picture's number, and an augmentation that adds ten for each time it is called."""
    layers = {"pool": GlobalAvgPool2d(), "scores": Linear(3, 2, rng=0)}
    model = Model(layers, architecture="mean", input_shape=(3, 2, 2), preprocessing=Preprocessing(size=2))
    x = np.arange(7, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(2, 2).repeat(3, 3)
    bank = build_feature_bank(model, "pool", 3, x[:4], x[4:], lambda x, rng: x + 10, progress=False)
    assert bank.outputs[:, 0].tolist() == [*range(7), *[10, 11, 12, 13] * 2]
    drawn = np.array([bank.augment(np.arange(4), np.random.default_rng(seed)) for seed in range(40)])
    assert [sorted(set(column)) for column in drawn.T.tolist()] == [[i, 7 + i, 11 + i] for i in range(4)]
    assert bank.up_to(model, "pool", 2).outputs[:, 0].tolist() == [*range(7), 10, 11, 12, 13]


@pytest.mark.parametrize("layer", ["block0", "block9"])
def test_a_bank_is_carried_on_upwards_only(layer):
    bank = build_feature_bank(small(), "block1", 1, TRAIN[0], VAL[0], NO_AUGMENTATION, progress=False)
    with pytest.raises(ValueError, match=f"one of block2, pool, dropout, classifier; got '{layer}'"):
        bank.up_to(small(), layer, 1)


def test_a_bank_has_one_view_of_each_picture_or_more():
    with pytest.raises(ValueError, match="got views=0"):
        build_feature_bank(small(), "block0", 0, TRAIN[0], VAL[0], NO_AUGMENTATION, progress=False)


def test_a_bank_that_is_not_given_a_seed_has_the_seed_0():
    banks = [
        build_feature_bank(small(), "block0", 2, *(TRAIN[0], VAL[0], PHOTOS), *seed, progress=False) for seed in ((), (0,))
    ]
    np.testing.assert_array_equal(banks[0].outputs, banks[1].outputs)


def test_no_two_views_in_a_bank_are_drawn_with_the_same_random_numbers():
    drawn = []

    def recorded(x, rng):
        drawn.append(rng.integers(2**60))
        return x

    build_feature_bank(small(), "block0", 11, TRAIN[0], VAL[0], recorded, progress=False)
    assert len(drawn) == len(set(drawn)) == 100


def test_bars_are_shown_unless_they_are_not_wanted(labels, monkeypatch):
    wanted = []
    for module in (finetune, sigmoid_head):
        trainer = module.Trainer
        monkeypatch.setattr(
            module,
            "Trainer",
            lambda *a, trainer=trainer, **o: wanted.append(o["progress"]) or trainer(*a, **o | {"progress": False}),
        )
    fine_tune(small(), PHASE, TRAIN, VAL, NO_AUGMENTATION)
    bank = build_feature_bank(small(), "block0", 1, TRAIN[0], VAL[0], NO_AUGMENTATION)
    bank.up_to(small(), "block1", 1)
    linear_probe_then_fine_tune(small(), TRAIN, VAL, ["a", "b"], PHASE, log=str)
    train_head(with_small_head(small(), ["a", "b"], hidden=2), TRAIN, VAL, epochs=1)
    assert labels == ["views up to 'block0'"] * 2 + ["from 'block0' to 'block1'"] + [
        "views up to 'block0'", "from 'block0' to 'pool'", "bottleneck features"
    ]  # fmt: skip
    assert wanted == [True] * 3
    labels.clear()
    build_feature_bank(small(), "block0", 1, TRAIN[0], VAL[0], NO_AUGMENTATION, progress=False).up_to(
        small(), "block1", 1, False
    )
    train_head(with_small_head(small(), ["a", "b"], hidden=2), TRAIN, VAL, epochs=1, progress=False)
    assert labels == [None] * 3


def test_rates_that_do_not_fall_are_those_of_the_head():
    assert set(discriminative_rates(small(), 1).values()) == {1.0}


# ---- two phases


def probe(phase=PHASE, **options):
    return linear_probe_then_fine_tune(small(), TRAIN, VAL, ["a", "b"], phase, progress=False, log=str, **options)


def test_cells_of_the_table_stand_under_their_titles():
    row = PhaseRow("fine-tuning", "block1 to classifier", 2700, "0.0025 to 0.01", 0.975, 12.34)
    assert two_phase.TwoPhases(None, None, None, (row, row)).table().splitlines() == [
        "phase           trained                       parameters  learning rate         validation  time",
        *["fine-tuning     block1 to classifier          2.7 k       0.0025 to 0.01        97.5 %      12.3 s"] * 2,
    ]


def test_the_row_of_a_phase_names_what_it_trained_and_the_time_that_it_took():
    first, second = probe(replace(PHASE, layer_decay=0.2)).phases
    assert (first.trained, first.parameters) == ("classifier", 10)
    assert (second.trained, second.parameters) == ("block1 to classifier", 2 * (4 * 4 * 9 + 8) + 10)
    assert second.learning_rate == "0.0004 to 0.01", "not the frozen block's, which would be 0.00008"
    assert 0 < first.seconds < 60 and 0 < second.seconds < 60


def test_without_a_seed_the_second_phase_has_the_seed_0():
    phase = replace(PHASE, views=2)
    found = [snapshot(probe(phase, augmentation=PHOTOS, **seed).model) for seed in ({}, {"seed": 0}, {"seed": 1})]
    assert found[0] == found[1] != found[2]


def test_pictures_run_once_for_the_probe_where_each_epoch_augments_them_anew(runs):
    probe(replace(PHASE, views=0), augmentation=PHOTOS)
    assert runs == [("block0", 14), ("block1", 14)]


@pytest.mark.parametrize(("augmentation", "views"), [(NO_AUGMENTATION, 0), (PHOTOS, 3)])
def test_where_nothing_is_said_there_are_three_augmented_views_if_there_is_an_augmentation(augmentation, views, runs):
    probe(None, augmentation=augmentation)
    assert runs[0] == ("block0", 14 + 10 * views)


def test_a_second_phase_that_is_interrupted_in_its_first_epoch_has_no_accuracy(monkeypatch):
    monkeypatch.setattr(two_phase, "fine_tune", lambda *arguments, **options: History(interrupted=True))
    assert probe().phases[1].val_accuracy is None


# ---- one sigmoid


def test_where_nothing_is_said_the_small_head_is_that_of_the_recipe():
    head = with_small_head(small(), ["a", "b"]).layers["small_head"].layers
    assert head["hidden"].out_features == 256 and head["dropout"].p == 0.5 and head["score"].out_features == 1


def test_a_word_of_two_letters_is_not_two_classes():
    with pytest.raises(ValueError, match=r"expected two classes .* got the classes 'ab'"):
        with_small_head(small(), "ab")


def test_codes_that_are_maps_are_averaged_before_the_head_is_trained():
    layers = {"conv": Conv2d(3, 4, 3, rng=0), "relu": ReLU(), "scores": Conv2d(4, 2, 1, rng=0), "pool": GlobalAvgPool2d()}
    maps = Model(layers, architecture="maps", input_shape=(3, SIZE, SIZE), preprocessing=small().preprocessing)
    model = with_small_head(maps, ["a", "b"], hidden=2, rng=0)
    assert list(model.layers) == ["conv", "relu", "codes", "small_head"]
    assert len(train_head(model, TRAIN, VAL, epochs=2, progress=False).epochs) == 2


def test_the_head_alone_is_trained_whatever_was_frozen_before():
    model = with_small_head(small(), ["a", "b"], hidden=2, rng=0)
    for frozen in (True, False):
        model.freeze() if frozen else model.unfreeze()
        before = snapshot(model)
        train_head(model, TRAIN, VAL, epochs=1, learning_rate=0.1, progress=False)
        after = snapshot(model)
        assert {name.split(".")[0] for name in before if before[name] != after[name]} == {"small_head"}
        assert [name for name, layer in model.layers.items() if layer.trainable] == ["small_head"]


def test_where_nothing_is_said_the_head_is_trained_for_30_epochs_with_the_seed_0():
    found = []
    for options in ({}, {"seed": 0}, {"seed": 1}):
        model = with_small_head(small(), ["a", "b"], hidden=2, rng=0)
        assert len(train_head(model, pictures(20), VAL, progress=False, **options).epochs) == 30
        found.append(snapshot(model))
    assert found[0] == found[1] != found[2]


def test_the_loss_goes_by_the_number_of_scores():
    assert isinstance(loss_of(small(1)), BinaryLogistic) and isinstance(loss_of(small(2)), SoftmaxCrossEntropy)


def test_biases_are_taken_from_each_other_as_weights_are():
    model = small()
    model.classifier.b.value[...] = 0.5, -1.25
    x = np.random.default_rng(0).standard_normal((5, 3, SIZE, SIZE)).astype(np.float32)
    one = to_one_sigmoid(model)
    assert one.classifier.b.value == -1.75
    np.testing.assert_allclose(probabilities(one.eval().forward(x)), probabilities(model.eval().forward(x)), rtol=1e-5)


# ---- surgery


def test_three_fifths_of_the_work_are_frozen_for_the_upper_layers_and_a_quarter_for_more():
    layers = {f"conv{i}": Conv2d(2, 2, 1, bias=False, rng=0) for i in range(5)}
    model = Model(
        layers | {"pool": GlobalAvgPool2d(), "scores": Linear(2, 2, rng=0)}, architecture="five", input_shape=(2, 4, 4)
    )
    assert freeze_points(model) == ("conv2", "conv1")


def test_a_head_can_be_put_on_codes_that_are_no_maps():
    model = with_new_head(lenet5(rng=0), "f6", ["a", "b", "c"])
    assert list(model.layers)[-3:] == ["f6", "codes", "classifier"] and model.output_shape((1, 1, 28, 28)) == (1, 3)
    assert model.classes == ["a", "b", "c"]


def test_a_head_that_is_a_convolution_can_be_set():
    layers = {"conv": Conv2d(3, 4, 3, rng=0), "relu": ReLU(), "scores": Conv2d(4, 2, 1, rng=0), "pool": GlobalAvgPool2d()}
    model = Model(layers, architecture="maps", input_shape=(3, SIZE, SIZE)).eval()
    x = np.random.default_rng(0).standard_normal((10, 3, SIZE, SIZE)).astype(np.float32)
    codes = model.features(x, "relu").mean(axis=(2, 3))
    classifier = SoftmaxRegression().fit(codes, TRAIN[1])
    set_head(model, classifier)
    np.testing.assert_allclose(model.forward(x), codes @ classifier.w.T + classifier.b, rtol=1e-4, atol=1e-5)


# ---- codes in a file


def code_file(path, rows=2 * BLOCK + 5, width=3, about="what they are"):
    return CodeFile(path, rows, lambda: width, about)


def random_codes(rows, width=3):
    return np.random.default_rng(0).standard_normal((rows, width)).astype(np.float32)


def test_the_file_has_its_size_and_says_what_it_holds_before_anything_is_computed(tmp_path):
    file = code_file(tmp_path / "a" / "b" / "codes.h5", width=1000)
    content = (tmp_path / "a" / "b" / "codes.h5").read_bytes()  # what is left if the process is killed now
    (tmp_path / "killed.h5").write_bytes(content)
    assert len(content) > (2 * BLOCK + 5) * 1000 * 4
    with h5py.File(tmp_path / "killed.h5") as killed:
        assert killed.attrs["about"] == "what they are" and killed["codes"].shape == (2 * BLOCK + 5, 1000)
        assert not killed["checksums"][:].any()
    file.close()


def test_what_is_written_is_in_the_file_at_once(tmp_path):
    file, codes = code_file(tmp_path / "codes.h5"), random_codes(2 * BLOCK + 5)
    file.write(file.blocks[1], codes[file.blocks[1]])
    (tmp_path / "killed.h5").write_bytes((tmp_path / "codes.h5").read_bytes())
    again = code_file(tmp_path / "killed.h5")
    assert again.missing() == [again.blocks[0], again.blocks[2]] == [slice(0, BLOCK), slice(2 * BLOCK, 2 * BLOCK + 5)]
    np.testing.assert_array_equal(again.read()[BLOCK : 2 * BLOCK], codes[BLOCK : 2 * BLOCK])


def test_a_block_whose_checksum_would_be_0_counts_as_there(tmp_path):
    codes = np.frombuffer(bytes([0x9D, 0x0A, 0xD9, 0x6D]), np.float32).reshape(1, 1)  # its CRC-32 is 0
    file = code_file(tmp_path / "codes.h5", 1, 1)
    assert file.missing() == [slice(0, 1)]
    file.write(slice(0, 1), codes)
    assert file.missing() == []


@pytest.mark.parametrize(
    ("codes", "checksums"),
    [
        (np.zeros((BLOCK + 1, 3), np.float64), np.zeros(2, np.uint64)),
        (np.zeros((BLOCK + 1, 3), np.float32), np.zeros(1, np.uint64)),
        (np.zeros((BLOCK, 3), np.float32), np.zeros(2, np.uint64)),
        (np.zeros((BLOCK, 3), np.float64), np.zeros(2, np.uint64)),
    ],
)
def test_a_file_of_other_codes_is_not_written_into(tmp_path, codes, checksums):
    with h5py.File(tmp_path / "codes.h5", "w") as other:
        other["codes"], other["checksums"] = codes, checksums
    file = code_file(tmp_path / "codes.h5", BLOCK + 1)
    assert file.read().dtype == np.float32 and file.read().shape == (BLOCK + 1, 3) and len(file.missing()) == 2


@pytest.mark.parametrize("damaged", [False, True])
def test_a_file_of_no_use_may_be_removed_by_another_process_first(tmp_path, monkeypatch, damaged):
    path, opened = tmp_path / "codes.h5", h5py.File
    code_file(path, rows=3).close()
    if damaged:
        path.write_bytes(b"damaged")

    def removed_meanwhile(name, mode):
        try:
            return opened(name, mode)
        finally:
            if mode == "r":
                path.unlink(missing_ok=True)

    monkeypatch.setattr(feature_file.h5py, "File", removed_meanwhile)
    assert len(code_file(path).missing()) == 3


def test_several_can_read_what_is_complete_at_once(tmp_path):
    file, codes = code_file(tmp_path / "codes.h5"), random_codes(2 * BLOCK + 5)
    for rows in file.blocks:
        file.write(rows, codes[rows])
    file.close()
    assert not file._file, "closed for good: another process could write now"
    for reader in [code_file(tmp_path / "codes.h5") for _ in range(2)]:
        assert reader._file.mode == "r"
        np.testing.assert_array_equal(reader.read(), codes)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_file_that_is_gone_when_it_is_to_be_completed_is_made_anew(tmp_path, monkeypatch, damaged):
    path, opened = tmp_path / "codes.h5", h5py.File
    code_file(path).close()

    def removed_meanwhile(name, mode):
        if mode == "r+":
            path.write_bytes(b"damaged") if damaged else path.unlink()
        return opened(name, mode)

    monkeypatch.setattr(feature_file.h5py, "File", removed_meanwhile)
    assert len(code_file(path).missing()) == 3


def test_who_waits_says_so_once_and_looks_a_few_times_a_second(tmp_path, monkeypatch):
    """Two processes begin at once, and the other one is quicker to make the file."""
    path, waited = tmp_path / "codes.h5", []
    made = CodeFile._created

    def too_late(self, width):
        if len(waited) < 3:
            raise FileExistsError
        return made(self, width)

    monkeypatch.setattr(CodeFile, "_created", too_late)
    monkeypatch.setattr(feature_file.time, "sleep", waited.append)
    with pytest.warns(UserWarning, match="another process is computing") as warned:
        code_file(path).close()
    assert len(warned) == 1 and len(waited) == 3 and 0.05 < waited[0] < 1
    assert warned[0].filename == __file__, "it points at the caller of what needs the file, two functions up"


# ---- fully connected layers as convolutions


def test_what_need_not_change_is_the_networks_own():
    model = small()
    dense = fc_to_conv(model)
    assert all(dense.layers[name] is model.layers[name] for name in ("block0", "block1", "block2", "dropout"))


def test_a_group_of_which_nothing_is_left_is_left_out():
    layers = {"conv": Conv2d(1, 2, 3, rng=0), "flat": Sequential(flatten=Flatten()), "scores": Linear(8, 3, rng=0)}
    dense = fc_to_conv(Model(layers, architecture="groups", input_shape=(1, 4, 4)))
    assert list(dense.layers) == ["conv", "scores"]


def test_flattening_twice_is_flattening_once():
    layers = {"conv": Conv2d(1, 2, 3, rng=0), "flatten": Flatten(), "again": Flatten(), "scores": Linear(8, 3, rng=0)}
    model = Model(layers, architecture="flat", input_shape=(1, 4, 4)).eval()
    x = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(fc_to_conv(model).forward(x)[:, :, 0, 0], model.forward(x), rtol=1e-4, atol=1e-5)


def pooled(pool, inputs, size):
    layers = {"conv": Conv2d(1, 2, 1, rng=0), "pool": pool, "flatten": Flatten(), "scores": Linear(inputs, 3, rng=0)}
    return Model(layers, architecture="pooled", input_shape=(1, *size))


def test_an_adaptive_pool_is_left_out_only_if_it_changes_nothing():
    assert "pool" not in fc_to_conv(pooled(AdaptiveAvgPool2d((4, 3)), 24, (4, 3))).layers
    pool = fc_to_conv(pooled(AdaptiveAvgPool2d((2, 3)), 12, (4, 3))).layers["pool"]
    assert isinstance(pool, AvgPool2d) and pool.kernel_size == (2, 1)


@pytest.mark.parametrize("size", [(4, 5), (5, 4)])
def test_an_adaptive_pool_that_is_uneven_along_one_axis_is_refused(size):
    with pytest.raises(ValueError, match=f"of {size[0]} x {size[1]} with windows that overlap"):
        fc_to_conv(pooled(AdaptiveAvgPool2d((2, 2)), 8, size))


def test_padding_is_taken_off_inside_groups_too():
    layers = {"group": Sequential(conv=Conv2d(1, 2, 3, pad=1, rng=0), relu=ReLU()), "flatten": Flatten()}
    model = Model(layers | {"scores": Linear(32, 3, rng=0)}, architecture="grouped", input_shape=(1, 4, 4))
    grown = without_padding(model)
    assert grown.input_shape == (1, 6, 6) and grown.layers["group"].layers["conv"].pad == (0, 0)
    assert grown.layers["group"].layers["relu"] is model.layers["group"].layers["relu"]
    assert model.layers["group"].layers["conv"].pad == (1, 1)


# ---- several views of a picture


def test_a_crop_may_be_as_high_and_as_wide_as_the_picture():
    pixels = np.arange(6).reshape(2, 3, 1)
    np.testing.assert_array_equal(ten_crops(pixels, (2, 3))[:5], np.stack([pixels] * 5))
    with pytest.raises(ValueError, match="1 x 4 do not fit into a picture of 2 x 3"):
        ten_crops(pixels, (1, 4))


def test_the_eighth_that_is_more_than_the_crops_is_of_their_longer_side():
    model = small()
    model.preprocessing = Preprocessing(size=(8, 15), mean=127.0, std=64.0)
    several = list(pictures(2, size=(20, 30))[0])
    np.testing.assert_array_equal(
        ten_crop_probabilities(model, several, progress=False), ten_crop_probabilities(model, several, 17, progress=False)
    )


def test_where_nothing_is_said_dense_means_mirrored_and_256_pixels():
    layers = {"conv": Conv2d(3, 2, 8, stride=8, rng=0), "pool": GlobalAvgPool2d(), "scores": Linear(2, 3, rng=0)}
    model = Model(layers, architecture="coarse", input_shape=(3, SIZE, SIZE), preprocessing=small().preprocessing)
    several = list(pictures(1, size=(20, 21))[0])
    found = dense_probabilities(model, several, progress=False)
    np.testing.assert_array_equal(found, dense_probabilities(model, several, (256,), mirror=True, progress=False))


@pytest.mark.parametrize(
    ("ask", "title"), [(ten_crop_probabilities, "ten crops"), (lambda *a, **o: dense_probabilities(*a, (8,), **o), "dense")]
)
def test_the_bar_counts_the_pictures_and_each_is_looked_at(ask, title, monkeypatch):
    Bar.made = []
    monkeypatch.setattr(multi_crop, "tqdm", Bar)
    monkeypatch.setattr(multi_crop, "get_threads", lambda: 1)
    model, several = small(), list(pictures(11)[0])
    found = ask(model, several)
    ask(model, several, progress=False)
    shown, hidden = Bar.made
    assert shown.options == {
        "total": 11, "desc": title, "unit": " pictures", "delay": 2, "disable": False, "leave": False
    }  # fmt: skip
    assert hidden.options["disable"] and shown.moved == hidden.moved == 11
    for i in (0, 1, 4, 5, 10):
        np.testing.assert_allclose(found[i], ask(model, several[i : i + 1], progress=False)[0], rtol=1e-5)


# ---- the start of a transfer


def test_solar_cells_are_shrunk_whole_and_made_even(tmp_path, monkeypatch):
    model = small()
    model.preprocessing = replace(model.preprocessing, resize=SIZE + 1)
    model.save(tmp_path / "small.h5")
    monkeypatch.setattr(setup, "solar_cells", lambda: "the cells")
    found, cells, augmentation = setup.set_up(None, str(tmp_path / "small.h5"))
    assert found.preprocessing == replace(model.preprocessing, fit="stretch", resize=None, exposure="even")
    assert cells == "the cells" and augmentation == CELLS


def test_the_report_among_the_pictures_is_no_class(tmp_path):
    small().save(tmp_path / "small.h5")
    for name in ("ant", "bee", "report"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i, pixels in enumerate(pictures(3)[0]):
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    folder = tmp_path / "pictures"
    _, found, augmentation = setup.set_up(str(folder), str(tmp_path / "small.h5"), folder / "report")
    assert found.classes == ["ant", "bee"] and augmentation == PHOTOS
    assert setup.set_up(str(folder), str(tmp_path / "small.h5"))[1].classes == ["ant", "bee", "report"]


def test_a_network_that_does_not_say_how_pictures_become_its_input_is_refused_first(tmp_path):
    model = small()
    model.preprocessing = None
    model.save(tmp_path / "small.h5")
    with pytest.raises(DataError, match="does not say how pictures become its input"):
        setup.set_up(None, str(tmp_path / "small.h5"))


def test_the_white_of_deep_pictures_becomes_the_networks(tmp_path):
    small().save(tmp_path / "small.h5")
    for name in ("ant", "bee"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i, pixels in enumerate(pictures(3)[0]):
            Image.fromarray(16 * pixels[..., 0].astype(np.uint16)).save(tmp_path / "pictures" / name / f"{i}.png")
    model, found, _ = setup.set_up(str(tmp_path / "pictures"), str(tmp_path / "small.h5"))
    assert model.preprocessing.white == found.white == 4095
