"""The end of a convolution: y + b as in ``textbook.conv2d_forward``, and np.clip, both in one pass while y is in the cache."""

from __future__ import annotations

from ...runtime.compilation import loop


@loop
def finish(y, bias, low, high, begin, end):
    """y (F, pixels) = min(max(y + bias, low), high) for pixels begin to end, in place. A NaN fails both and stays."""
    for f in range(len(y)):
        row = y[f, begin:end]
        for k in range(len(row)):
            value = row[k] + bias[f]
            value = low if value < low else value
            row[k] = high if value > high else value
