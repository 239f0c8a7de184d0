"""What is prepared for inputs that have been seen, so that there is little left to do when one like them comes again."""

from __future__ import annotations

SHAPES = 64  # of inputs, at most; nobody has so many, except who wants to fill the memory


class Prepared(dict):
    """Functions by the kind of input that they are prepared for. A copy, or what another process gets, begins empty."""

    def __setitem__(self, kind: object, function: object) -> None:
        if len(self) >= SHAPES:
            self.clear()
        super().__setitem__(kind, function)

    def __reduce__(self) -> tuple:
        return Prepared, ()
