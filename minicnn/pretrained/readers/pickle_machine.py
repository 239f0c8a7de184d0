"""Reading a pickle without running it.

A pickle is a program for a small stack machine, and Python's own machine obeys it to the letter: "fetch the function
``os.system``, call it with this text" is as good an instruction as "push the number 3". Here is a machine for the same programs
that knows only the instructions that plain data needs. It can neither import nor call anything: a name that the program asks
for is looked up in a table given by the caller, and any other name is refused, in words.

The instructions are those of Python's ``pickletools``, which also splits the bytes into instructions.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST_INSTRUCTIONS = 2_000_000  # a network of 1,000 arrays needs 40,000; more than this only keeps a reader busy

# Instructions that push the value they carry.
PUSH_ARGUMENT = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
PUSH_CONSTANT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}


class RefusedName(ValueError):
    """The pickle asks for a function or class that is not in the table."""

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Known:
    """A name that a pickle may mention.

    Attributes
    ----------
    name : str
        As the pickle writes it: module, dot, name.
    call : function or None
        What we do where the pickle calls it; None where it may only be mentioned.
    """

    name: str
    call: Callable[..., Any] | None = None


class Stateful:
    """What a function in the table may return if the pickle describes it in two steps: that it is there, then what it is."""

    def set_state(self, state: Any) -> None:
        """Take what the pickle says; a ValueError if it makes no sense."""
        raise NotImplementedError


def read_pickle(file: BinaryIO, names: Mapping[str, Known], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value that one pickle describes: numbers, texts, tuples, lists, dicts, and what the functions in ``names`` return.

    Parameters
    ----------
    file : binary file
        At the pickle's first byte; afterwards just behind its last.
    names : mapping
        From the full name ("collections.OrderedDict") to what it stands for.
    persistent : function, optional
        Called with the identifier where the pickle refers to something kept outside of it (a PyTorch storage).

    Raises
    ------
    RefusedName
        For a name that is not in the table. Nothing was imported or run.
    ValueError
        For an instruction that data has no need of, or a damaged pickle.
    """
    stack: list[Any] = []
    marks: list[int] = []  # heights of the stack at which collections began
    memo: dict[int, Any] = {}

    def pop() -> Any:
        if len(stack) <= (marks[-1] if marks else 0):
            raise ValueError("an instruction takes more from the stack than there is")
        return stack.pop()

    def pop_to_mark() -> list[Any]:
        if not marks:
            raise ValueError("a collection ends that never began")
        height = marks.pop()
        items = stack[height:]
        del stack[height:]
        return items

    def lookup(name: Any) -> Known:
        if not isinstance(name, str) or name not in names:
            raise RefusedName(str(name))
        return names[name]

    for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if count > MOST_INSTRUCTIONS:
            raise ValueError(f"more than {MOST_INSTRUCTIONS} instructions")
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return pop()
            case name if name in PUSH_ARGUMENT:
                stack.append(argument)
            case name if name in PUSH_CONSTANT:
                stack.append(PUSH_CONSTANT[name]())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                stack.append(tuple(reversed([pop() for _ in range(int(name[-1]))])))
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "LIST":
                stack.append(pop_to_mark())
            case "APPEND":
                item = pop()
                _top(stack, list).append(item)
            case "APPENDS":
                items = pop_to_mark()
                _top(stack, list).extend(items)
            case "SETITEM":
                value, key = pop(), pop()
                _update(_top(stack, dict), [key, value])
            case "SETITEMS":
                items = pop_to_mark()
                _update(_top(stack, dict), items)
            case "DICT":
                items = pop_to_mark()
                stack.append({})
                _update(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = _top(stack)
            case "MEMOIZE":
                memo[len(memo)] = _top(stack)
            case "BINGET" | "LONG_BINGET":
                if argument not in memo:
                    raise ValueError(f"entry {argument} of the memo is used before it is there")
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(lookup(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = pop(), pop()
                stack.append(lookup(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else None))
            case "REDUCE":
                arguments, function = pop(), pop()
                if not isinstance(function, Known) or function.call is None or not isinstance(arguments, tuple):
                    raise ValueError("a call of something that is no function")
                stack.append(function.call(*arguments))
            case "BUILD":  # attributes for the object below
                state, target = pop(), _top(stack)
                if isinstance(target, Stateful):
                    target.set_state(state)
                else:  # an OrderedDict has some (`_metadata`) that no array needs
                    _top(stack, dict)
            case "BINPERSID":
                if persistent is None:
                    raise ValueError("a reference to something outside of the pickle")
                stack.append(persistent(pop()))
            case name:
                raise ValueError(f"the instruction {name}, which no array needs")
    raise ValueError("the pickle has no end")  # genops raises before; this is for the reader


def _top(stack: list[Any], expected: type = object) -> Any:
    """The value on top of the stack, which must be of this type."""
    if not stack or not isinstance(stack[-1], expected):
        raise ValueError(f"an instruction needs a {expected.__name__} on the stack, and there is none")
    return stack[-1]


def _update(target: dict, items: list[Any]) -> None:
    """Set ``key, value, key, value, ...``."""
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values) or not all(isinstance(key, (str, int)) for key in keys):
        raise ValueError("a dict whose keys are not texts or numbers")
    target.update(zip(keys, values, strict=True))
