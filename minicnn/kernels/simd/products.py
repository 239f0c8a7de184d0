"""The one product that everything is made of: some pixels times some filters, whose sums stay in registers until they are done.

y[i, f] = clip(bias[f] + z[i, f] + sum over k of x[at_i + offset_k] * w[k, f])

Here i < ROWS are pixels, or whatever else has a place in x; f runs over up to `MOST_VECTORS` vectors of filters. For each k,
the vectors w[k] are read once and multiplied with one number of each pixel. With channels last in memory (see
``kernels.layout``) that is

- the convolution itself: k runs over the taps and channels of a window, and the places of x over windows;
- the gradient to its input: the same with the filters turned, from dy;
- the gradient to its filters: k runs over pixels, the places of x over taps and channels, and w is dy;
- Winograd's products, for each element of the transformed tiles;
- 1x1 filters, where a window is a pixel.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import lower_builtin

from ...runtime.compilation import loop
from .vectors import (
    FUSED,
    PIECE,
    VECTOR_WIDTH,
    Vector,
    first_of_vector,
    in_each_lane,
    load,
    masked_load,
    masked_store,
    returns,
    store,
    transpose,
    vectors_of,
)

ROWS = 6  # six rows of one vector are twelve of the sixteen registers of AVX2; of four, 24 of the 32 of AVX-512
HAS_AVX512 = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]  # what Numba compiles for
MOST_VECTORS = 4 if HAS_AVX512 else 1  # of filters at a time; more sums than that do not stay in the registers
LONG = ir.IntType(64)


def vectors_at_once(dtype: np.dtype) -> int:
    """How many vectors of filters go together at most: one of float64 takes twice the registers."""
    return max(MOST_VECTORS * 4 // np.dtype(dtype).itemsize, 1)


def multiply_tile(x, places, p, offsets, steps, w, at, vectors, bias, clip, z, y, columns):
    """The sums of ROWS pixels and ``vectors`` vectors of filters, from place number p on.

    y[places[2, p + i] + c_v + lane] = clip(bias[c_v + lane] + z[places[1, p + i] + c_v + lane]
        + sum over r, l of x[places[0, p + i] + offsets[r] + l*x_step] * w[at + (r*length + l)*w_step + d_v + lane])

    Everything is flat. ``steps`` is (length, x_step, w_step, last of d), ``columns`` (first of c, last of c, count of lanes):
    c_v and d_v are one vector after the other, but for the last, which may overlap the one before. Where there is one vector
    only, ``count`` of its lanes are looked at in z and y. Without numbers in z nothing is added.
    """
    length, x_step, w_step, last_d = steps
    first_c, last_c, count = columns
    lanes = np.arange(VECTOR_WIDTH if vectors > 1 else count)
    rows = []
    for i in range(ROWS):
        for v in range(vectors):
            is_last = v == vectors - 1
            c, d = (last_c if is_last else first_c + v * VECTOR_WIDTH), (last_d if is_last else v * VECTOR_WIDTH)
            total = bias[c + lanes]
            if len(z):
                total = total + z[places[1, p + i] + c + lanes]
            for r in range(len(offsets)):
                for k in range(length):
                    number = x[places[0, p + i] + offsets[r] + k * x_step]
                    total = total + number * w[at + (r * length + k) * w_step + d + lanes]
            total = np.where(total < clip[0], clip[0], total)
            rows.append((places[2, p + i] + c, np.where(total > clip[1], clip[1], total)))
    for place, total in rows:
        y[place + lanes] = total


returns(multiply_tile, lambda x, places, p, offsets, steps, w, at, vectors, bias, clip, z, y, columns: types.none)


@lower_builtin(
    multiply_tile, types.Array, types.Array, types.Integer, types.Array, types.UniTuple, types.Array, types.Integer,
    types.Integer, types.Array, types.UniTuple, types.Array, types.Array, types.UniTuple
)  # fmt: skip
def _multiply_tile(context, builder, signature, arguments):
    tile = _Tile(context, builder, signature.args, arguments)
    vectors, done = arguments[7], builder.append_basic_block("tile.done")
    choice = builder.switch(vectors, done)
    for count in range(1, MOST_VECTORS + 1):
        block = builder.append_basic_block(f"tile.{count}")
        choice.add_case(ir.Constant(vectors.type, count), block)
        builder.position_at_end(block)
        tile.write(count)
        builder.branch(done)
    builder.position_at_end(done)
    return context.get_dummy_value()


class _Tile:
    """Writes the instructions of `multiply_tile` for a number of vectors."""

    def __init__(self, context, builder, types_of, arguments):
        self.context, self.builder = context, builder
        x, places, p, offsets, steps, w, at, _, bias, clip, z, y, columns = arguments
        self.dtype = types_of[0].dtype
        self.vector = context.get_value_type(Vector(self.dtype))
        arrays = {"x": (x, 0), "places": (places, 1), "offsets": (offsets, 3), "w": (w, 5), "bias": (bias, 8)}
        arrays |= {"z": (z, 10), "y": (y, 11)}
        structs = {name: context.make_array(types_of[i])(context, builder, array) for name, (array, i) in arrays.items()}
        self.data = {name: struct.data for name, struct in structs.items()}
        self.size = {name: builder.extract_value(structs[name].shape, 0) for name in ("offsets", "z")}
        self.count_of_places = builder.extract_value(structs["places"].shape, 1)
        self.p, self.at = p, at
        self.length, self.x_step, self.w_step, self.last_d = (builder.extract_value(steps, i) for i in range(4))
        self.first_c, self.last_c, self.count = (builder.extract_value(columns, i) for i in range(3))
        self.clip = [in_each_lane(builder, self.vector, builder.extract_value(clip, i)) for i in range(2)]
        self.alignment = context.get_abi_sizeof(self.vector.element)

    def write(self, vectors):
        builder, shape = self.builder, [(i, v) for i in range(ROWS) for v in range(vectors)]
        sums = self._products(vectors)
        c = [self.last_c if v == vectors - 1 else self._plus(self.first_c, v * VECTOR_WIDTH) for v in range(vectors)]
        bias = [self._load("bias", c_v) for c_v in c]
        sums = [builder.fadd(total, bias[v]) for total, (_, v) in zip(sums, shape, strict=True)]
        sums = self._add_z(sums, c, shape)
        sums = [self._clipped(total) for total in sums]
        if vectors > 1:
            self._store(sums, c, shape, None)
            return
        with builder.if_else(builder.icmp_signed("==", self.count, LONG(VECTOR_WIDTH))) as (whole, part):
            with whole:
                self._store(sums, c, shape, None)
            with part:
                self._store(sums, c, shape, self.count)

    def _products(self, vectors):
        """The sums over k: two loops, over the runs of x that follow each other, and within each of them."""
        builder, zero = self.builder, ir.Constant(self.vector, [0.0] * VECTOR_WIDTH)
        rows = [builder.gep(self.data["x"], [self._place_of(0, i)]) for i in range(ROWS)]
        first_w = builder.gep(self.data["w"], [self.at])
        before, (run, k, after, done) = builder.block, map(builder.append_basic_block, ("run", "k", "after.run", "sums"))
        builder.branch(run)

        builder.position_at_end(run)
        r = self._phi(LONG, (LONG(0), before))
        w_of_run = self._phi(self.data["w"].type, (first_w, before))
        sums_of_run = [self._phi(self.vector, (zero, before)) for _ in range(ROWS * vectors)]
        offset = builder.load(builder.gep(self.data["offsets"], [r]))
        starts = [builder.gep(row, [offset]) for row in rows]
        builder.branch(k)

        builder.position_at_end(k)
        number, x_at = self._phi(LONG, (LONG(0), run)), self._phi(LONG, (LONG(0), run))
        w_at = self._phi(w_of_run.type, (w_of_run, run))
        sums = [self._phi(self.vector, (total, run)) for total in sums_of_run]
        d = [self.last_d if v == vectors - 1 else LONG(v * VECTOR_WIDTH) for v in range(vectors)]
        w_k = [self._load_from(builder.gep(w_at, [d_v])) for d_v in d]
        new = []
        for i, start in enumerate(starts):
            x_i = in_each_lane(builder, self.vector, builder.load(builder.gep(start, [x_at])))
            for v in range(vectors):
                product = builder.fmul(x_i, w_k[v], flags=FUSED)
                new.append(builder.fadd(product, sums[i * vectors + v], flags=FUSED))
        next_number, next_w = builder.add(number, LONG(1)), builder.gep(w_at, [self.w_step])
        number.add_incoming(next_number, k)
        x_at.add_incoming(builder.add(x_at, self.x_step), k)
        w_at.add_incoming(next_w, k)
        for total, following in zip(sums, new, strict=True):
            total.add_incoming(following, k)
        builder.cbranch(builder.icmp_signed("<", next_number, self.length), k, after)

        builder.position_at_end(after)
        next_r = builder.add(r, LONG(1))
        r.add_incoming(next_r, after)
        w_of_run.add_incoming(next_w, after)
        for total, following in zip(sums_of_run, new, strict=True):
            total.add_incoming(following, after)
        builder.cbranch(builder.icmp_signed("<", next_r, self.size["offsets"]), run, done)
        builder.position_at_end(done)
        return new

    def _add_z(self, sums, c, shape):
        builder, before = self.builder, self.builder.block
        with builder.if_then(builder.icmp_signed(">", self.size["z"], LONG(0))):
            places = [builder.add(self._place_of(1, i), c[v]) for i, v in shape]
            if len(c) > 1:
                with_z = [builder.fadd(total, self._load("z", at)) for total, at in zip(sums, places, strict=True)]
            else:
                with_z = [builder.fadd(total, self._load_counted("z", at)) for total, at in zip(sums, places, strict=True)]
            inside = builder.block
        chosen = []
        for total, other in zip(sums, with_z, strict=True):
            phi = builder.phi(self.vector)
            phi.add_incoming(total, before)
            phi.add_incoming(other, inside)
            chosen.append(phi)
        return chosen

    def _clipped(self, total):
        low, high = self.clip
        total = self.builder.select(self.builder.fcmp_ordered("<", total, low), low, total)
        return self.builder.select(self.builder.fcmp_ordered(">", total, high), high, total)

    def _store(self, sums, c, shape, count):
        builder = self.builder
        for total, (i, v) in zip(sums, shape, strict=True):
            place = self._vector_at("y", builder.add(self._place_of(2, i), c[v]))
            if count is None:
                builder.store(total, place, align=self.alignment)
            else:
                masked_store(builder, total, place, self.alignment, count)

    def _place_of(self, kind, i):
        """places[kind, p + i]"""
        builder = self.builder
        at = builder.add(builder.mul(LONG(kind), self.count_of_places), builder.add(self.p, LONG(i)))
        return builder.load(builder.gep(self.data["places"], [at]))

    def _phi(self, kind, incoming):
        phi = self.builder.phi(kind)
        phi.add_incoming(*incoming)
        return phi

    def _plus(self, at, step):
        return self.builder.add(at, LONG(step))

    def _vector_at(self, name, at):
        return self.builder.bitcast(self.builder.gep(self.data[name], [at]), self.vector.as_pointer())

    def _load(self, name, at):
        return self.builder.load(self._vector_at(name, at), align=self.alignment)

    def _load_counted(self, name, at):
        place = self._vector_at(name, at)
        return masked_load(self.context, self.builder, Vector(self.dtype), place, self.alignment, self.count)

    def _load_from(self, pointer):
        return self.builder.load(self.builder.bitcast(pointer, self.vector.as_pointer()), align=self.alignment)


@loop
def multiply(x, places, offsets, steps, w, at, vectors, bias, clip, z, y, columns):
    """`multiply_tile` for all places; their number is a multiple of ROWS."""
    for p in range(0, places.shape[1], ROWS):
        multiply_tile(x, places, p, offsets, steps, w, at, vectors, bias, clip, z, y, columns)


@loop
def matrix_rows(count, x_step, y_step):
    """``places`` of the rows of a matrix, for `multiply`; the last is repeated until they are a multiple of ROWS."""
    places = np.empty((3, (count + ROWS - 1) // ROWS * ROWS), np.int64)
    for i in range(places.shape[1]):
        row = min(i, count - 1)
        places[0, i], places[1, i], places[2, i] = row * x_step, row * y_step, row * y_step
    return places


def panels(columns: int, dtype: np.dtype) -> np.ndarray:
    """How filters, or other columns of a product, are divided into panels, whose vectors go together.

    Returns
    -------
    panels : int64 (count, 5)
        Of each: its vectors; its first column; the column of its last vector, which overlaps the one before where ``columns``
        is no multiple of VECTOR_WIDTH; how many lanes count, fewer than all where there are fewer columns; how many vectors
        there are before it.

    >>> set(panels(40, np.float64)[:, 3].tolist())
    {16}
    >>> panels(10, np.float64).tolist()
    [[1, 0, 0, 10, 0]]
    """
    blocks = vectors_of(columns)
    count = -(-blocks // vectors_at_once(dtype))
    rows = []
    for panel in range(count):
        first, end = blocks * panel // count, blocks * (panel + 1) // count
        last = first_of_vector(end - 1, columns)
        rows.append((end - first, first * VECTOR_WIDTH if end - first > 1 else last, last, min(columns, VECTOR_WIDTH), first))
    return np.array(rows)


def flat_filters(w: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
    """w (F, C, KH, KW) as flat memory, and the numbers from a filter to the next, from a channel and from a tap.

    Filters that lie side by side, (KH, KW, C, F) in memory, are taken as they are; others are brought into C's order.
    """
    F, C, KH, KW = w.shape
    if w.transpose(2, 3, 1, 0).flags.c_contiguous:
        return w.transpose(2, 3, 1, 0).reshape(-1), (1, F, C * F)
    return np.ascontiguousarray(w).reshape(-1), (C * KH * KW, KH * KW, 1)


@loop
def pack(w, taps, channels, steps, panels, packed):
    """packed[panel, (t, c), vector, lane] = w[column*column_step + c*channel_step + taps[t]*tap_step], w and packed flat.

    ``steps`` is (column_step, channel_step, tap_step). The columns of a panel as `panels` has them; lanes beyond the last
    column are 0.
    """
    column_step, channel_step, tap_step = steps
    count, rows = len(taps), np.arange(VECTOR_WIDTH) * column_step
    # of a column, numbers that lie side by side: all of them, or those of a channel
    channels_in_line = channels if channel_step == count else 1
    line, in_order = channels_in_line * count, tap_step == 1
    for t in range(count):
        in_order = in_order and taps[t] == t
    for vectors, first, last, lanes, before in panels:
        start, width = before * count * channels * VECTOR_WIDTH, vectors * VECTOR_WIDTH
        places = np.empty(line, np.int64)
        for k in range(line):
            places[k] = (k % count * channels + k // count) * width
        for v in range(vectors):
            column = last if v == vectors - 1 else first + v * VECTOR_WIDTH
            for c in range(0, channels, channels_in_line):
                source, target = column * column_step + c * channel_step, start + c * width + v * VECTOR_WIDTH
                if lanes < VECTOR_WIDTH or (column_step > 1 and (line < PIECE or not in_order)):
                    for k in range(line):
                        number = source + k // count * channel_step + taps[k % count] * tap_step
                        for lane in range(VECTOR_WIDTH):
                            packed[target + places[k] + lane] = w[number + rows[lane]] if lane < lanes else 0
                elif column_step == 1:
                    for k in range(line):
                        at = source + k // count * channel_step + taps[k % count] * tap_step
                        store(load(w, at), packed, target + places[k])
                else:
                    for some in range(0, line, PIECE):
                        k = min(some, line - PIECE)  # the last pieces overlap those before
                        transpose(w, source + k, rows, packed, target, places, k)


def pack_matrix(w: np.ndarray, of_columns: np.ndarray) -> np.ndarray:
    """w (columns, K) as `pack` writes it, with K channels of one tap; flat."""
    columns, K = w.shape
    packed = np.empty(vectors_of(columns) * VECTOR_WIDTH * K, w.dtype)
    pack(np.ascontiguousarray(w).reshape(-1), np.zeros(1, np.int64), K, (K, 1, 1), of_columns, packed)
    return packed
