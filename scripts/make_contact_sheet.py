"""Draws five poses for each of 60 sentences, for looking at them: python scripts/make_contact_sheet.py [--weights FILE] [--out FILE]

The sentences were written for this sheet. None of them is a probe or a training caption.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from contrapposto.models.bodies.body import load_body_model
from contrapposto.models.headless.pictures import to_bytes
from contrapposto.models.text_to_pose import load_text_to_pose, sample_poses
from contrapposto.models.training.side_by_side import gray_picture

SENTENCES = (
    "a grandmother knitting by the stove", "the conductor asks the brass to play louder", "teenager staring at the phone on the escalator",
    "a plasterer smoothing the ceiling", "she whispers into her friend's ear", "somebody who has just dropped a hammer on the toes",
    "a locksmith crouching at the keyhole", "holding the ladder for a colleague", "a toddler demanding to be picked up",
    "a beekeeper inspecting a honeycomb at arm's length", "an opera diva hitting the highest note", "a mime trapped in a glass box",
    "the goalkeeper tips the ball over the bar", "a curler sweeping the ice in front of the stone", "a sprinter stretching a calf",
    "a matador with the cape", "an ice hockey player leaning on the stick", "a gymnast finishing the routine, arms up, feet together",
    "a yoga beginner wobbling on one foot", "a breakdancer in a freeze on one hand", "a diver on the edge of the board, arms at the sides",
    "a tired mother collapsing into the armchair", "lounging on the rug like a cat", "a boy lying on the jetty, chin over the water",
    "the patient is lying on the stretcher, one arm across the chest", "asleep at the desk", "warming both feet at the campfire, on a log",
    "a monk in silent contemplation", "a shoemaker on a low stool", "a bride throwing the bouquet backwards",
    "the left hand lies on the heart while the right one swears", "the right arm points up, the left arm points to the floor",
    "right hand on the hip, left arm stretched sideways", "left knee up, right arm up", "kicking a tin can with the left foot",
    "leaning on a walking stick with the right hand", "a pupil pointing at the map with the left hand",
    "standing on the left leg with folded arms",
    "right foot on a football, arms folded", "kneeling on the right knee, left hand on the left thigh",
    "I can't believe we lost", "get out of my house!", "a ghost sneaking up behind you", "terrified of a mouse",
    "a proud peacock of a man", "too cool for school", "drowning in paperwork", "she has the whole world in her hands",
    "a marionette whose strings were cut", "a lifeguard running into the surf", "climbing over a garden wall", "wading through deep snow",
    "jumping off a swing", "a cat burglar on tiptoe", "pushing a car out of the mud", "dragging a heavy suitcase",
    "a caveman about to throw a rock", "an astronaut floating weightlessly", "a robot with dead batteries, bent forward",
    "the Statue of Liberty as a tourist souvenir")
CANDIDATES, SIDE, COLUMNS, LINE = 5, 96, 3, 16


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--weights", type=Path)
    arguments.add_argument("--out", type=Path, default=Path("docs/pictures/text_to_pose_60x5.jpg"))
    options = arguments.parse_args()
    body, model = load_body_model(), load_text_to_pose(options.weights)
    poses = sample_poses(model, list(SENTENCES), CANDIDATES, seed=7, body=body)
    rows, width = -(-len(SENTENCES) // COLUMNS), CANDIDATES * SIDE
    sheet = Image.new("RGB", (COLUMNS * (width + 8), rows * (SIDE + LINE)), "white")
    write = ImageDraw.Draw(sheet)
    for number, sentence in enumerate(SENTENCES):
        x, y = number // rows * (width + 8), number % rows * (SIDE + LINE)
        write.text((x + 2, y + 2), sentence, fill="black")
        for candidate in range(CANDIDATES):
            picture = gray_picture(body, poses[number * CANDIDATES + candidate], 2 * SIDE)
            small = torch.nn.functional.avg_pool2d(picture.movedim(-1, 0)[None], 2)[0].movedim(0, -1)
            sheet.paste(Image.fromarray(to_bytes(small).numpy()), (x + candidate * SIDE, y + LINE))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out, quality=85)


if __name__ == "__main__":
    main()
