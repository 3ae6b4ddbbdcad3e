"""Checks that run before heavy work, and the one error that users see."""

from __future__ import annotations

import math

LARGEST = 1e9  # pixels, metres, radians: squares of larger numbers soon leave float32


class InputError(ValueError):
    """Something the user gave cannot be used. The text names the input, its value, and what to do about it."""

    def __init__(self, name, value, problem, remedy):
        """
        Args:
            name: the input as the user knows it ("prompt", "count", "avatar file").
            value: what was given; long values are shortened.
            problem: what is wrong with it, as the end of "<name> <value> ...".
            remedy: what to do, a full sentence.
        """
        self.name, self.value, self.problem, self.remedy = name, value, problem, remedy
        super().__init__(f"{name} {shorten(value)} {problem}. {remedy}")

    def __reduce__(self):
        return type(self), (self.name, self.value, self.problem, self.remedy)


def shorten(value, limit=120):
    """Returns ``repr(value)``, cut in the middle when longer than ``limit`` characters."""
    text = str(value) if hasattr(value, "__fspath__") else repr(value)
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 3 :]}"


def check_shape(name, tensor, pattern, **known):
    """Checks a tensor's shape against a pattern such as ``"B 21 3 3"`` and returns the sizes of its named axes.

    Args:
        name: the tensor's name, for the message.
        tensor: anything with ``.shape``.
        pattern: axes separated by spaces; numbers must match, names are bound on first use, ``...`` allows leading axes.
        known: sizes of named axes that are fixed already; names not in the pattern are ignored.

    Raises:
        InputError: the shape does not fit.
    """
    shape, axes = tuple(tensor.shape), pattern.split()
    if axes and axes[0] == "...":
        axes, tail = axes[1:], shape[max(0, len(shape) - len(axes) + 1) :]
    else:
        tail = shape
    sizes = dict(known)
    fits = len(tail) == len(axes)
    for axis, size in zip(axes, tail):
        expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
        fits = fits and expected == size
    if not fits:
        bound = ", ".join(f"{k} = {v}" for k, v in known.items() if k in pattern.split())
        raise InputError(name, shape, f"does not have the shape ({pattern.replace(' ', ', ')})" + (f" with {bound}" if bound else ""),
                         "Give a tensor of that shape.")
    return sizes


def check_range(name, value, low, high, unit=""):
    """Checks that ``low <= value <= high`` and that the value is a finite number; returns the value.

    Raises:
        InputError: it is not.
    """
    span = f"between {low} and {high}{' ' + unit if unit else ''}"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high or value in (math.inf, -math.inf):
        raise InputError(name, value, f"is not {span}", f"Choose a value {span}.")
    return value


def numbers_of(name, value, what, remedy):
    """Returns a list, array or tensor of unknown origin as a float32 numpy array of finite numbers, none above a billion.

    Args:
        what: it is, for the message.

    Raises:
        InputError: it is something else.
    """
    import numpy as np

    try:
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.array(value.detach().cpu().float() if hasattr(value, "detach") else value, dtype=np.float32)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # each library refuses in its own way
        raise InputError(name, what, "holds no numbers", remedy) from None
    if not (np.abs(array) <= LARGEST).all():
        raise InputError(name, what, "holds NaN, infinity or numbers above a billion", remedy)
    return array


def check_choice(name, value, choices):
    """Checks that the value is one of the choices; returns it.

    Raises:
        InputError: it is not.
    """
    if value not in choices:
        raise InputError(name, value, "is not known", f"Choose one of: {', '.join(map(str, choices))}.")
    return value
