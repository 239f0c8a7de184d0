"""Vectors of LANES numbers for Numba loops, which keep them in the processor's registers: ``array[at : at + LANES]`` of NumPy.

Usually each number belongs to another channel. Numba leaves it to the compiler to find vectors in a loop over single numbers.
What it does not find: that the sums of some neighbouring pixels may stay in registers while all taps of a filter are added to
them, and that a block of LANES x LANES numbers can be transposed within registers. These functions say so. Each is defined by
its own code in Python, which also runs where the JIT is switched off; below it stand the instructions that it is compiled to.

Vectors are written for one length on all processors: where registers are shorter, the compiler takes two or four.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import lower_builtin, register_model, type_callable

LANES = 16  # a power of 2; of float32 they are a register of AVX-512 and a line of the cache
PIECE = 4  # numbers of a vector that are transposed together
TOGETHER = ("contract",)  # a multiplication and an addition may become one instruction, as in the other loops
INT = ir.IntType(32)  # what the instructions number lanes with


class Lanes(types.Type):
    """Numba's type of a vector."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), LANES))


def _returns(function, result):
    """Numba is to compile calls of ``function``; ``result`` makes the result's type of the arguments'."""
    type_callable(function)(lambda context: result)


def _place(context, builder, array_type, array, at):
    """The address of array[at] as that of a vector, and the alignment that it is sure to have."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = context.get_value_type(Lanes(array_type.dtype))
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer()), context.get_abi_sizeof(data.type.pointee)


def _in_each_lane(builder, vector, number):
    first = builder.insert_element(vector(ir.Undefined), number, INT(0))
    return builder.shuffle_vector(first, first, _constants([0] * LANES))


def _steps(builder, first, step, count):
    """first, first + step, and so on."""
    for _ in range(count):
        yield first
        first = builder.add(first, step)


def _constants(numbers):
    return ir.Constant(ir.VectorType(INT, len(numbers)), numbers)


# ---- memory


def load(array, at):
    """array[at + lane] for each lane"""
    return array[at : at + LANES].copy()


_returns(load, lambda array, at: Lanes(array.dtype))


@lower_builtin(load, types.Array, types.Integer)
def _load(context, builder, signature, arguments):
    place, alignment = _place(context, builder, signature.args[0], *arguments)
    return builder.load(place, align=alignment)


def store(lanes, array, at):
    """array[at + lane] = lanes[lane]"""
    array[at : at + LANES] = lanes


_returns(store, lambda lanes, array, at: types.none)


@lower_builtin(store, Lanes, types.Array, types.Integer)
def _store(context, builder, signature, arguments):
    lanes, array, at = arguments
    place, alignment = _place(context, builder, signature.args[1], array, at)
    builder.store(lanes, place, align=alignment)
    return context.get_dummy_value()


def store_rows(rows, array, at, step):
    """array[at + i*step + lane] = rows[i][lane]; ``rows`` is a tuple of vectors"""
    for i, row in enumerate(rows):
        store(row, array, at + i * step)


_returns(store_rows, lambda rows, array, at, step: types.none)


@lower_builtin(store_rows, types.UniTuple, types.Array, types.Integer, types.Integer)
def _store_rows(context, builder, signature, arguments):
    (rows, array, at, step), (rows_type, array_type, *_) = arguments, signature.args
    for i, at_i in enumerate(_steps(builder, at, step, rows_type.count)):
        place, alignment = _place(context, builder, array_type, array, at_i)
        builder.store(builder.extract_value(rows, i), place, align=alignment)
    return context.get_dummy_value()


def prefetch(array, at):
    """Nothing but a hint that array[at] will be read soon; it need not exist."""


_returns(prefetch, lambda array, at: types.none)


@lower_builtin(prefetch, types.Array, types.Integer)
def _prefetch(context, builder, signature, arguments):
    place, _ = _place(context, builder, signature.args[0], *arguments)
    place = builder.bitcast(place, ir.IntType(8).as_pointer())
    hint = ir.FunctionType(ir.VoidType(), [place.type, INT, INT, INT])
    hint = builder.module.declare_intrinsic("llvm.prefetch", [place.type], hint)
    builder.call(hint, [place, INT(0), INT(2), INT(1)])  # to read, from the second-level cache, data
    return context.get_dummy_value()


# ---- arithmetic


def spread(number):
    """The same number in each lane"""
    return np.full(LANES, number)


_returns(spread, lambda number: Lanes(number))


@lower_builtin(spread, types.Float)
def _spread(context, builder, signature, arguments):
    return _in_each_lane(builder, context.get_value_type(signature.return_type), arguments[0])


def add(a, b):
    """a + b"""
    return a + b


_returns(add, lambda a, b: a)


@lower_builtin(add, Lanes, Lanes)
def _add(context, builder, signature, arguments):
    return builder.fadd(*arguments)


def multiply_add(a, b, c):
    """a * b + c"""
    return a * b + c


_returns(multiply_add, lambda a, b, c: a)


@lower_builtin(multiply_add, Lanes, Lanes, Lanes)
def _multiply_add(context, builder, signature, arguments):
    a, b, c = arguments
    return builder.fadd(builder.fmul(a, b, flags=TOGETHER), c, flags=TOGETHER)


def multiply_add_rows(x, at, step, w, sums):
    """sums[i] + x[at + i*step] * w for each i; ``sums`` is a tuple of vectors

    No index is negative, which a plain one would look at each time.
    """
    return tuple(multiply_add(spread(x[at + i * step]), w, total) for i, total in enumerate(sums))


_returns(multiply_add_rows, lambda x, at, step, w, sums: sums)


@lower_builtin(multiply_add_rows, types.Array, types.Integer, types.Integer, Lanes, types.UniTuple)
def _multiply_add_rows(context, builder, signature, arguments):
    (x, at, step, w, sums), x_type = arguments, signature.args[0]
    data = context.make_array(x_type)(context, builder, x).data
    for i, at_i in enumerate(_steps(builder, at, step, signature.return_type.count)):
        x_i = _in_each_lane(builder, w.type, builder.load(builder.gep(data, [at_i])))
        product = builder.fmul(x_i, w, flags=TOGETHER)
        sums = builder.insert_value(sums, builder.fadd(product, builder.extract_value(sums, i), flags=TOGETHER), i)
    return sums


def clamp(a, low, high):
    """min(max(a, low), high); a NaN fails both comparisons and stays"""
    a = np.where(a < low, low, a)
    return np.where(a > high, high, a)


_returns(clamp, lambda a, low, high: a)


@lower_builtin(clamp, Lanes, Lanes, Lanes)
def _clamp(context, builder, signature, arguments):
    a, low, high = arguments
    a = builder.select(builder.fcmp_ordered("<", a, low), low, a)
    return builder.select(builder.fcmp_ordered(">", a, high), high, a)


def constant_matrix(rows):
    """A function that multiplies vectors with a matrix, whose numbers become part of the compiled code; zeros cost nothing."""

    def multiply(source, at, step, target, first, pitch):
        """target[first + i*pitch + lane] = sum over j of rows[i][j] * source[at + j*step + lane]"""
        vectors = [load(source, at + j * step) for j in range(len(rows[0]))]
        for i, row in enumerate(rows):
            store(sum(number * vector for number, vector in zip(row, vectors, strict=True)), target, first + i * pitch)

    _returns(multiply, lambda source, at, step, target, first, pitch: types.none)

    @lower_builtin(multiply, types.Array, types.Integer, types.Integer, types.Array, types.Integer, types.Integer)
    def _multiply(context, builder, signature, arguments):
        source, at, step, target, first, pitch = arguments
        source_type, target_type = signature.args[0], signature.args[3]
        columns = list(_steps(builder, at, step, len(rows[0])))
        places = [_place(context, builder, source_type, source, at) for at in columns]
        vectors = [builder.load(place, align=alignment) for place, alignment in places]
        for row, at in zip(rows, _steps(builder, first, pitch, len(rows)), strict=True):
            place, alignment = _place(context, builder, target_type, target, at)
            builder.store(_combine(builder, row, vectors), place, align=alignment)
        return context.get_dummy_value()

    return multiply


def _combine(builder, row, vectors):
    """The sum of row[j] * vectors[j], factors of 1 first: each of the others is then one instruction."""
    terms = sorted(
        ((number, vector) for number, vector in zip(row, vectors, strict=True) if number), key=lambda term: term[0] != 1
    )
    total = None
    for number, vector in terms:
        if number != 1:
            factor = ir.Constant(vector.type, [number] * LANES)
            vector = builder.fmul(factor, vector, flags=TOGETHER)
        total = vector if total is None else builder.fadd(total, vector, flags=TOGETHER)
    return total


# ---- comparison


def overtake(best, winner, value, number):
    """(value, number) in the lanes where the value is larger than the best or NaN, and in the others (best, winner)"""
    wins = (value > best) | (value != value)
    return np.where(wins, value, best), np.where(wins, number, winner)


_returns(overtake, lambda best, winner, value, number: types.UniTuple(best, 2))


@lower_builtin(overtake, Lanes, Lanes, Lanes, Lanes)
def _overtake(context, builder, signature, arguments):
    best, winner, value, number = arguments
    wins = builder.or_(builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value))
    both = builder.select(wins, value, best), builder.select(wins, number, winner)
    return context.make_tuple(builder, signature.return_type, both)


def where_equal(a, b, value):
    """The value in the lanes where a = b, and 0 in the others"""
    return np.where(a == b, value, 0)


_returns(where_equal, lambda a, b, value: value)


@lower_builtin(where_equal, Lanes, Lanes, Lanes)
def _where_equal(context, builder, signature, arguments):
    a, b, value = arguments
    return builder.select(builder.fcmp_ordered("==", a, b), value, ir.Constant(value.type, [0.0] * LANES))


# ---- transposition


def transpose(source, rows, target, columns):
    """target[columns[k] + lane] = source[rows[lane] + k] for lane < LANES and k < PIECE

    ``rows`` and ``columns`` are int64, and at least so many.
    """
    for k in range(PIECE):
        for lane in range(LANES):
            target[columns[k] + lane] = source[rows[lane] + k]


_returns(transpose, lambda source, rows, target, columns: types.none)


@lower_builtin(transpose, types.Array, types.Array, types.Array, types.Array)
def _transpose(context, builder, signature, arguments):
    """Shuffle like cards, so that a piece of the first half and one of the second alternate: PIECE = 4 takes two times.

    Four vectors are read, each of four pieces that lie PIECE rows apart. A number's vector and its place in its piece are two
    bits each. Once rotates the four by one place: the vector's first bit, in which half it is, becomes the place's last, and
    the place's first the vector's last. After two times, vector and place have changed places. No number leaves its column of
    pieces: registers of AVX2 and AVX-512 are made of such pieces, and exchange numbers between them in more time.
    """
    (source, rows, target, columns), (source_type, rows_type, target_type, columns_type) = arguments, signature.args
    pieces = []
    for at in _numbers(context, builder, rows_type, rows, LANES):
        place, alignment = _place(context, builder, source_type, source, at)
        piece = ir.VectorType(place.type.pointee.element, PIECE)
        pieces.append(builder.load(builder.bitcast(place, piece.as_pointer()), align=alignment))
    vectors = [_concatenate(builder, pieces[k::PIECE]) for k in range(PIECE)]
    half, places = PIECE // 2, [(at, i) for at in range(0, LANES, PIECE) for i in range(PIECE)]
    first, second = ([at + start + i // 2 + i % 2 * LANES for at, i in places] for start in (0, half))
    for _ in range(PIECE.bit_length() - 1):
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [builder.shuffle_vector(*pair, _constants(chosen)) for pair in pairs for chosen in (first, second)]
    for at, vector in zip(_numbers(context, builder, columns_type, columns, PIECE), vectors, strict=True):
        place, alignment = _place(context, builder, target_type, target, at)
        builder.store(vector, place, align=alignment)
    return context.get_dummy_value()


def _concatenate(builder, pieces):
    """One vector of all pieces."""
    while len(pieces) > 1:
        whole = _constants(list(range(2 * pieces[0].type.count)))
        pieces = [builder.shuffle_vector(a, b, whole) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def _numbers(context, builder, array_type, array, count):
    """The first elements of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    return [builder.load(builder.gep(data, [INT(k)])) for k in range(count)]
