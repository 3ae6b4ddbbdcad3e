"""Reading the pickles of licensed bodies without running anything they contain.

A pickle names functions and classes, calls them, and so can run any program. Here every name becomes an inert `Record` that only
remembers what it was given; unknown names are refused. Afterwards the few kinds that hold numbers (numpy arrays, scipy's sparse
matrices, chumpy's arrays) are interpreted by the code below. Neither scipy nor chumpy is imported.

A pickle can also be small and unfold without end: lists that hold one another many times over, or keys made of nested tuples, whose
hash alone takes for ever. So keys are plain, and what a pickle unfolds to is counted before anything is done with it.
"""

from __future__ import annotations

import io
import pickle

import numpy as np

from ..checks import InputError
from .files import check_file

_ARRAY, _BUFFER, _SCALAR, _DTYPE, _BYTES, _OBJECT, _SPARSE, _CHUMPY, _DICT = (
    "array", "buffer", "scalar", "dtype", "bytes", "object", "sparse", "chumpy", "dict")
_KINDS = {"ndarray": _ARRAY, "_reconstruct": _ARRAY, "_frombuffer": _BUFFER, "scalar": _SCALAR, "dtype": _DTYPE}
_LIMIT = 1 << 25  # elements of one array: far above any body, far below what would fill the memory
MAX_BYTES = 2 << 30  # of the file
MAX_ENTRIES = 1 << 24  # that lists and dictionaries may unfold to


class Record:
    """What a pickle said about one object: the arguments it was made with and the state it was given. It does nothing."""

    kind = ""

    def __new__(cls, *args, **_):
        record = object.__new__(cls)
        record.args, record.state = args, None
        return record

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state):
        self.state = state


def _kind_of(module, name):
    """Returns what the global ``module.name`` stands for, or None if a body file has no business with it."""
    root = module.split(".")[0]
    if root == "numpy":
        return _KINDS.get(name)
    if module.startswith("scipy.sparse") and name in ("csc_matrix", "csr_matrix", "csc_array", "csr_array"):
        return _SPARSE
    if root == "chumpy":
        return _CHUMPY
    return {("_codecs", "encode"): _BYTES, ("copy_reg", "_reconstructor"): _OBJECT, ("copyreg", "_reconstructor"): _OBJECT,
            ("__builtin__", "object"): _OBJECT, ("builtins", "object"): _OBJECT, ("collections", "OrderedDict"): _DICT}.get((module, name))


class _RecordingUnpickler(pickle._Unpickler):  # the one written in Python: C's makes room for as many objects as the file claims to have
    """Names become records; keys must be plain, because the hash of nested tuples can take for ever."""

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file, size):
        super().__init__(file, encoding="latin1")
        self.size = size

    def find_class(self, module, name):
        kind = _kind_of(module, name)
        if kind is None:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return _plain_dict if kind == _DICT else _record(kind, name)

    def load_setitem(self):
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self):
        _check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self):
        _check_keys(self.stack[::2])
        super().load_dict()

    def load_additems(self):
        _check_keys(self.stack)
        super().load_additems()

    def load_frozenset(self):
        _check_keys(self.stack)
        super().load_frozenset()

    def load_bytearray8(self):
        self.append(bytearray(self.read(min(int.from_bytes(self.read(8), "little"), self.size))))

    for _code, _load in ((pickle.SETITEM, load_setitem), (pickle.SETITEMS, load_setitems), (pickle.DICT, load_dict),
                         (pickle.ADDITEMS, load_additems), (pickle.FROZENSET, load_frozenset), (pickle.BYTEARRAY8, load_bytearray8)):
        dispatch[_code[0]] = _load


class _AnyNames(_RecordingUnpickler):
    """Looks at a pickle that another reader will read: whatever it names becomes a record."""

    def find_class(self, module, name):
        return _AnyDict if _kind_of(module, name) == _DICT else _record(_OBJECT, name)

    def persistent_load(self, told):
        return told


class _AnyDict(dict):
    """An OrderedDict, which may carry attributes, as the state dicts of networks do."""

    def __init__(self, pairs=()):
        super().__init__(_plain_dict(pairs))


def _record(kind, name):
    return type(name, (Record,), {"kind": kind, "origin": name})  # a new class each time: a file cannot alter the next load


def _plain_dict(pairs=()):
    _check_keys(key for key, _ in pairs)
    return dict(pairs)


def _check_keys(keys):
    if not all(key is None or isinstance(key, (str, bytes, int, float, Record)) for key in keys):
        raise ValueError("a key is neither a text nor a number")


def check_unfolded(content):
    """Checks that lists, dictionaries and records unfold to at most ``MAX_ENTRIES`` entries, and never to themselves.

    Raises:
        ValueError: they do not.
    """
    sizes, waiting = {}, [content]
    while waiting:
        entry = waiting[-1]
        parts = [part for part in _parts_of(entry) if isinstance(part, _BOXES)]
        unknown = [part for part in parts if id(part) not in sizes]
        if id(entry) not in sizes:
            sizes[id(entry)] = None  # begun
            waiting += unknown
            continue
        waiting.pop()
        if sizes[id(entry)] is None:
            if any(sizes.get(id(part)) is None for part in parts):
                raise ValueError("an entry holds itself")
            sizes[id(entry)] = 1 + len(_parts_of(entry)) + sum(sizes[id(part)] for part in parts)
            if sizes[id(entry)] > MAX_ENTRIES:
                raise ValueError(f"it unfolds to more than {MAX_ENTRIES} entries")


_BOXES = (dict, list, tuple, set, frozenset, Record)


def _parts_of(entry):
    if isinstance(entry, dict):
        return [*entry, *entry.values()]
    if isinstance(entry, Record):
        return [*entry.args, entry.state]
    return entry if isinstance(entry, _BOXES) else ()


def _unpickled(data, reader=_RecordingUnpickler):
    content = reader(io.BytesIO(data), len(data)).load()
    check_unfolded(content)
    return content


def check_pickles(file, size, count):
    """Checks that ``count`` pickles, one after another in a binary file, can be read by others in bounded time and memory.

    Raises:
        Exception: of any kind, as a damaged pickle can fail in any way.
    """
    for _ in range(count):
        check_unfolded(_AnyNames(file, size).load())


def read_pickle(path, names, label="body file"):
    """Reads the named arrays of a pickled dict as numpy arrays; entries that are not asked for stay untouched.

    Args:
        path: the .pkl file.
        names: keys to read; missing ones are left out.
        label: the input's name in errors.

    Raises:
        InputError: the file is missing or damaged, is not a dict of arrays, or names anything that is not an array.
    """
    path = check_file(label, path, (".pkl",))
    if path.stat().st_size > MAX_BYTES:
        raise InputError(label, path, f"is larger than {MAX_BYTES >> 30} GB", "Give a smaller file.")
    try:
        content = _unpickled(path.read_bytes())
    except pickle.UnpicklingError as error:
        raise _refusal(label, path, error) from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(label, path, f"is damaged ({type(error).__name__}: {error})", "Copy or download the file again.") from None
    if not isinstance(content, dict):
        raise InputError(label, path, f"holds a {type(content).__name__} instead of named arrays", "Give an SMPL-format body file.")
    return {name: _array_of(content[name], name, label, path) for name in names if name in content}


def _refusal(label, path, error):
    if "." in str(error) and " " not in str(error):
        return InputError(label, path, f"names {error}, which could run code", "Take the file from its publisher, or save it as .npz.")
    return InputError(label, path, f"is damaged ({error})", "Copy or download the file again.")


def _array_of(entry, name, label, path):
    try:
        value = np.asarray(_value(entry))
        if value.dtype.kind not in "biufUS":
            raise ValueError("not numbers")
        return value
    except Exception as error:
        raise InputError(label, path, f"has an unreadable {name} ({error})", "Copy or download the file again.") from None


def _value(entry):
    """Returns the number, text or array that an entry stands for."""
    if not isinstance(entry, Record):
        return entry
    readers = {_ARRAY: _ndarray, _BUFFER: _buffer, _SCALAR: _scalar, _DTYPE: _dtype, _BYTES: _bytes,
               _OBJECT: _reconstructed, _SPARSE: _sparse, _CHUMPY: _chumpy}
    return readers[entry.kind](entry)


def _ndarray(record):
    _, shape, dtype, fortran, data = record.state
    data = _value(data)
    data = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote bytes as text
    return np.frombuffer(data, _value(dtype)).reshape(shape, order="F" if fortran else "C")


def _buffer(record):
    data, dtype, shape, order = record.args
    return np.frombuffer(data, _value(dtype)).reshape(shape, order=order)


def _scalar(record):
    data = _value(record.args[1])
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, _value(record.args[0]))[0]


def _dtype(record):
    code = record.args[0]
    dtype = np.dtype(code.decode("ascii") if isinstance(code, bytes) else code)
    if dtype.kind not in "biufUS":
        raise ValueError(f"numbers of type {dtype}")
    byte_order = record.state[1] if record.state else "|"
    return dtype.newbyteorder(byte_order) if byte_order in "<>" else dtype


def _bytes(record):
    return record.args[0].encode("latin1")


def _reconstructed(record):
    """An object of the oldest pickle protocols, ``_reconstructor(cls, object, None)``: the class it names holds no state of its own."""
    inner = record.args[0]()
    inner.state = record.state
    return _value(inner)


def _sparse(record):
    state = record.state
    rows, columns = map(int, state.get("_shape") or state.get("shape"))
    if not 0 <= rows * columns <= _LIMIT or min(rows, columns) < 0:
        raise ValueError(f"{rows} x {columns} is too large")
    indptr, inner, data = (np.asarray(_value(state[key])) for key in ("indptr", "indices", "data"))
    if data.dtype.kind not in "biuf" or indptr.ndim != 1 or len(indptr) == 0 or indptr.min() < 0 or indptr.max() > len(data):
        raise ValueError("its rows do not fit its numbers")
    outer = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    dense = np.zeros((rows, columns), data.dtype)
    np.add.at(dense, (outer, inner) if record.origin.startswith("csr") else (inner, outer), data)
    return dense


def _chumpy(record):
    """A chumpy array holds its numbers in ``x``; a Select picks the elements ``idxs`` of another array ``a``."""
    state = record.state
    if "x" in state:
        return _value(state["x"])
    picked = np.ravel(_value(state["a"]))[np.asarray(_value(state["idxs"]))]
    shape = state.get("preferred_shape")
    return picked if shape is None else picked.reshape(_value(shape))


def read_pickle_tree(data, label, path):
    """Reads a whole pickle: dicts, lists, texts and numbers as they are, arrays as numpy arrays. Nothing it contains is run.

    Args:
        data: the pickle's bytes.
        label, path: the input's name and the file, for errors.

    Raises:
        InputError: it is damaged or names anything that is not data.
    """
    try:
        return _tree(_unpickled(data))
    except pickle.UnpicklingError as error:
        raise _refusal(label, path, error) from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(label, path, f"is damaged ({type(error).__name__}: {error})", "Copy or download the file again.") from None


def _tree(entry):
    if isinstance(entry, dict):
        return {_value(key): _tree(value) for key, value in entry.items()}
    if isinstance(entry, (list, tuple)):
        return [_tree(value) for value in entry]
    if isinstance(entry, Record) and entry.kind == _ARRAY and isinstance(entry.state[4], list):  # an array of objects is a list
        return [_tree(value) for value in entry.state[4]]
    return _value(entry)
