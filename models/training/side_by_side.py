"""A blind preference test in one HTML file: two unnamed pictures for each sentence, a vote, a tally.

Which system made which picture is drawn anew for every sentence and shown only at the end. The file needs no server and sends nothing.
"""

from __future__ import annotations

import base64
import html
import io
import json
import random

from ..assets.files import atomic_write
from ..bodies.body import pose_body
from ..render.camera import frame_figure
from ..render.engine import render_figure

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Which pose fits better?</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 760px; margin: 2rem auto; padding: 0 1rem; color: #222; background: #f4f2ee }
h1 { font-size: 1.3rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; font-weight: 600 }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem } figure { margin: 0 }
img { width: 100%; display: block; background: #fff; border-radius: 8px }
button { font: inherit; padding: .4rem .9rem; margin: .5rem .3rem 0 0; border: 1px solid #bbb; border-radius: 6px; background: #fff }
button { cursor: pointer } button.chosen { background: #2b5d8a; color: #fff; border-color: #2b5d8a }
#tally { position: sticky; bottom: 0; background: #fffd; padding: .7rem 1rem; border-radius: 8px; margin-top: 2rem }
</style>
<h1>Which pose fits the sentence better?</h1>
<p>Vote for every pair. The pictures come from two systems in random order; their names appear when all votes are in.</p>
<main></main><div id="tally"></div>
<script>
const pairs = PAIRS, names = NAMES, votes = {};
const main = document.querySelector("main"), tally = document.getElementById("tally");
pairs.forEach((pair, i) => {
  const box = document.createElement("section"), title = document.createElement("h2"), row = document.createElement("div");
  title.textContent = (i + 1) + ". " + pair.text; row.className = "pair"; box.append(title, row);
  pair.pictures.forEach((picture, side) => {
    const figure = document.createElement("figure"), image = document.createElement("img");
    image.src = picture; image.alt = "pose " + "AB"[side]; figure.append(image); row.append(figure);
  });
  ["A (left)", "B (right)", "no difference"].forEach((label, choice) => {
    const button = document.createElement("button");
    button.textContent = label;
    button.onclick = () => {
      votes[i] = choice;
      box.querySelectorAll("button").forEach((b, k) => b.classList.toggle("chosen", k === choice));
      show();
    };
    box.append(button);
  });
  main.append(box);
});
function show() {
  const cast = Object.keys(votes).length, count = [0, 0, 0];
  if (cast < pairs.length) { tally.textContent = cast + " of " + pairs.length + " votes"; return; }
  Object.entries(votes).forEach(([i, choice]) => count[choice === 2 ? 2 : pairs[i].order[choice]]++);
  tally.textContent = names[0] + ": " + count[0] + " · " + names[1] + ": " + count[1] + " · no difference: " + count[2];
}
show();
</script></html>
"""


def write_side_by_side(path, texts, systems, body, size=320, seed=0, on_row=None):
    """Writes the page.

    Args:
        path: the HTML file.
        texts: the sentences.
        systems: {name: BodyPose with one row per sentence}, exactly two.
        body: BodyModel to draw.
        size: pixels of a picture's side.
        seed: of the order of the two pictures.
        on_row: called with (done, total).
    """
    pictures = {name: [] for name in systems}
    for i in range(len(texts)):
        for name, pose in systems.items():
            pictures[name].append(as_address(gray_picture(body, pose[i], size)))
        if on_row:
            on_row(i + 1, len(texts))
    return write_page(path, texts, pictures, seed)


def write_page(path, texts, pictures, seed=0, question="Which pose fits the sentence better?"):
    """Writes the page for pictures that are there already.

    Args:
        path: the HTML file.
        texts: the sentences.
        pictures: {name of a system: one data address per sentence}, exactly two.
        seed: of the order of the two pictures.
        question: what the page asks.
    """
    names, shuffle, pairs = list(pictures), random.Random(seed), []
    for i, text in enumerate(texts):
        order = [0, 1] if shuffle.random() < 0.5 else [1, 0]
        pairs.append({"text": text, "order": order, "pictures": [pictures[names[which]][i] for which in order]})
    page = _PAGE.replace("Which pose fits the sentence better?", html.escape(question))
    page = page.replace("PAIRS", _embed(pairs)).replace("NAMES", _embed(names))
    with atomic_write(path, "--out") as part:
        part.write_text(page, encoding="utf-8")
    return path


def _embed(value):
    """JSON that cannot end the script it stands in."""
    return json.dumps(value).replace("</", "<\\/")


def gray_picture(body, pose, size):
    """(size, size, 3) 0..1, the gray body of one pose on light paper, seen from a little to the side."""
    figure = pose_body(body, pose)
    drawn = render_figure(figure, frame_figure(figure, size, size, view="three-quarter"), "gray")
    alpha = drawn.alpha[0, ..., None]
    return drawn.rgb[0] * alpha + 0.97 * (1 - alpha)


def as_address(pixels):
    """A picture (H, W, 3) 0..1 as a data address."""
    from PIL import Image

    pixels = (pixels * 255).round().clamp(0, 255).byte()
    held = io.BytesIO()
    Image.fromarray(pixels.cpu().numpy()).save(held, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()
