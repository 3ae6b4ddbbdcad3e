"""A node pack for the soak only: what this ComfyUI process holds at the moment, at GET /soak/held."""

import asyncio
import ctypes
import gc
import os
import threading
from collections import Counter

import torch
from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS = {}


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def trim():
    """Gives freed heap pages back, as far as the C library can: what stays is held, not merely cached by malloc."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError:
        pass


def held():
    gc.collect()
    gc.collect()
    before = resident_bytes()
    trim()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    shapes = Counter(str(tuple(tensor.shape)) for tensor in tensors)
    return {
        "asked_to_free": bool(PromptServer.instance.prompt_queue.get_flags(reset=False)),
        "resident_untrimmed": before,
        "resident": resident_bytes(),
        "threads": threading.active_count(),
        "os_threads": len(os.listdir("/proc/self/task")),
        "handles": len(os.listdir("/proc/self/fd")),
        "handle_names": dict(Counter(_name(fd) for fd in os.listdir("/proc/self/fd"))),
        "thread_names": dict(Counter(thread.name.rsplit("_", 1)[0] for thread in threading.enumerate())),
        "tensors": len(tensors),
        "tensor_bytes": sum(_bytes(tensor) for tensor in tensors),
        "shapes": dict(shapes.most_common(40)),
        "objects": len(gc.get_objects()),
        "cuda_bytes": torch.cuda.memory_allocated() if torch.cuda.is_available() else 0,
    }


def _name(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}").split(":")[0]
    except OSError:
        return "closed"


def _bytes(tensor):
    try:
        return tensor.numel() * tensor.element_size()
    except RuntimeError:  # a tensor without storage
        return 0


@PromptServer.instance.routes.get("/soak/held")
async def answer(request):
    return web.json_response(await asyncio.to_thread(held))
