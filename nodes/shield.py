"""Keeps from our nodes what other packs leave behind: torch's default number type and default device are settings of the whole process."""

from __future__ import annotations

import functools
from contextlib import contextmanager

import torch


def protect(node):
    """Lets a node class execute under torch's own defaults, float32 on the CPU, whatever they are outside; returns the class."""
    execute = node.execute.__func__
    if not hasattr(execute, "is_shielded"):

        @functools.wraps(execute)
        def shielded(cls, *args, **inputs):
            with torchs_own_defaults():
                return execute(cls, *args, **inputs)

        shielded.is_shielded = True
        node.execute = classmethod(shielded)
    return node


@contextmanager
def torchs_own_defaults():
    """Sets torch's defaults back for a while. Costs nothing where nobody has changed them."""
    if torch.get_default_dtype() == torch.float32 and torch.get_default_device().type == "cpu":
        yield
        return
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
