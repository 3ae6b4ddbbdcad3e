"""How much a painted person looks like the reference pictures."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from ..models.checks import InputError
from ..models.metrics.reference_similarity import image_similarity, part_on_white, part_similarity
from . import convert, sockets
from .parts_to_whole import CATEGORY
from .sockets import declare


class ReferenceSimilarity(io.ComfyNode):
    """Pictures against references."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoReferenceSimilarity",
            display_name="Reference Similarity",
            category=CATEGORY,
            description="Measures how much pictures look like their references: with a CLIP Vision model it is CLIP-I, with DINOv2 it "
            "is DINO. With masks of one part, only that part is compared, without background.",
            search_aliases=["CLIP-I", "DINO", "evaluate", "score"],
            is_output_node=True,
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="CLIP for CLIP-I, DINOv2 for DINO, from Load CLIP Vision."),
                io.Image.Input("images", tooltip="The painted pictures."),
                sockets.ReferenceParts.Input("references", tooltip="From Reference Part."),
                io.Mask.Input("masks", optional=True, tooltip="1 where the references' part is in each picture, 0 elsewhere. Give "
                              "references of one label only then. Not connected: whole pictures are compared with the references' parts."),
            ],
            outputs=[
                io.Float.Output(display_name="similarity", tooltip="Mean cosine of pictures and references (-1 to 1)."),
                io.String.Output(display_name="report", tooltip="The mean of each part."),
            ],
        )

    @classmethod
    def execute(cls, clip_vision, images, references, masks=None):
        pictures, masks = convert.image_to_rgb(images), convert.mask_to_bhw(masks)
        labels = list(dict.fromkeys(reference.label for reference in references))
        if masks is not None and len(labels) != 1:
            raise InputError("masks", f"{len(masks)} rows", f"cannot belong to {', '.join(labels) or 'nothing'} at once",
                             "Give references of one label, or no masks.")
        if masks is not None and len(masks) not in (1, len(pictures)):
            raise InputError("masks", f"{len(masks)} rows", f"do not fit {len(pictures)} pictures", "Give one, or one per picture.")
        scores = {label: _score(_embedder(clip_vision), pictures, masks, [part for part in references if part.label == label])
                  for label in labels}
        if not scores:
            raise InputError("references", 0, "hold no part", "Connect Reference Part.")
        mean = sum(scores.values()) / len(scores)
        report = "\n".join([f"all: {mean:.4f}", *(f"{label}: {score:.4f}" for label, score in scores.items())])
        return io.NodeOutput(mean, report)


def _embedder(clip_vision):
    """(N, H, W, 3) -> (N, D): a CLIP's projected state, else the mean of the last tokens, as DINO is compared."""
    def embed(pictures):
        seen = clip_vision.encode_image(pictures)
        projected = seen["image_embeds"]
        return projected if projected is not None and projected.ndim == 2 else seen["last_hidden_state"].mean(1)
    return embed


def _score(embed, pictures, masks, references):
    label = references[0].label
    if masks is None:
        parts = [part_on_white(label, reference.image, reference.mask)[None] for reference in references]
        return float(sum(image_similarity(embed, pictures, part).mean() for part in parts)) / len(parts)
    given = [(label, reference.image, reference.mask) for reference in references]
    rows = [part_similarity(embed, picture, {label: masks[min(row, len(masks) - 1)]}, given)[label] for row, picture in enumerate(pictures)]
    return sum(rows) / len(rows)
