"""Vectors for Numba loops, which keep them in the processor's registers: ``array[at : at + VECTOR_WIDTH]`` of NumPy.

Usually each number belongs to another channel: maps have them side by side (see ``kernels.layout``). Numba leaves it to the
compiler to find vectors in a loop over single numbers. What it does not find is that the sums of some neighbouring pixels may
stay in registers while all taps of a filter are added to them. These functions say so. Each is defined by its own code in
Python, which also runs where the JIT is switched off; below it stand the instructions that it is compiled to.

Vectors are written for one length on all processors: where registers are shorter, the compiler takes two or four.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel import models
from numba.extending import lower_builtin, register_jitable, register_model, type_callable

VECTOR_WIDTH = 16  # a power of 2; of float32 they are a register of AVX-512 and a line of the cache
PIECE = 4  # numbers of a vector that are transposed together
FUSED = ("contract",)  # a multiplication and an addition may become one instruction, as in the other loops
INT = ir.IntType(32)  # what the instructions number lanes with


class Vector(types.Type):
    """Numba's type of a vector."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), VECTOR_WIDTH))


def returns(function, result):
    """Numba is to compile calls of ``function``; ``result`` makes the result's type of the arguments'."""
    type_callable(function)(lambda context: result)


def _place(context, builder, array_type, array, at):
    """The address of array[at] as that of a vector, and the alignment that it is sure to have."""
    data = context.make_array(array_type)(context, builder, array).data
    vector = context.get_value_type(Vector(array_type.dtype))
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer()), context.get_abi_sizeof(data.type.pointee)


def in_each_lane(builder, vector, number):
    first = builder.insert_element(vector(ir.Undefined), number, INT(0))
    return builder.shuffle_vector(first, first, _constants([0] * VECTOR_WIDTH))


def _steps(builder, first, step, count):
    """first, first + step, and so on."""
    for _ in range(count):
        yield first
        first = builder.add(first, step)


def _constants(numbers):
    return ir.Constant(ir.VectorType(INT, len(numbers)), numbers)


@register_jitable
def vectors_of(count):
    """How many vectors it takes for so many numbers."""
    return (count + VECTOR_WIDTH - 1) // VECTOR_WIDTH


@register_jitable
def first_of_vector(v, count):
    """Where vector v of so many numbers begins; if they are no multiple of VECTOR_WIDTH, the last overlaps the one before."""
    return max(min(v * VECTOR_WIDTH, count - VECTOR_WIDTH), 0)


# ---- memory


def load(array, at):
    """array[at + lane] for each lane"""
    return array[at : at + VECTOR_WIDTH].copy()


returns(load, lambda array, at: Vector(array.dtype))


@lower_builtin(load, types.Array, types.Integer)
def _load(context, builder, signature, arguments):
    place, alignment = _place(context, builder, signature.args[0], *arguments)
    return builder.load(place, align=alignment)


def store(vector, array, at):
    """array[at + lane] = vector[lane]"""
    array[at : at + VECTOR_WIDTH] = vector


returns(store, lambda vector, array, at: types.none)


@lower_builtin(store, Vector, types.Array, types.Integer)
def _store(context, builder, signature, arguments):
    vector, array, at = arguments
    place, alignment = _place(context, builder, signature.args[1], array, at)
    builder.store(vector, place, align=alignment)
    return context.get_dummy_value()


def load_part(array, at, count):
    """array[at + lane] for each lane < count, and 0 in the others, which need not exist"""
    vector = np.zeros(VECTOR_WIDTH, array.dtype)
    vector[:count] = array[at : at + count]
    return vector


returns(load_part, lambda array, at, count: Vector(array.dtype))


@lower_builtin(load_part, types.Array, types.Integer, types.Integer)
def _load_part(context, builder, signature, arguments):
    array, at, count = arguments
    place, alignment = _place(context, builder, signature.args[0], array, at)
    return masked_load(context, builder, signature.return_type, place, alignment, count)


def store_part(vector, array, at, count):
    """array[at + lane] = vector[lane] for each lane < count"""
    array[at : at + count] = vector[:count]


returns(store_part, lambda vector, array, at, count: types.none)


@lower_builtin(store_part, Vector, types.Array, types.Integer, types.Integer)
def _store_part(context, builder, signature, arguments):
    vector, array, at, count = arguments
    place, alignment = _place(context, builder, signature.args[1], array, at)
    masked_store(builder, vector, place, alignment, count)
    return context.get_dummy_value()


def _first_lanes(builder, count):
    """Which lanes are < count."""
    numbers = _constants(list(range(VECTOR_WIDTH)))
    return builder.icmp_signed("<", numbers, in_each_lane(builder, numbers.type, builder.trunc(count, INT)))


def masked_load(context, builder, vector_type, place, alignment, count):
    vector, mask = context.get_value_type(vector_type), _first_lanes(builder, count)
    signature = ir.FunctionType(vector, [place.type, INT, mask.type, vector])
    load = get_or_insert_function(builder.module, signature, _masked("load", vector))
    return builder.call(load, [place, INT(alignment), mask, ir.Constant(vector, [0.0] * VECTOR_WIDTH)])


def masked_store(builder, vector, place, alignment, count):
    mask = _first_lanes(builder, count)
    signature = ir.FunctionType(ir.VoidType(), [vector.type, place.type, INT, mask.type])
    store = get_or_insert_function(builder.module, signature, _masked("store", vector.type))
    builder.call(store, [vector, place, INT(alignment), mask])


def _masked(what, vector):
    """LLVM's name of the instruction."""
    return f"llvm.masked.{what}.v{vector.count}{vector.element.intrinsic_name}.p0"


# ---- arithmetic


def spread(number):
    """The same number in each lane"""
    return np.full(VECTOR_WIDTH, number)


returns(spread, lambda number: Vector(number))


@lower_builtin(spread, types.Float)
def _spread(context, builder, signature, arguments):
    return in_each_lane(builder, context.get_value_type(signature.return_type), arguments[0])


def add(a, b):
    """a + b"""
    return a + b


returns(add, lambda a, b: a)


@lower_builtin(add, Vector, Vector)
def _add(context, builder, signature, arguments):
    return builder.fadd(*arguments)


def multiply_add(a, b, c):
    """a * b + c"""
    return a * b + c


returns(multiply_add, lambda a, b, c: a)


@lower_builtin(multiply_add, Vector, Vector, Vector)
def _multiply_add(context, builder, signature, arguments):
    a, b, c = arguments
    return builder.fadd(builder.fmul(a, b, flags=FUSED), c, flags=FUSED)


def clamp(a, low, high):
    """min(max(a, low), high); a NaN fails both comparisons and stays"""
    a = np.where(a < low, low, a)
    return np.where(a > high, high, a)


returns(clamp, lambda a, low, high: a)


@lower_builtin(clamp, Vector, Vector, Vector)
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

    returns(multiply, lambda source, at, step, target, first, pitch: types.none)

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
            factor = ir.Constant(vector.type, [number] * VECTOR_WIDTH)
            vector = builder.fmul(factor, vector, flags=FUSED)
        total = vector if total is None else builder.fadd(total, vector, flags=FUSED)
    return total


# ---- transposition


def transpose(source, at, rows, target, first, columns, k):
    """target[first + columns[k + i] + lane] = source[at + rows[lane] + i] for each lane and i < PIECE"""
    for i in range(PIECE):
        for lane in range(VECTOR_WIDTH):
            target[first + columns[k + i] + lane] = source[at + rows[lane] + i]


returns(transpose, lambda source, at, rows, target, first, columns, k: types.none)


@lower_builtin(
    transpose, types.Array, types.Integer, types.Array, types.Array, types.Integer, types.Array, types.Integer
)  # fmt: skip
def _transpose(context, builder, signature, arguments):
    """Shuffle like cards, so that a piece of the first half and one of the second alternate: PIECE = 4 takes two times.

    Four vectors are read, each of four pieces that lie PIECE rows apart. A number's vector and its place in its piece are two
    bits each. Once rotates the four by one place: the vector's first bit, in which half it is, becomes the place's last, and
    the place's first the vector's last. After two times, vector and place have changed places. No number leaves its column of
    pieces: registers of AVX2 and AVX-512 are made of such pieces, and exchange numbers between them in more time.
    """
    source, at, rows, target, first_place, columns, k = arguments
    source_type, _, rows_type, target_type, _, columns_type, _ = signature.args
    pieces = []
    for row in _numbers(context, builder, rows_type, rows, ir.IntType(64)(0), VECTOR_WIDTH):
        place, alignment = _place(context, builder, source_type, source, builder.add(at, row))
        piece = ir.VectorType(place.type.pointee.element, PIECE)
        pieces.append(builder.load(builder.bitcast(place, piece.as_pointer()), align=alignment))
    vectors = [_concatenate(builder, pieces[k::PIECE]) for k in range(PIECE)]
    half, places = PIECE // 2, [(at, i) for at in range(0, VECTOR_WIDTH, PIECE) for i in range(PIECE)]
    first, second = ([at + start + i // 2 + i % 2 * VECTOR_WIDTH for at, i in places] for start in (0, half))
    for _ in range(PIECE.bit_length() - 1):
        pairs = zip(vectors[:half], vectors[half:], strict=True)
        vectors = [builder.shuffle_vector(*pair, _constants(chosen)) for pair in pairs for chosen in (first, second)]
    for column, vector in zip(_numbers(context, builder, columns_type, columns, k, PIECE), vectors, strict=True):
        place, alignment = _place(context, builder, target_type, target, builder.add(first_place, column))
        builder.store(vector, place, align=alignment)
    return context.get_dummy_value()


def _concatenate(builder, pieces):
    """One vector of all pieces."""
    while len(pieces) > 1:
        whole = _constants(list(range(2 * pieces[0].type.count)))
        pieces = [builder.shuffle_vector(a, b, whole) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def _numbers(context, builder, array_type, array, first, count):
    """So many elements of an array, from the first on."""
    data = context.make_array(array_type)(context, builder, array).data
    return [builder.load(builder.gep(data, [at])) for at in _steps(builder, first, ir.IntType(64)(1), count)]
