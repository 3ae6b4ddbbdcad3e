"""Which candidate fits the sentence best."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.bodies.body import load_body_model
from ..models.checks import InputError
from ..models.render.camera import frame_figure
from ..models.render.contact_sheet import draw_contact_sheet
from ..models.render.engine import render_figure
from ..models.text_to_pose.prompts import check_prompt
from ..models.text_to_pose.ranking import load_pose_scorer, rank_by_clip, rank_poses
from . import convert, host, sockets
from .sockets import declare

KEEP_MAX = 256
PICTURE_SIZE = 320  # of one candidate, pixels
SHEET_MAX = 36  # more could not be told apart
PAPER = 0.97


class RankPoses(io.ComfyNode):
    """Candidates -> the same poses, best first, with scores and a contact sheet."""

    BUNDLED = "open pose scorer"

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoRankPoses",
            display_name="Rank Poses",
            category="contrapposto/pose",
            description="Puts the candidates that fit the sentence best first. The bundled scorer looks at the pose itself; "
            "with a CLIP and its vision half, pictures of the gray body are compared with the sentence.",
            search_aliases=["best pose", "sort poses", "CLIP score", "filter"],
            is_output_node=True,
            inputs=[
                sockets.BodyPose.Input("body_pose", tooltip="The candidates, one per row, from Text to Pose."),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="a person doing a handstand",
                    tooltip="What the body should do, in English; best the same sentence as in Text to Pose.",
                ),
                io.Int.Input(
                    "keep",
                    default=0,
                    min=0,
                    max=KEEP_MAX,
                    tooltip="How many of the best to keep (1 to 256). 0 keeps all, in order.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Text half of a CLIP, with its projection; only together with clip_vision. "
                    "Not connected: the bundled scorer.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="Picture half of the same CLIP; only together with clip.",
                ),
                declare(
                    io.Combo.Input,
                    "scorer",
                    options=host.file_choices("pose_scorers", cls.BUNDLED),
                    optional=True,
                    advanced=True,
                    tooltip="What compares poses with the sentence: the bundled scorer, or a .safetensors file in "
                    "ComfyUI/models/pose_scorers. Unused with clip.",
                ),
                io.Boolean.Input(
                    "balance",
                    default=True,
                    optional=True,
                    label_on="poses that stand first",
                    label_off="only the sentence counts",
                    tooltip="Candidates that would fall over lose up to 0.12 of their score. Unused with clip.",
                ),
            ],
            outputs=[
                sockets.BodyPose.Output(display_name="body_pose", tooltip="The kept poses, best first."),
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="One per kept pose, best first (-1 to 1): the cosine, less what is lost for balance. "
                    "Compare them within one sentence only.",
                ),
                io.Image.Output(
                    display_name="contact_sheet",
                    tooltip=f"The best {SHEET_MAX} kept poses with rank, score and their row in the input.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, scorer=None):
        return host.explain_missing("pose_scorers", scorer, cls.BUNDLED)

    @classmethod
    def fingerprint_inputs(cls, scorer=None):
        return host.choice_fingerprint("pose_scorers", scorer)

    @classmethod
    def execute(
        cls,
        body_pose,
        text,
        keep,
        clip=None,
        clip_vision=None,
        scorer=None,
        balance=False,  # prompts written before this input was there keep their order; a new node has it on
    ):
        if (clip is None) != (clip_vision is None):
            name, other = ("clip_vision", "clip") if clip_vision is None else ("clip", "clip_vision")
            raise InputError(name, None, f"is missing beside {other}", "Connect both for CLIP scores, or neither.")
        if clip is None:
            source = scorer and host.choice_to_source("pose_scorers", scorer)
            body = load_body_model(device=host.compute_device()) if balance else None
            order, scores = rank_poses(load_pose_scorer(source, host.compute_device()), text, body_pose, body)
        else:
            text_embeds, image_embeds = host.clip_embeddings(clip, clip_vision, check_prompt(text), gray_pictures(body_pose))
            order, scores = rank_by_clip(image_embeds, text_embeds)
        rows = order[0, : keep or None].tolist()
        kept, best = body_pose[rows], scores[0].tolist()
        captions = [f"{rank}.   score {best[row]:.3f}   (row {row + 1})" for rank, row in enumerate(rows[:SHEET_MAX], 1)]
        sheet = host.to_intermediate(draw_contact_sheet(gray_pictures(kept[:SHEET_MAX]), captions))[None]
        return io.NodeOutput(kept, [best[row] for row in rows], sheet, ui=convert.preview_image(sheet))


def gray_pictures(body_pose, size=PICTURE_SIZE):
    """Returns (B, size, size, 3) pictures of poses as gray bodies on light paper, each framed on its own."""
    figure = convert.figure_on(host.compute_device(), body_pose)
    camera = frame_figure(figure, size, size, view="three-quarter")
    render = render_figure(figure, camera, on_row=host.progress())
    alpha = render.alpha[..., None]
    return render.rgb * alpha + PAPER * (1 - alpha)
