"""Numbers as tables show them."""


def quantity(count: int) -> str:
    """A number of parameters with three digits or two and a unit.

    >>> [quantity(count) for count in (850, 2562, 128_000, 3_400_000)]
    ['850', '2.6 k', '128 k', '3.4 M']
    """
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= 0.9995 * size:
            return f"{count / size:.1f}{unit}" if count < 99.95 * size else f"{count / size:.0f}{unit}"
    return str(count)
