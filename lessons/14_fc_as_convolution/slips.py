"""Lesson 14: the mistakes that people make in its exercise, as functions that make them."""

import math
from collections.abc import Callable

import numpy as np

from minicnn.course import Slip

# ---- Task 1: filters from rows


def laid_out(axes: str, turned_to: str = "chw") -> Callable:
    """Filters from rows of weights that have their inputs in this order of axes, slowest first; then the axes turned."""

    def filters(w, volume):
        sizes = dict(zip("chw", volume, strict=True))
        return np.einsum(f"f{axes}->f{turned_to}", w.reshape(-1, *(sizes[axis] for axis in axes)))

    return filters


FIRST, LAST = laid_out("chw"), laid_out("hwc")


def filters_by(first=FIRST, last=LAST, change=lambda filters: filters):
    """linear_to_conv() with other filters for channels first and for channels last."""
    return {"linear_to_conv": lambda w, volume, order: change((first if order == "CHW" else last)(w, volume))}


def of_columns(w, volume, axes):
    """Filters of w taken as (D, F)."""
    sizes = dict(zip("chw", volume, strict=True))
    return np.einsum(f"{axes}f->fchw", w.reshape(*(sizes[axis] for axis in axes), -1))


def head_by(lowest=None, upper=lambda w, volume: w[:, :, None, None], bias=lambda b, volume: b, whole=list):
    """head_to_convs() with other filters of the lowest layer, or of the upper ones, other biases, or another list."""

    def head_to_convs(head, volume, order):
        read = lowest or (FIRST if order == "CHW" else LAST)
        filters = [upper(w, volume) if n else read(w, volume) for n, (w, _) in enumerate(head)]
        return whole(list(zip(filters, (bias(b, volume) for _, b in head), strict=True)))

    return {"head_to_convs": head_to_convs}


CONV_SLIPS = (
    Slip(
        "All weights are read as channels first",
        "In which order has a network with channels last flattened its volume? Which of c, i and j changes fastest there?",
        filters_by(last=FIRST),
        r"reshape",
    ),
    Slip(
        "All weights are read as channels last",
        "In which order has a network with channels first flattened its volume? Which of c, i and j changes fastest there?",
        filters_by(first=LAST),
        r"reshape",
    ),
    Slip(
        "The two orders are exchanged",
        '"CHW" means that channels change slowest: all of the first channel comes first.',
        filters_by(LAST, FIRST),
        r"==",
    ),
    Slip(
        "Rows and columns are exchanged in the filters of channels last",
        "In v[(i W + j) C + c], which of i and j changes faster? The axes of the reshaped weights go from slow to fast.",
        filters_by(last=laid_out("whc")),
        r"reshape|transpose|moveaxis|einsum",
    ),
    Slip(
        "Rows and columns are exchanged in the filters of channels first",
        "In v[(c H + i) W + j], which of i and j changes faster? The axes of the reshaped weights go from slow to fast.",
        filters_by(first=laid_out("cwh")),
        r"reshape|transpose|einsum",
    ),
    Slip(
        "Rows and columns are exchanged in the filters of both orders",
        "Of i and j, which changes faster along a row of w? The axes of the reshaped weights go from slow to fast.",
        filters_by(laid_out("cwh"), laid_out("whc")),
        r"reshape|transpose|einsum",
    ),
    Slip(
        "The filters of channels last keep their channels in the last axis",
        "The convolution wants (F, C, H, W), whichever way the weights came. Reshaping alone moves no number.",
        filters_by(last=laid_out("hwc", "hwc")),
        r"reshape",
    ),
    Slip(
        "The axes of channels last are turned the wrong way: C stands where H was",
        "transpose() lists, for each new axis, which old one it was. The new axis 1 is C: where was that?",
        filters_by(last=laid_out("hwc", "wch")),
        r"transpose",
    ),
    Slip(
        "The axes of channels last come out as (F, C, W, H)",
        "Two of the axes are exchanged too many. Which ones?",
        filters_by(last=laid_out("hwc", "cwh")),
        r"transpose|swapaxes|\.T",
    ),
    Slip(
        "The weights of channels last are reshaped to (F, C, H, W) first, and turned afterwards",
        "reshape() must name the axes in the order that the numbers have; only then can they be turned.",
        filters_by(last=laid_out("chw", "hwc")),
        r"reshape",
    ),
    Slip(
        "The weights of channels last are turned as if they had to become channels last, and reshaped",
        "Their row *is* in the order i, j, c. reshape() must name the axes in the order that the numbers have; then turn them.",
        filters_by(last=lambda w, volume: laid_out("chw", "hwc")(w, volume).reshape(len(w), *volume)),
        r"reshape|transpose",
    ),
    Slip(
        "The filters are flipped",
        "In deep learning a convolution lays the filter on the picture as it is: tap (i, j) meets x[c, i, j].",
        filters_by(change=lambda filters: filters[:, :, ::-1, ::-1]),
        r"::-1|flip|rot90",
    ),
    Slip(
        "A column of w is taken for a unit",
        "w is (F, D), one row a unit: the unit's axis is the first, and stays it.",
        {"linear_to_conv": lambda w, volume, order: of_columns(w, volume, "chw" if order == "CHW" else "hwc")},
        r"reshape",
    ),
    Slip(
        "The filters are laid out as TensorFlow has them, (H, W, C, F)",
        "Here filters are (F, C, H, W).",
        filters_by(change=lambda filters: filters.transpose(2, 3, 1, 0)),
        r"transpose|reshape",
    ),
    Slip(
        "The weights are divided by the number of places",
        "Nothing is averaged: at its one place the convolution adds up the same products as the fully connected layer.",
        filters_by(change=lambda filters: filters / (filters.shape[2] * filters.shape[3])),
        r"/",
    ),
    Slip(
        "The upper layers of the head are left as matrices",
        "A convolution has four axes, also where its filters see one place only.",
        head_by(upper=lambda w, volume: w),
        r"append|return|for",
    ),
    Slip(
        "Only the first layer of the head is there",
        "What of the layers above it?",
        head_by(whole=lambda convs: convs[:1]),
        r"return",
    ),
    Slip(
        "The layers of the head come from top to bottom",
        "They were to come in the order in which they run.",
        head_by(whole=lambda convs: convs[::-1]),
        r"::-1|reversed|insert",
    ),
    Slip(
        "The filters of the upper layers have inputs and outputs exchanged",
        "w is (F, D), and so are the first two axes of the filters.",
        head_by(upper=lambda w, volume: w.T[:, :, None, None]),
        r"\.T\b|transpose|swapaxes",
    ),
    Slip(
        "The axes of length 1 stand in front in the upper layers",
        "(F, D, 1, 1): filters and channels first, then height and width.",
        head_by(upper=lambda w, volume: w[None, None]),
        r"None|newaxis|reshape",
    ),
    Slip(
        "The upper layers are laid out as TensorFlow has them, (1, 1, D, F)",
        "(F, D, 1, 1): filters and channels first, then height and width.",
        head_by(upper=lambda w, volume: w.T[None, None]),
        r"\.T\b|transpose",
    ),
    Slip(
        "The upper layers have filters of H x W too",
        "Below them is a map with one number a unit at each place. How many places does a cell see of it?",
        head_by(upper=lambda w, volume: np.tile(w[:, :, None, None], (1, 1, *volume[1:]))),
        r"tile|repeat|ones|broadcast",
    ),
    Slip(
        "The first layer of the head is read as channels first, whatever the order is",
        "The order is an argument of both functions.",
        head_by(lowest=FIRST),
        r"reshape|CHW",
    ),
    Slip(
        "The first layer of the head is read as channels last, whatever the order is",
        "The order is an argument of both functions.",
        head_by(lowest=LAST),
        r"reshape|HWC",
    ),
    Slip(
        "The biases are zeros",
        "A bias is added at every place of the map just as it was added to the row.",
        head_by(bias=lambda b, volume: np.zeros(len(b))),
        r"zeros",
    ),
    Slip(
        "The biases are left out",
        "Two things of each layer were asked for: filters and b.",
        head_by(whole=lambda convs: [filters for filters, _ in convs]),
        r"append|return",
    ),
    Slip(
        "The biases have axes of length 1 behind them",
        "b stays (F,): the convolution adds it at every place by itself.",
        head_by(bias=lambda b, volume: b[:, None, None]),
        r"None|reshape",
    ),
    Slip(
        "The biases are divided by the number of places",
        "The bias is added once at each place of the output, not once for each tap.",
        head_by(bias=lambda b, volume: b / math.prod(volume[1:])),
        r"/",
    ),
    Slip(
        "Filters and biases have changed places",
        "(filters, b) was asked for.",
        head_by(whole=lambda convs: [pair[::-1] for pair in convs]),
        r"append|return",
    ),
    Slip(
        "Every layer of the head is taken to stand on the volume",
        "Only the first one does. How many inputs has the second, and what are they?",
        head_by(upper=FIRST),
        r"reshape|linear_to_conv",
    ),
)

# ---- Task 2: sizes and windows


def count(n, k, s, p):
    return (n + 2 * p - k) // s + 1


def through(first, last, step, k, s, p):
    return first - step * p, last + step * (k - 1 - p), step * s


def at_the_head(kernel, n, step, first, last):
    """The answer, from the map of the crop, that of the picture, and the field of an element of them."""
    return kernel, n - kernel + 1, step, first, last + step * (kernel - 1)


def map_by(count=count, through=through, head=at_the_head, order=lambda layers: layers):
    """dense_map() with another rule for a layer's size, for what it sees, or for the head."""

    def dense_map(layers, crop, size):
        kernel, n, field = crop, size, (0, 0, 1)
        for layer in order(list(layers)):
            kernel, n, field = count(kernel, *layer), count(n, *layer), through(*field, *layer)
        first, last, step = field
        return head(kernel, n, step, first, last)

    return {"dense_map": dense_map}


def with_sizes(change):
    """dense_map() whose right answer is changed by change(answer, crop, size)."""
    right = map_by()["dense_map"]
    return {"dense_map": lambda layers, crop, size: change(*right(layers, crop, size), crop, size)}


def head_changed(change):
    """map_by() with the right answer changed at the end."""
    return map_by(head=lambda *seen: change(*at_the_head(*seen)))


MAP_SLIPS = (
    Slip(
        "The 1 is missing in the number of cells",
        "A map as long as the kernel has how many places for it?",
        head_changed(lambda kernel, cells, *field: (kernel, cells - 1, *field)),
        r"-\s*kernel",
    ),
    Slip(
        "Each element of the last map is taken for a cell",
        "The head's first layer needs a whole window of that map for one score.",
        map_by(head=lambda kernel, n, step, first, last: (kernel, n, step, first, last + step * (kernel - 1))),
    ),
    Slip(
        "The windows of the head lie side by side",
        "The head became a convolution of stride 1: its windows on the last map overlap.",
        map_by(head=lambda kernel, n, step, first, last: (kernel, n // kernel, step, first, last + step * (kernel - 1))),
        r"//\s*kernel",
    ),
    Slip(
        "The cells are counted as crops that fit into the picture",
        "Strides round down, in the crop and in the picture, and not always alike. Count places of the last map.",
        with_sizes(lambda kernel, cells, step, first, last, crop, size: (kernel, (size - crop) // step + 1, step, first, last)),
        r"size\s*-\s*crop",
    ),
    Slip(
        "The cells are counted as crops that fit into the picture, and one is missing",
        "A picture as large as the crop has how many? And strides do not always round alike: count places of the last map.",
        with_sizes(lambda kernel, cells, step, first, last, crop, size: (kernel, (size - crop) // step, step, first, last)),
        r"size\s*-\s*crop",
    ),
    Slip(
        "The cells are counted as windows that lie within the picture",
        "With padding a cell may see beyond the edge. Count the places of the head's kernel on the last map.",
        with_sizes(
            lambda kernel, cells, step, first, last, crop, size: (
                kernel,
                (size - last + first - 1) // step + 1,
                step,
                first,
                last,
            )
        ),
        r"//\s*step",
    ),
    Slip(
        "The kernel is taken for the crop divided by the strides",
        "For VGG and 224 that happens to be right. Follow the crop through the layers.",
        with_sizes(
            lambda kernel, cells, step, first, last, crop, size: (
                crop // step,
                cells + kernel - crop // step,
                step,
                first,
                last + step * (crop // step - kernel),
            )
        ),
        r"crop\s*/",
    ),
    Slip(
        "The kernel is that of the large picture",
        "The head's weights are those that were trained with crops; how long is their window?",
        map_by(head=lambda kernel, n, step, first, last: (n, 1, step, first, last + step * (n - 1))),
    ),
    Slip(
        "The window is that of an element of the last map, not of a cell",
        "A cell sees a whole window of the last map. What do its first and its last element see?",
        map_by(head=lambda kernel, n, step, first, last: (kernel, n - kernel + 1, step, first, last)),
    ),
    Slip(
        "The head widens the window by a pixel for each element",
        "How many pixels lie between two neighbouring elements of the last map?",
        map_by(head=lambda kernel, n, step, first, last: (kernel, n - kernel + 1, step, first, last + kernel - 1)),
    ),
    Slip(
        "The head widens the window by its whole kernel",
        "From the first to the last of three elements it is how many steps?",
        map_by(head=lambda kernel, n, step, first, last: (kernel, n - kernel + 1, step, first, last + step * kernel)),
        r"step\s*\*\s*kernel|kernel\s*\*\s*step",
    ),
    Slip(
        "The window is taken for the crop",
        "Padding lets a cell see beyond its crop, and strides may leave a crop's last pixels unseen.",
        with_sizes(lambda kernel, cells, step, first, last, crop, size: (kernel, cells, step, 0, crop - 1)),
        r"crop\s*-\s*1",
    ),
    Slip(
        "The window is as long as the crop, moved by the padding",
        "Padding makes the window longer: in a large picture there are pixels where the crop had zeros.",
        with_sizes(lambda kernel, cells, step, first, last, crop, size: (kernel, cells, step, first, first + crop - 1)),
        r"crop\s*-\s*1",
    ),
    Slip(
        "The window is cut off at the edge of the picture",
        "Pixels below 0 count here: they say how much padding cell 0 sees.",
        with_sizes(lambda kernel, cells, step, first, last, crop, size: (kernel, cells, step, 0, min(last, size - 1))),
        r"max\(|min\(|clip",
    ),
    Slip(
        "first has the wrong sign",
        "Padding lies before the picture, where pixels would have negative numbers.",
        head_changed(lambda kernel, cells, step, first, last: (kernel, cells, step, -first, last)),
        r"first",
    ),
    Slip(
        "The length of the window is given in the place of its last pixel",
        "Both ends are included. From first to last there are last - first + 1 pixels.",
        head_changed(lambda kernel, cells, step, first, last: (kernel, cells, step, first, last - first + 1)),
    ),
    Slip(
        "last is the first pixel that is not seen any more",
        "Both ends are included.",
        head_changed(lambda kernel, cells, step, first, last: (kernel, cells, step, first, last + 1)),
    ),
    Slip(
        "step is the stride of the last layer",
        "Two layers of stride 2 under each other: how many pixels are there from one element of the second to the next?",
        map_by(through=lambda a, z, t, k, s, p: (a - t * p, z + t * (k - 1 - p), s)),
        r"step",
    ),
    Slip(
        "Strides are added, not multiplied",
        "Two layers of stride 2 under each other: how many pixels are there from one element of the second to the next?",
        map_by(through=lambda a, z, t, k, s, p: (a - t * p, z + t * (k - 1 - p), t + s)),
        r"\+=|sum\(",
    ),
    Slip(
        "A layer's own stride widens its window already",
        "How far apart in the picture are neighbouring elements of its *input*? Mind the order of the updates.",
        map_by(through=lambda a, z, t, k, s, p: (a - t * s * p, z + t * s * (k - 1 - p), t * s)),
        r"\*=",
    ),
    Slip(
        "The window grows as if no layer below had a stride",
        "One element of the map below stands for a step of several pixels, once a layer below has a stride.",
        map_by(through=lambda a, z, t, k, s, p: (a - p, z + k - 1 - p, t * s)),
    ),
    Slip(
        "Each layer widens the window by its kernel, not by one less",
        "A kernel of 1 sees what its input sees. By how much does it widen the window?",
        map_by(through=lambda a, z, t, k, s, p: (a - t * p, z + t * (k - p), t * s)),
    ),
    Slip(
        "Padding is counted in pixels, whatever lies below",
        "Padding is put around the map below, and one of its elements is a step of how many pixels?",
        map_by(through=lambda a, z, t, k, s, p: (a - p, z + t * (k - 1) - p, t * s)),
    ),
    Slip(
        "Padding does not move the window",
        "With padding the first window begins before the map. Where does element 0 look, then?",
        map_by(through=lambda a, z, t, k, s, p: (a, z + t * (k - 1), t * s)),
    ),
    Slip(
        "Padding moves the beginning of the window, and not its end",
        "Padding shifts what element 0 of a layer sees; it makes it no longer.",
        map_by(through=lambda a, z, t, k, s, p: (a - t * p, z + t * (k - 1), t * s)),
    ),
    Slip(
        "The 1 is missing in the size of a map",
        "An input as long as the kernel has how many places for it?",
        map_by(count=lambda n, k, s, p: (n + 2 * p - k) // s),
        r"//",
    ),
    Slip(
        "Padding counts on one side only in the size of a map",
        "A border has two ends along each axis.",
        map_by(count=lambda n, k, s, p: (n + p - k) // s + 1),
        r"//",
    ),
    Slip(
        "Padding does not count in the size of a map",
        "The window may begin in the border. How long is the input with its border?",
        map_by(count=lambda n, k, s, p: (n - k) // s + 1),
        r"//",
    ),
    Slip(
        "The sizes of maps are rounded up",
        "A last window that does not fit whole is no window here.",
        map_by(count=lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1),
        r"ceil|-\(-",
    ),
    Slip(
        "The kernel does not count in the size of a map",
        "Only with padding (kernel - 1) / 2 and an input that the stride divides is a map as long as input / stride.",
        map_by(count=lambda n, k, s, p: n // s),
        r"//",
    ),
    Slip(
        "The layers are gone through from the last to the first",
        "They are listed from the picture upwards.",
        map_by(order=lambda layers: layers[::-1]),
        r"reversed|::-1",
    ),
)

# ---- Task 3: crops, and one answer


def beginnings(n, k, step):
    return range(0, n - k + 1, step)


def crops_by(rows=beginnings, columns=None, arrange=lambda crops: crops, border=0):
    """crops_of_cells() with crops that begin elsewhere, in a picture with so many zeros around it (a function), or turned."""

    def crops_of_cells(x, crop, step):
        (C, H, W), (h, w) = x.shape, crop
        tops, lefts = rows(H, h, step), (columns or rows)(W, w, step)
        around = border and max(h, w)
        xp = np.pad(x, ((0, 0), (around, around), (around, around)))
        crops = np.empty((len(tops), len(lefts), C, h, w))
        for (i, top), (j, left) in ((a, b) for a in enumerate(tops) for b in enumerate(lefts)):
            crops[i, j] = xp[:, top + around : top + around + h, left + around : left + around + w]
        return arrange(crops)

    return {"crops_of_cells": crops_of_cells}


def to_the_edge(n, k, step):
    """And one more that ends with the picture, if a rest is left."""
    return sorted({*beginnings(n, k, step), n - k})


def spread(n, k, step):
    return np.linspace(0, n - k, len(beginnings(n, k, step))).round().astype(int)


def exchanged(x, crop, step):
    return crops_by()["crops_of_cells"](x, crop[::-1], step)


def softmax(scores):
    p = np.exp(scores - scores.max(axis=0))
    return p / p.sum(axis=0)


def unshifted_softmax(scores):
    p = np.exp(scores)
    return p / p.sum(axis=0)


def mean_score(scores):
    return scores.mean(axis=(1, 2))


def of_each(answer):
    """dense_prediction() as the mean over maps of an answer to each."""
    return {"dense_prediction": lambda maps: np.mean([answer(np.asarray(scores)) for scores in maps], axis=0)}


def all_cells(maps):
    return np.concatenate([np.reshape(scores, (len(scores), -1)) for scores in maps], axis=1)


def votes(maps):
    winners = [mean_score(scores).argmax() for scores in maps]
    return np.bincount(winners, minlength=len(maps[0])) / len(maps)


def product_of_probabilities(maps):
    p = np.prod([softmax(mean_score(scores)) for scores in maps], axis=0)
    return p / p.sum()


def by_cells(maps):
    return np.average([softmax(mean_score(m)) for m in maps], axis=0, weights=[m[0].size for m in maps])


def shifted_by_the_largest_of_all(maps):
    scores = np.array([mean_score(scores) for scores in maps])
    p = np.exp(scores - scores.max())
    return (p / p.sum(axis=1, keepdims=True)).mean(axis=0)


def softmax_over_everything(maps):
    scores = np.array([mean_score(scores) for scores in maps])
    p = np.exp(scores - scores.max())
    return (p / p.sum()).mean(axis=0)


VIEW_SLIPS = (
    Slip(
        "The last row and the last column of crops are missing",
        "A picture of just the crop's size has one crop. range() stops before its end.",
        crops_by(lambda n, k, step: range(0, n - k, step)),
        r"range|//",
    ),
    Slip(
        "There is a crop at every pixel",
        "How far apart in the picture are neighbouring cells?",
        crops_by(lambda n, k, step: range(n - k + 1)),
        r"range|sliding_window_view",
    ),
    Slip(
        "As many crops as there are steps, but one pixel apart",
        "The number is right. Where does crop i begin?",
        crops_by(lambda n, k, step: range(len(beginnings(n, k, step)))),
        r"i\s*:|j\s*:",
    ),
    Slip(
        "The crops lie side by side",
        "Neighbouring cells see crops that overlap: they are moved by step, not by their own size.",
        crops_by(lambda n, k, step: range(0, n - k + 1, k)),
        r"range|//",
    ),
    Slip(
        "Crops hang over the edge, filled with zeros",
        "Only crops that fit into the picture whole are wanted.",
        crops_by(lambda n, k, step: range(0, n, step), border=1),
        r"pad|zeros",
    ),
    Slip(
        "The number of crops is rounded up",
        "Only crops that fit into the picture whole are wanted.",
        crops_by(lambda n, k, step: [i * step for i in range(-(-(n - k) // step) + 1)], border=1),
        r"ceil|-\(-",
    ),
    Slip(
        "One more crop ends with the picture",
        "Cells lie on a grid; where the last step does not end at the picture's edge, some pixels are left over.",
        crops_by(to_the_edge),
        r"append|H\s*-\s*h|W\s*-\s*w",
    ),
    Slip(
        "The crops are spread evenly from edge to edge",
        "Cell i begins at i * step, whatever is left over at the end.",
        crops_by(spread),
        r"linspace",
    ),
    Slip(
        "The crops lie around the places i * step",
        "Cell (0, 0) has the crop in the top left corner: it begins at row 0 and column 0.",
        crops_by(lambda n, k, step: [i - k // 2 for i in beginnings(n, k, step)], border=1),
        r"//\s*2",
    ),
    Slip(
        "Height and width of the crop are exchanged",
        "crop is (h, w): rows first.",
        {"crops_of_cells": exchanged},
        r"crop",
    ),
    Slip(
        "The crops are square",
        "crop is (h, w), and the two need not be equal.",
        {"crops_of_cells": lambda x, crop, step: crops_by()["crops_of_cells"](x, (crop[0], crop[0]), step)},
        r"\bh\b|\[0\]",
    ),
    Slip(
        "The columns of the map come first",
        "crops[i, j] is in row i of the map and column j.",
        crops_by(arrange=lambda crops: crops.swapaxes(0, 1)),
        r"for",
    ),
    Slip(
        "The crops are in one long row",
        "Rows and columns of the map are two axes, (OH, OW, C, h, w).",
        crops_by(arrange=lambda crops: crops.reshape(-1, *crops.shape[2:])),
        r"append",
    ),
    Slip(
        "The channels come first",
        "Each crop is a picture (C, h, w), and OH x OW of them are wanted: (OH, OW, C, h, w).",
        crops_by(arrange=lambda crops: np.moveaxis(crops, 2, 0)),
        r"sliding_window_view|transpose|moveaxis",
    ),
    Slip(
        "The channels come last",
        "Each crop is a picture (C, h, w), and OH x OW of them are wanted: (OH, OW, C, h, w).",
        crops_by(arrange=lambda crops: np.moveaxis(crops, 2, -1)),
        r"transpose|moveaxis",
    ),
    Slip(
        "The step counts along the rows of the map only",
        "The picture is gone through in steps along both axes.",
        crops_by(beginnings, lambda n, k, step: range(n - k + 1)),
        r"range|::",
    ),
    Slip(
        "The first crop is missing",
        "Cell (0, 0) has the crop that begins at row 0 and column 0.",
        crops_by(lambda n, k, step: range(step, n - k + 1, step)),
        r"range",
    ),
    Slip(
        "Softmax is taken of every cell, and then the mean",
        "Here the scores of a map are averaged first, and softmax comes once a map.",
        of_each(lambda scores: mean_score(softmax(scores))),
        r"softmax|exp",
    ),
    Slip(
        "The largest score of a map is taken, and not its mean",
        "The largest of many cells is the answer of the one that is most mistaken. All have a say.",
        of_each(lambda scores: softmax(scores.max(axis=(1, 2)))),
        r"max\(",
    ),
    Slip(
        "The cells of all maps are thrown together",
        "A larger map has more cells, but not more of a say.",
        {"dense_prediction": lambda maps: softmax(all_cells(maps).mean(axis=1))},
        r"concatenate|hstack|len",
    ),
    Slip(
        "Softmax is taken of every cell, and all of them are thrown together",
        "The scores of a map are averaged first; and a larger map has not more of a say.",
        {"dense_prediction": lambda maps: softmax(all_cells(maps)).mean(axis=1)},
        r"concatenate|hstack|len",
    ),
    Slip(
        "A map counts by its number of cells",
        "A larger map has more cells, but not more of a say.",
        {"dense_prediction": by_cells},
        r"weights|size|shape",
    ),
    Slip(
        "The scores are averaged over the maps, too, and softmax comes at the end",
        "Each map has an answer of its own, in probabilities. Those are averaged.",
        {"dense_prediction": lambda maps: softmax(np.mean([mean_score(scores) for scores in maps], axis=0))},
        r"mean",
    ),
    Slip(
        "The probabilities of the maps are multiplied",
        "Add them up and divide by M.",
        {"dense_prediction": product_of_probabilities},
        r"prod|\*=",
    ),
    Slip(
        "The scores are added up over the cells, not averaged",
        "A sum grows with the size of the map, and softmax makes that much surer of itself.",
        of_each(lambda scores: softmax(scores.sum(axis=(1, 2)))),
        r"sum\(",
    ),
    Slip(
        "The probabilities are added up over the maps, not averaged",
        "The result is probabilities again, and must sum to 1.",
        {"dense_prediction": lambda maps: sum(softmax(mean_score(scores)) for scores in maps)},
        r"sum\(|\+=",
    ),
    Slip(
        "Scores come back, not probabilities",
        "Where is the softmax?",
        of_each(mean_score),
        r"mean",
    ),
    Slip(
        "Only the first map is asked",
        "Every map has a say.",
        {"dense_prediction": lambda maps: softmax(mean_score(maps[0]))},
        r"\[0\]",
    ),
    Slip(
        "The maps vote",
        "A vote forgets how sure a map was. Average the probabilities themselves.",
        {"dense_prediction": votes},
        r"argmax",
    ),
    Slip(
        "Softmax runs over all maps together",
        "The probabilities of each map sum to 1.",
        {"dense_prediction": softmax_over_everything},
        r"sum\(",
    ),
    Slip(
        "The largest score of all maps is subtracted everywhere",
        "A map whose scores lie far below it is left with exp(-1000) = 0 only. Each map has a largest score of its own.",
        {"dense_prediction": shifted_by_the_largest_of_all},
        r"max\(",
    ),
    Slip(
        "Scores of 1000 overflow",
        "Subtract each map's largest score first; it changes nothing in the probabilities.",
        of_each(lambda scores: unshifted_softmax(mean_score(scores))),
        r"exp",
    ),
)

# ---- Task 4: class activation maps


def cam_by(bias=lambda b, x: b, change=lambda maps, x: maps, weights=lambda w: w):
    """class_activation_maps() with other biases or weights, or something done to the maps."""

    def class_activation_maps(x, w, b):
        return change(np.einsum("kc,chw->khw", weights(w), x) + bias(b, x)[:, None, None], x)

    return {"class_activation_maps": class_activation_maps}


def scaled_to_one(maps, x):
    lowest, highest = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    return (maps - lowest) / (highest - lowest)


def half_pixels(N, n):
    return (np.arange(N) + 0.5) * n / N - 0.5


def clipped(at, n):
    """The two of n places between which each lies, and how far it is on the way to the second."""
    at = np.clip(at, 0, n - 1)
    before = np.floor(at).astype(int)
    return before, np.minimum(before + 1, n - 1), at - before


def wrapped(at, n):
    before = np.floor(at).astype(int)
    return before % n, (before + 1) % n, at - before


def continued(at, n):
    before = np.clip(np.floor(at).astype(int), 0, max(n - 2, 0))
    return before, np.minimum(before + 1, n - 1), at - before


def matrix_of(N, n, places=half_pixels, neighbours=clipped, share=lambda t: t):
    """The matrix (N, n) that makes N values of n."""
    before, after, t = neighbours(places(N, n), n)
    matrix, rows = np.zeros((N, n)), np.arange(N)
    np.add.at(matrix, (rows, before), 1 - share(t))
    np.add.at(matrix, (rows, after), share(t))
    return matrix


def enlarged_by(columns=None, **options):
    """enlarge() with other places, other neighbours or another share for them; or another one along the columns."""

    def enlarge(m, size):
        (h, w), (H, W) = m.shape, size
        return matrix_of(H, h, **options) @ m @ matrix_of(W, w, **(columns or options)).T

    return {"enlarge": enlarge}


def nearest(t):
    return np.where(t < 0.5, 0.0, 1.0)


def in_blocks(m, size):
    rows, columns = (np.arange(N) * n // N for N, n in zip(size, m.shape, strict=True))
    return m[np.ix_(rows, columns)]


def repeated(m, size):
    rows, columns = (N // n for N, n in zip(size, m.shape, strict=True))
    return np.repeat(np.repeat(m, rows, axis=0), columns, axis=1)


def size_turned(m, size):
    return enlarged_by()["enlarge"](m, size[::-1])


def among_zeros(m, size):
    rows, columns = (
        matrix_of(N, n + 2, places=lambda N, n: half_pixels(N, n - 2) + 1) for N, n in zip(size, m.shape, strict=True)
    )
    return rows @ np.pad(m, 1) @ columns.T


CAM_SLIPS = (
    Slip(
        "The bias is left out of the maps",
        "The mean of M[k] is the score s[k], and that has a b[k] in it.",
        cam_by(bias=lambda b, x: 0 * b),
    ),
    Slip(
        "The bias is divided by the number of places",
        "The mean of a number that is the same everywhere is that number, not the number times the places.",
        cam_by(bias=lambda b, x: b / x[0].size),
        r"/",
    ),
    Slip(
        "The maps are divided by the number of places",
        "That is the share of each place in the score. M is so large that its mean is the score.",
        cam_by(change=lambda maps, x: maps / x[0].size),
        r"/|mean",
    ),
    Slip(
        "The parts of the feature maps are divided by the number of places, and the bias is not",
        "Without the bias, what is the mean of your map, and what should it be?",
        cam_by(bias=lambda b, x: b * x[0].size, change=lambda maps, x: maps / x[0].size),
        r"/",
    ),
    Slip(
        "The channels are averaged, not added up",
        "s[k] is a sum over all channels, each with its weight.",
        cam_by(bias=lambda b, x: b * len(x), change=lambda maps, x: maps / len(x)),
        r"mean|/",
    ),
    Slip(
        "Negative values are cut off",
        "What speaks against a class counts in its score as well. (Grad-CAM cuts them off, to draw; these maps do not.)",
        cam_by(change=lambda maps, x: np.maximum(maps, 0)),
        r"maximum|clip|relu|>",
    ),
    Slip(
        "Negative values are cut off, and the bias is left out",
        "That is Grad-CAM. Here the mean of the map is to be the score.",
        cam_by(bias=lambda b, x: 0 * b, change=lambda maps, x: np.maximum(maps, 0)),
        r"maximum|clip|relu|>",
    ),
    Slip(
        "Each map is scaled to 0 to 1",
        "That is for drawing. Afterwards nobody can tell which class has the higher score.",
        cam_by(change=scaled_to_one),
        r"min\(|max\(",
    ),
    Slip(
        "Softmax is taken over the classes at each place",
        "The maps are of scores: their mean, and no softmax, gives s.",
        cam_by(change=lambda maps, x: softmax(maps)),
        r"exp|softmax",
    ),
    Slip(
        "The scores come back, not maps of them",
        "Leave the average out: the classifier is applied at each place.",
        cam_by(change=lambda maps, x: maps.mean(axis=(1, 2))),
        r"mean",
    ),
    Slip(
        "The sizes of the weights are used, without their signs",
        "A channel with a negative weight speaks against the class.",
        cam_by(weights=np.abs),
        r"abs",
    ),
    Slip(
        "Channels with negative weights are left out",
        "A channel with a negative weight speaks against the class.",
        cam_by(weights=lambda w: np.maximum(w, 0)),
        r"maximum|clip|>",
    ),
    Slip(
        "The classes come last",
        "M[k] is the map of class k: (K, H, W).",
        cam_by(change=lambda maps, x: np.moveaxis(maps, 0, -1)),
        r"tensordot|@|transpose|einsum",
    ),
    Slip(
        "Rows and columns of the maps are exchanged",
        "x is (C, H, W), and M is (K, H, W).",
        cam_by(change=lambda maps, x: maps.swapaxes(1, 2)),
        r"\.T|transpose|swapaxes|einsum",
    ),
    Slip(
        "Corners are laid on corners",
        "Here a pixel is a little square with its value in the middle. The middles of the outermost squares of the picture do "
        "not lie on those of the map.",
        enlarged_by(places=lambda N, n: np.linspace(0, n - 1, N)),
        r"linspace|-\s*1\)\s*/",
    ),
    Slip(
        "y goes in steps of (h - 1) / H from the first corner",
        "A row of the picture is h / H of a row of the map; and its middle is where it lies.",
        enlarged_by(places=lambda N, n: np.arange(N) * (n - 1) / N),
        r"-\s*1\)\s*/",
    ),
    Slip(
        "The halves are missing in y",
        "Row r has its middle at r + 1/2; and the map's row 0, which has the number 0, has its own at 1/2.",
        enlarged_by(places=lambda N, n: np.arange(N) * n / N),
        r"arange|\*\s*h|/\s*H",
    ),
    Slip(
        "One half is missing: the middles of the map's rows are at 0, 1, 2",
        "A row's number is its middle, minus 1/2.",
        enlarged_by(places=lambda N, n: (np.arange(N) + 0.5) * n / N),
        r"0\.5|/\s*2",
    ),
    Slip(
        "The nearest value is taken",
        "Between two values the map is to go over from one to the other.",
        enlarged_by(share=nearest),
        r"round|rint|int\(",
    ),
    Slip(
        "Values are repeated in blocks",
        "Between two values the map is to go over from one to the other.",
        {"enlarge": in_blocks},
        r"repeat|kron|//|floor",
    ),
    Slip(
        "Each value is repeated as often as the map's side goes into the picture's",
        "The picture need not be a whole number of maps long; and between two values the map is to go over from one to the "
        "other.",
        {"enlarge": repeated},
        r"repeat|kron|tile",
    ),
    Slip(
        "The two neighbours have exchanged their shares",
        "At t = 0 the place is just that of y0. Which of the two must count fully there?",
        enlarged_by(share=lambda t: 1 - t),
        r"1\s*-\s*t|t\s*\*",
    ),
    Slip(
        "Both neighbours count one half",
        "The nearer one counts more.",
        enlarged_by(share=lambda t: np.full_like(t, 0.5)),
        r"0\.5|/\s*2",
    ),
    Slip(
        "Height and width of the picture are exchanged",
        "size is (H, W): rows first.",
        {"enlarge": size_turned},
        r"size",
    ),
    Slip(
        "Only the rows are interpolated",
        "The columns take the nearest one. Both axes go the same way.",
        enlarged_by(columns={"share": nearest}),
        r"round|rint|int\(",
    ),
    Slip(
        "Beyond the outermost middles the line goes on",
        "y must not be less than 0 nor more than h - 1; out there the outermost value stays as it is.",
        enlarged_by(neighbours=continued),
        r"clip|minimum|min\(",
    ),
    Slip(
        "The edges are mixed with the opposite side of the map",
        "A y below 0 has floor(y) = -1, and Python takes index -1 from the end. What should be done with such a y?",
        enlarged_by(neighbours=wrapped),
        r"floor|%",
    ),
    Slip(
        "The map is surrounded by zeros",
        "y must not be less than 0 nor more than h - 1; out there the outermost value stays as it is.",
        {"enlarge": among_zeros},
        r"pad|zeros",
    ),
)

# ---- Task 5: costs


def costs_by(
    size_of=count,
    places=lambda below, above: above,
    window=lambda k: k * k,
    seen=lambda C: C,
    every_layer_sees_the_picture=False,
    pool=lambda C, k: 0,
    after_a_pool=lambda C: C,
    bias=0,
    inputs=lambda C, h, w: C * h * w,
    upper=lambda before, lowest: before,
    cells_of=lambda of_crop, of_picture, crop, size, steps: [b - a + 1 for a, b in zip(of_crop, of_picture, strict=True)],
    total=lambda below, above, cells, of_crop: (below + cells * above, cells * (of_crop + above)),
):
    """dense_and_crops() with another rule for one of its parts."""

    def below(C, layers, size):
        work, step, first = 0, 1, C
        for F, k, s, p in layers:
            after = tuple(size_of(n, k, s, p) for n in size)
            H, W = places(size, after)
            work += H * W * (F * (seen(first if every_layer_sees_the_picture else C) * window(k) + bias) if F else pool(C, k))
            C, size, step = F or after_a_pool(C), after, step * s
        return work, C, size, step

    def dense_and_crops(channels, layers, head, crop, size):
        of_crop, C, small, step = below(channels, layers, crop)
        of_picture, _, large, _ = below(channels, layers, size)
        above, lowest = 0, inputs(C, *small)
        before = lowest
        for units in head:
            above += (before + bias) * units
            before = upper(units, lowest)
        cells = math.prod(cells_of(small, large, crop, size, step))
        return total(of_picture, above, cells, of_crop)

    return {"dense_and_crops": dense_and_crops}


def square(of_crop, of_picture, crop, size, step):
    return [of_picture[0] - of_crop[0] + 1] * 2


COST_SLIPS = (
    Slip(
        "The head is counted once in the dense pass",
        "As convolutions the head's layers compute a number for each cell of the map.",
        costs_by(total=lambda below, above, cells, of_crop: (below + above, cells * (of_crop + above))),
    ),
    Slip(
        "The layers below the head are counted for every cell in the dense pass",
        "That they run only once, over the whole picture, is the point of it.",
        costs_by(total=lambda below, above, cells, of_crop: (cells * (below + above), cells * (of_crop + above))),
    ),
    Slip(
        "One crop is counted, not all of them",
        "There is a crop for each cell of the map.",
        costs_by(total=lambda below, above, cells, of_crop: (below + cells * above, of_crop + above)),
    ),
    Slip(
        "The crops share what is below the head",
        "The network runs anew for each crop, from the picture upwards.",
        costs_by(total=lambda below, above, cells, of_crop: (below + cells * above, of_crop + cells * above)),
    ),
    Slip(
        "The head is left out of the crops",
        "The network runs anew for each crop, to the last layer.",
        costs_by(total=lambda below, above, cells, of_crop: (below + cells * above, cells * of_crop)),
    ),
    Slip(
        "The head is left out",
        "Its layers have multiply-adds as well, one for each input and output at each place.",
        costs_by(total=lambda below, above, cells, of_crop: (below, cells * of_crop)),
    ),
    Slip(
        "The two numbers are exchanged",
        "The dense pass comes first.",
        costs_by(total=lambda below, above, cells, of_crop: (cells * (of_crop + above), below + cells * above)),
        r"return",
    ),
    Slip(
        "Multiplications and additions are counted separately",
        "A multiply-add counts as one.",
        costs_by(total=lambda below, above, cells, of_crop: (2 * (below + cells * above), 2 * cells * (of_crop + above))),
        r"2\s*\*",
    ),
    Slip(
        "The crops are counted side by side",
        "Neighbouring cells stand for crops that overlap. Count the places of the head's window on the last map.",
        costs_by(cells_of=lambda of_crop, of_picture, crop, size, step: [n // k for n, k in zip(size, crop, strict=True)]),
        r"//",
    ),
    Slip(
        "Each element of the last map is taken for a cell",
        "The head's first layer needs a whole window of that map for one score.",
        costs_by(cells_of=lambda of_crop, of_picture, crop, size, step: of_picture),
    ),
    Slip(
        "A cell is counted for every pixel",
        "Cells are places of the head's window on the last map, which the strides have made small.",
        costs_by(cells_of=lambda of_crop, of_picture, crop, size, step: [n - k + 1 for n, k in zip(size, crop, strict=True)]),
    ),
    Slip(
        "The 1 is missing in the number of cells",
        "A map as long as the kernel has how many places for it?",
        costs_by(
            cells_of=lambda of_crop, of_picture, crop, size, step: [b - a for a, b in zip(of_crop, of_picture, strict=True)]
        ),
    ),
    Slip(
        "The windows of the head lie side by side",
        "The head became a convolution of stride 1: its windows on the last map overlap.",
        costs_by(
            cells_of=lambda of_crop, of_picture, crop, size, step: [b // a for a, b in zip(of_crop, of_picture, strict=True)]
        ),
        r"//",
    ),
    Slip(
        "The cells are counted as crops that fit into the picture",
        "Strides round down, in the crop and in the picture, and not always alike. Count places of the last map.",
        costs_by(
            cells_of=lambda of_crop, of_picture, crop, size, step: [
                (n - k) // step + 1 for n, k in zip(size, crop, strict=True)
            ]
        ),
        r"//",
    ),
    Slip(
        "The map is taken to have as many columns as rows of cells",
        "Pictures, crops and maps need not be square.",
        costs_by(cells_of=square),
        r"\*\*\s*2",
    ),
    Slip(
        "A convolution is counted at the places of its input",
        "A filter computes one number for each place of its *output*.",
        costs_by(places=lambda below, above: below),
    ),
    Slip(
        "The kernel counts once, not squared",
        "A window has kernel rows and kernel columns.",
        costs_by(window=lambda k: k),
    ),
    Slip(
        "A filter sees one channel only",
        "Each filter goes through all channels of its input.",
        costs_by(seen=lambda C: 1),
    ),
    Slip(
        "Every convolution is taken to see the channels of the picture",
        "The input of the second convolution is the output of the layer below.",
        costs_by(every_layer_sees_the_picture=True),
    ),
    Slip(
        "Pools are counted like convolutions",
        "A pool has no weights to multiply with.",
        costs_by(pool=lambda C, k: C * k * k),
    ),
    Slip(
        "Pools are counted like convolutions on all channels",
        "A pool has no weights to multiply with.",
        costs_by(pool=lambda C, k: C * C * k * k),
    ),
    Slip(
        "After a pool there are no channels left",
        "F = 0 says that it is a pool. It keeps the channels of its input.",
        costs_by(after_a_pool=lambda C: 0),
        r"=",
    ),
    Slip(
        "After a pool there is one channel left",
        "A pool keeps the channels of its input.",
        costs_by(after_a_pool=lambda C: 1),
    ),
    Slip(
        "Biases are counted",
        "Adding a bias is no multiplication; by our rule it costs nothing.",
        costs_by(bias=1),
        r"\+\s*1",
    ),
    Slip(
        "The first layer of the head has one input for each channel only",
        "It stands on the whole volume that a crop has become, C h w numbers.",
        costs_by(inputs=lambda C, h, w: C),
    ),
    Slip(
        "The first layer of the head does not see the channels",
        "It stands on the whole volume that a crop has become, C h w numbers.",
        costs_by(inputs=lambda C, h, w: h * w),
    ),
    Slip(
        "Every layer of the head stands on the volume",
        "The second layer's inputs are the outputs of the first.",
        costs_by(upper=lambda before, lowest: lowest),
    ),
    Slip(
        "Padding does not count in the size of a map",
        "The window may begin in the border. How long is the input with its border?",
        costs_by(size_of=lambda n, k, s, p: (n - k) // s + 1),
        r"//",
    ),
    Slip(
        "Padding counts on one side only in the size of a map",
        "A border has two ends along each axis.",
        costs_by(size_of=lambda n, k, s, p: (n + p - k) // s + 1),
        r"//",
    ),
    Slip(
        "The 1 is missing in the size of a map",
        "An input as long as the kernel has how many places for it?",
        costs_by(size_of=lambda n, k, s, p: (n + 2 * p - k) // s),
        r"//",
    ),
    Slip(
        "The sizes of maps are rounded up",
        "A last window that does not fit whole is no window here.",
        costs_by(size_of=lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1),
        r"ceil|-\(-",
    ),
)
