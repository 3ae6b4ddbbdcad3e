"""Text to pose: PAS's diffusion transformer over body poses (section 3.3)."""

from .model import TextToPose, load_text_to_pose
from .sampling import sample_poses
from .text_encoder import TextStates

__all__ = ["TextStates", "TextToPose", "load_text_to_pose", "sample_poses"]
