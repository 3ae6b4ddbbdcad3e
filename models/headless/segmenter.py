"""People found by an instance segmentation network in transformers' layout: ``ports.Segmenter``. Nothing is downloaded."""

from __future__ import annotations

import torch
from torch import Tensor

from ..checks import InputError

PERSON = "person"
SURE = 0.5  # score from which an instance counts


class TransformersSegmenter:
    """``ports.Segmenter`` over a Mask2Former, MaskFormer or OneFormer.

    Args:
        network: the model; its config names the classes.
        processor: its image processor.
        sure: lowest score of an instance, 0..1.

    Raises:
        InputError: the network knows no people.
    """

    def __init__(self, network, processor, sure=SURE):
        self.network, self.processor, self.sure = network.eval(), processor, sure
        self.people = {number for number, name in network.config.id2label.items() if name.lower() == PERSON}
        if not self.people:
            raise InputError("segmenter", type(network).__name__, f"has no class {PERSON!r}", "Give one that was trained on COCO.")

    @torch.no_grad()
    def person_masks(self, image: Tensor) -> Tensor:
        """(H, W, 3) sRGB 0..1 -> (N, H, W) masks of people, 1 inside."""
        pixels = (image * 255).round().to(torch.uint8).cpu().numpy()
        given = self.processor(images=pixels, return_tensors="pt").to(self.network.device)
        found = self.processor.post_process_instance_segmentation(self.network(**given), threshold=self.sure,
                                                                  target_sizes=[tuple(image.shape[:2])])[0]
        numbers = [entry["id"] for entry in found["segments_info"] if entry["label_id"] in self.people]
        drawn = found["segmentation"].to(image.device)
        return torch.stack([drawn == number for number in numbers]).float() if numbers else image.new_zeros(0, *image.shape[:2])


def load_segmenter(folder, device="cpu") -> TransformersSegmenter:
    """Loads a segmentation network.

    Args:
        folder: with config.json, model.safetensors and preprocessor_config.json.
        device: where it runs.

    Raises:
        InputError: it cannot be loaded, knows no people, or transformers is not installed.
    """
    try:
        from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation

        network = AutoModelForUniversalSegmentation.from_pretrained(folder, local_files_only=True).to(device)
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (ImportError, OSError, ValueError, KeyError) as error:
        remedy = "Give a folder with a Mask2Former or MaskFormer in transformers' layout; install transformers."
        raise InputError("segmenter", folder, f"cannot be loaded ({error})", remedy) from None
    return TransformersSegmenter(network, processor)
