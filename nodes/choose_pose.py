"""Choosing by eye: thumbnails of all candidates, of which some go on."""

from __future__ import annotations

import re
from pathlib import Path

from comfy_api.v0_0_2 import io

from ..models.assets.files import atomic_write
from ..models.checks import InputError
from . import browser, host, ranking, sockets
from .sockets import declare

SHOWN_MAX = 200
PICTURE_SIZE = 176  # of one thumbnail, pixels
LONGEST = 2000  # characters


class ChoosePose(io.ComfyNode):
    """Candidates -> those that somebody has clicked."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoChoosePose",
            display_name="Choose Pose",
            category="contrapposto/pose",
            description="Shows all candidates as thumbnails; click the ones that shall go on. "
            "Lock those you like and draw the others anew.",
            search_aliases=["gallery", "pick pose", "select candidate", "thumbnails"],
            is_output_node=True,
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip=f"The candidates, one per row; the first {SHOWN_MAX} are shown."),
                _chosen_input(),
            ],
            outputs=[sockets.BodyPose.Output(display_name="body_pose", tooltip="The chosen poses, in the order of their numbers.")],
        )

    @classmethod
    def validate_inputs(cls, chosen):
        try:
            parse_numbers(chosen or "")
        except InputError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, body_pose, chosen):
        numbers = parse_numbers(chosen) or [1]
        if numbers[-1] > len(body_pose):
            raise InputError("chosen", chosen, f"names more than the {len(body_pose)} candidates", f"Choose from 1 to {len(body_pose)}.")
        pictures = [browser.address(path) for path in _thumbnails(body_pose[: min(len(body_pose), SHOWN_MAX)])]
        return io.NodeOutput(body_pose[[number - 1 for number in numbers]], ui=browser.message({"pictures": pictures}))


def parse_numbers(text):
    """Returns the sorted numbers of a text such as "1, 3"; an empty text gives none.

    Raises:
        InputError: the text holds anything else.
    """
    if not isinstance(text, str) or len(text) > LONGEST or not re.fullmatch(r"[\d\s,]*", text):
        raise InputError("chosen", text, "is not a list of numbers", "Click a thumbnail, or write for example 1, 3.")
    numbers = sorted({int(number[:9]) for number in re.findall(r"\d+", text)})
    if numbers and numbers[0] < 1:
        raise InputError("chosen", text, "counts from 0", "The first candidate is 1.")
    return numbers


def _chosen_input():
    """A text whose widget is our gallery; over the API it is a text like any other."""
    text = io.String.Input(
        "chosen",
        default="1",
        socketless=True,
        tooltip="Numbers of the chosen candidates, counted from 1, for example 1, 3. Empty takes the first.",
    )
    text.widget_type = "CONTRAPPOSTO_GALLERY"
    return text


def _thumbnails(body_pose) -> list[Path]:
    """Draws each pose as a gray body on light paper and returns the files."""
    from PIL import Image

    paths = [browser.temp_file("pose", ".png", body_pose.global_orient[i], body_pose.body_pose[i]) for i in range(len(body_pose))]
    if all(path.exists() for path in paths):
        return paths
    pictures = host.to_intermediate(ranking.gray_pictures(body_pose, PICTURE_SIZE)).mul(255).round().byte().cpu().numpy()
    for path, picture in zip(paths, pictures):
        with atomic_write(path, "thumbnail") as part:
            Image.fromarray(picture).save(part, "PNG")
    return paths
