"""Reading a pickle without running it.

A pickle is a program for a small stack machine, and Python's own machine obeys it to the letter: "fetch the function
``os.system``, call it with this text" is as good an instruction as "push the number 3". Here is a machine for the same programs
that knows only the instructions that plain data needs. It can neither import nor call anything: a name that the program asks
for is looked up in a table given by the caller. Any other name becomes an ``Inert`` object, which does nothing whatever is done
with it, so that settings and counters beside the weights do no harm; but where the name is one by which pickles run programs,
the file is refused, in words.

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
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip
PUSH_CONSTANT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: Inert("builtins.set"),
}

# Names that no object beside weights has, and that make a pickle run a program.
RUNNING_MODULES = {
    "os", "posix", "nt", "subprocess", "sys", "runpy", "importlib", "shutil", "socket", "webbrowser", "ctypes", "pty",
    "commands", "code", "timeit", "pdb", "bdb", "pip", "urllib", "http", "requests", "marshal",
}  # fmt: skip
RUNNING_BUILTINS = {"eval", "exec", "execfile", "compile", "open", "__import__", "input", "breakpoint", "apply"}
KEYS = (str, int, float, bytes, type(None))  # of dicts; one of another type is replaced by an inert object


class RefusedName(ValueError):
    """The pickle asks for a function by which it would run a program."""

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


class Inert(dict):
    """Stands for an object of a class that is not in the table: nothing is run, but what is put into it as into a dict stays.

    Attributes
    ----------
    name : str
        Of the class, or of the function that would have made it.
    """

    __slots__ = ("name",)
    __hash__, __eq__ = object.__hash__, object.__eq__

    def __init__(self, name: str):
        super().__init__()
        self.name = name


def read_pickle(file: BinaryIO, names: Mapping[str, Known], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value that one pickle describes: numbers, texts, tuples, lists, dicts, and what the functions in ``names`` return.

    All else is ``Inert``.

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
        For a name by which a pickle runs a program. Nothing was imported or run.
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

    def lookup(name: Any) -> Known | Inert:
        if not isinstance(name, str):
            raise ValueError("a name that is no text")
        module, _, last = name.rpartition(".")
        root = module.partition(".")[0]
        if root in RUNNING_MODULES or (root in ("builtins", "__builtin__") and last in RUNNING_BUILTINS):
            raise RefusedName(name)
        return names.get(name) or Inert(name)

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
            case "FROZENSET":
                pop_to_mark()
                stack.append(Inert("builtins.frozenset"))
            case "APPEND" | "APPENDS" | "ADDITEMS" as name:
                items = [pop()] if name == "APPEND" else pop_to_mark()
                if not isinstance(_top(stack), Inert):
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
                stack.append(_called(function, arguments))
            case "NEWOBJ" | "NEWOBJ_EX" as name:
                if name == "NEWOBJ_EX":
                    pop()  # arguments by name
                arguments, function = pop(), pop()
                stack.append(_called(function, arguments))
            case "POP":
                pop()
            case "POP_MARK":
                pop_to_mark()
            case "DUP":
                stack.append(_top(stack))
            case "BUILD":  # attributes for the object below
                state, target = pop(), _top(stack)
                if isinstance(target, Stateful):
                    target.set_state(state)
                else:  # an OrderedDict has some (`_metadata`) that no array needs, and an inert object does nothing with them
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


def _called(function: Any, arguments: Any) -> Any:
    """What comes of a call; of an inert function an inert object."""
    if isinstance(function, Inert):
        return Inert(function.name)
    if not isinstance(function, Known) or function.call is None or not isinstance(arguments, tuple):
        raise ValueError("a call of something that is no function")
    return function.call(*arguments)


def _update(target: dict, items: list[Any]) -> None:
    """Set ``key, value, key, value, ...``. Weights have texts as keys; a key that is a tuple, say, is not looked into."""
    keys, values = items[::2], items[1::2]
    if len(keys) != len(values):
        raise ValueError("a dict with a key that has no value")
    target.update(
        (key if isinstance(key, KEYS) else Inert(type(key).__name__), value) for key, value in zip(keys, values, strict=True)
    )
