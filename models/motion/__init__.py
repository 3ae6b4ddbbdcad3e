"""Motion: files in and out, joints to poses, editing, animated exports, ComfyUI core's rig bus.

Start with `load.load_motion` and `save.save_motion`; `edit` works on what lies between.
"""

from .load import load_motion
from .save import save_motion

__all__ = ["load_motion", "save_motion"]
