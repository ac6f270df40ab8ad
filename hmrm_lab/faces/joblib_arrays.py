"""Plain float arrays out of a file that joblib wrote, without unpickling it.

Such a file is a pickle with the bytes of each array in between. Loading a pickle calls what it
names, and so can do anything. Here its instructions are listed by `pickletools`, which runs none
of them, and followed with inert values: a class is its name, an object a dictionary. What is not
needed for a list of float32 arrays is refused.
"""

import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hmrm_lab.errors import InputError
from hmrm_lab.records import Floats

WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
FLOAT32 = ("numpy.dtype", ("f4", False, True))
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
ARGUMENTS = {"SHORT_BINUNICODE", "BININT", "BININT1", "BININT2"}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


def read_arrays(stream: BinaryIO, where: Path) -> list[Floats]:
    """The arrays of an uncompressed joblib file that holds a list of float32 arrays.

    Raises
    ------
    InputError
        If the file holds anything else.
    """
    reader = _Reader(stream)
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            if instruction.name == "STOP":
                return reader.result()
            reader.follow(instruction.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise _not_arrays(where, str(error)) from None
    raise _not_arrays(where, "it has no end")


class _Reader:
    """The stack and the memory of the instructions so far."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.stack: list[Any] = []
        self.memory: list[Any] = []

    def result(self) -> list[Floats]:
        (arrays,) = self.stack
        if not isinstance(arrays, list) or not all(isinstance(a, np.ndarray) for a in arrays):
            raise ValueError("it is not a list of arrays")
        return arrays

    def follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in ARGUMENTS:
            stack.append(argument)
        elif name in SHORT_TUPLES:
            count = SHORT_TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name in {"PROTO", "FRAME"}:
            pass  # they only announce what follows
        else:
            getattr(self, f"_{name.lower()}")(argument)

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _memoize(self, _: Any) -> None:
        self.memory.append(self.stack[-1])

    def _binget(self, place: int) -> None:
        self.stack.append(self.memory[place])

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self.stack.append(f"{module}.{name}")

    def _newobj(self, _: Any) -> None:
        arguments, kind = self._pop(), self._pop()
        if kind != WRAPPER or arguments != ():
            raise ValueError(f"it holds a {kind}")
        self.stack.append({})

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if (function, arguments) != FLOAT32:
            raise ValueError(f"it calls {function}{arguments}")
        self.stack.append(FLOAT32)

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _setitems(self, _: Any) -> None:
        items = self._since_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _append(self, _: Any) -> None:
        value = self._pop()
        self.stack[-1].append(value)

    def _appends(self, _: Any) -> None:
        values = self._since_mark()
        self.stack[-1].extend(values)

    def _build(self, _: Any) -> None:
        """Complete the type of an array, or an array's description, whose bytes then follow."""
        state, target = self._pop(), self._pop()
        if target == FLOAT32:
            if state[1] != "<":
                raise ValueError("its numbers are not little-endian")
            self.stack.append(FLOAT32)
        else:
            self.stack.append(self._array(state))

    def _array(self, described: dict[str, Any]) -> Floats:
        if described["order"] != "C" or described["dtype"] != FLOAT32:
            raise ValueError("its arrays are not plain float32")
        if described.get("numpy_array_alignment_bytes") is not None:
            self.stream.read(self.stream.read(1)[0])  # so many bytes of padding
        shape = described["shape"]
        content = self.stream.read(4 * int(np.prod(shape)))
        return np.frombuffer(content, dtype="<f4").reshape(shape).astype(np.float32)

    def _since_mark(self) -> list[Any]:
        place = max(n for n, value in enumerate(self.stack) if value is _MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _pop(self) -> Any:
        return self.stack.pop()


def _not_arrays(where: Path, problem: str) -> InputError:
    return InputError(
        f"not a joblib file of plain arrays ({problem})",
        where=where,
        mend="install the version that constraints.txt names",
    )
