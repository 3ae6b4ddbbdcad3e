"""What must not happen while a file is read: code of the file runs, files outside are touched, programs are started."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.forkpty",
    "os.startfile",
    "pty.spawn",
    "socket.connect",
    "socket.bind",
    "ctypes.dlopen",
)
WRITES = (
    "os.mkdir",
    "os.rmdir",
    "os.remove",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
    "shutil.rmtree",
    "shutil.move",
    "shutil.copyfile",
)
PROGRAMS = "subprocess.Popen"
OF_TORCH = [os.path.join(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}")]  # torch makes it at the first optimizer
READABLE = []  # folders that the host lets its nodes read
_state = {"folder": None, "programs": False, "seen": []}


class Payload:
    """Unpickling it by the ordinary way is noticed."""

    def __reduce__(self):
        return sing, ()


def sing():
    _state["seen"].append("code of the file was run")


def install():
    """Starts to listen; once per process, as Python never forgets a listener."""
    sys.addaudithook(_listen)


class watch:
    """``with watch(folder) as seen:`` lists everything forbidden that happened; only ``folder`` may be written."""

    def __init__(self, folder, programs=False):
        self.folder, self.programs = folder, programs

    def __enter__(self):
        _state["seen"].clear()
        _state["folder"], _state["programs"] = os.path.realpath(self.folder), self.programs
        return _state["seen"]

    def __exit__(self, *_):
        _state["folder"] = None


def _listen(event, args):
    folder = _state["folder"]
    if folder is None:
        return
    if event == "open":
        if isinstance(args[0], (str, bytes)):
            _opened(os.fsdecode(args[0]), args[1], args[2], folder)
    elif (event in FORBIDDEN or event == PROGRAMS) and not (_state["programs"] and event in (PROGRAMS, "os.fork")):
        _state["seen"].append(f"{event} {args!r:.200}")
    elif event in WRITES and isinstance(args[0], (str, bytes)) and not _inside(os.fsdecode(args[0]), folder, *OF_TORCH):
        _state["seen"].append(f"{event} {args!r:.200}")


def _opened(path, mode, flags, folder):
    writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes and path != os.devnull and not _inside(path, folder):
        _state["seen"].append(f"writes {path!r:.200}")
    elif not writes and not _inside(
        path, folder, str(ROOT), sys.prefix, sys.base_prefix, "/usr", "/proc", "/sys", "/lib", "/dev", "/etc/localtime", *READABLE
    ):
        _state["seen"].append(f"reads {path!r:.200}")


def _inside(path, *folders):
    real = os.path.realpath(path)
    return any(real == folder or real.startswith(folder.rstrip(os.sep) + os.sep) for folder in map(os.path.realpath, folders))
