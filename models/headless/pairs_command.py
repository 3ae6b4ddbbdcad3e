"""``contrapposto plan``, ``pairs``, ``pairs-export`` and ``pairs-report``: training data for body estimators, at any scale."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..checks import InputError, check_range


def add_pairs(commands, shared, pick_device):
    """Adds the commands.

    Args:
        commands: argparse sub-parsers.
        shared: parent parser with --json and --device.
        pick_device: name -> torch.device.
    """
    _add_plan(commands.add_parser("plan", parents=[shared], help="write a plan of prompts for `contrapposto pairs`"))
    _add_pairs(commands.add_parser("pairs", parents=[shared], help="a plan to shards of image-mesh pairs"), pick_device)
    export = commands.add_parser("pairs-export", parents=[shared], help="shards of pairs to SPIN's layout, or to mesh files")
    export.add_argument("folder", metavar="DIR", help="folder with finished shards")
    export.add_argument("--meshes", metavar="KIND", help="ply or glb; default: SPIN's .npz and pictures")
    export.add_argument("--crops", action="store_true", help="224 x 224 crops instead of the whole pictures")
    export.add_argument("--body", metavar="FILE", help="for --meshes without stored vertices; default: the bundled open body")
    export.add_argument("--out", required=True, metavar="DIR", help="folder for the files")
    export.set_defaults(run=run_export)
    report = commands.add_parser("pairs-report", parents=[shared], help="how hard the poses of some pairs are, with pictures")
    report.add_argument("folder", metavar="DIR", help="folder with finished shards")
    report.add_argument("--quantiles", type=float, nargs="+", default=[0.05, 0.5, 0.95], metavar="Q", help="0 to 1 (default 0.05 0.5 0.95)")
    report.add_argument("--each", type=int, default=4, help="pictures at each quantile (default 4)")
    report.add_argument("--out", required=True, metavar="DIR", help="folder for the report")
    report.set_defaults(run=run_report)


def _add_plan(plan):
    option = plan.add_argument
    option("--list", metavar="NAME", help="smart or mpii: the actions of Diffusion-HPC's experiments")
    option("--actions", metavar="FILE", help="instead of --list: text file with one action per line")
    option("--prompts", metavar="FILE", help="instead of both: text file with one whole prompt per line")
    option("--template", metavar="TEXT", help="with {action}, and at will {description} and {person}; default: the paper's for the list")
    option("--guides", metavar="DIR", help="real pictures NAME.jpg or .png with key points NAME.json beside them; prompts go round them")
    option("--augment", type=float, default=0.0, metavar="S", help="vary each pose by this much in the prior's space (the authors: 0.05)")
    option("--count", type=int, default=1, help="samples per action, prompt or guide (default 1; the authors: 3 per guide)")
    option("--seed", type=int, default=0, help="of the first sample; the others follow (default 0)")
    option("--out", required=True, metavar="FILE.jsonl", help="where the plan goes")
    plan.set_defaults(run=run_plan)


def _add_pairs(pairs, pick_device):
    option = pairs.add_argument
    option("plan", metavar="PLAN.jsonl", help="made by `contrapposto plan`")
    option("--out", required=True, metavar="DIR", help="folder for the shards; one plan per folder")
    option("--maker", default="render", help="render: our renderer, no image model (default). paint: an image model, led by body depth")
    option("--figure", default="avatar", help="what render shows: avatar (default) or body")
    option("--model", metavar="DIR", help="for paint: Stable Diffusion 2 depth in diffusers' folder layout")
    option("--avatar", metavar="FILE", help="avatar to draw; default: the bundled one")
    option("--body", metavar="FILE", help="SMPL or SMPL-X file; default: the bundled open body")
    option("--weights", metavar="FILE", help="text-to-pose weights; default: the bundled ones")
    option("--prior", metavar="FILE", help="pose prior; default: the bundled one")
    option("--size", type=int, default=512, help="side of the pictures, pixels (default 512)")
    option("--shape", type=float, default=0.7, help="spread of the body shapes (default 0.7; 0 is the mean shape)")
    option("--vertices", action="store_true", help="store the posed vertices too")
    option("--preset", default="paper", help="paper (default) or released: how the second pass starts")
    option("--strength", type=float, default=0.7, help="for paint with a real picture: how much is painted anew (default 0.7)")
    option("--steps", type=int, default=50, help="for paint (default 50)")
    option("--guidance", type=float, default=7.5, help="for paint (default 7.5)")
    option("--shard-size", type=int, default=100, help="samples in a shard (default 100)")
    option("--workers", default="ray", help="ray: one actor per GPU, needs the extra [scale] (default). local: this process alone")
    option("--actors", type=int, help="number of Ray's actors; default: one per GPU")
    pairs.set_defaults(run=lambda arguments, progress: run_pairs(arguments, progress, pick_device))


def run_plan(arguments, progress):
    """Actions, prompts or pictures -> plan.jsonl."""
    from .plan import TEMPLATES, actions_of, compose_prompts, write_plan

    given = [name for name in ("list", "actions", "prompts") if getattr(arguments, name)]
    if len(given) != 1:
        raise InputError("--list, --actions, --prompts", given, "are not exactly one", "Give one of the three.")
    count = check_range("--count", arguments.count, 1, 10**7)
    if arguments.prompts:
        prompts = [line for line in _lines("--prompts", arguments.prompts) for _ in range(count)]
    else:
        actions = actions_of(arguments.list) if arguments.list else _lines("--actions", arguments.actions)
        template = arguments.template or TEMPLATES[arguments.list or "smart"]
        prompts = compose_prompts(template, actions, count, arguments.seed)
    extra = {"augment": arguments.augment} if check_range("--augment", arguments.augment, 0.0, 10.0) else {}
    if arguments.guides:
        guides = _guides(Path(arguments.guides), Path(arguments.out).parent)
        prompts = [prompts[i % len(prompts)] for i in range(len(guides) * count)]
        extra = [{**extra, **guides[i // count]} for i in range(len(prompts))]
    write_plan(arguments.out, prompts, arguments.seed, extra)
    return {"text": f"{len(prompts)} samples in {arguments.out}", "plan": str(arguments.out), "samples": len(prompts)}


def run_pairs(arguments, progress, pick_device):
    """plan.jsonl -> shards."""
    from .generate import WORKERS, generate
    from .pair_makers import Recipe, load_maker
    from .plan import read_plan

    if arguments.workers not in WORKERS:
        raise InputError("--workers", arguments.workers, "is not known", f"Choose one of: {', '.join(WORKERS)}.")
    names = ("maker", "size", "figure", "avatar", "body", "weights", "prior", "shape", "vertices", "model", "preset", "strength", "steps",
             "guidance")
    recipe = Recipe(**{name: getattr(arguments, name) for name in names})
    plan, device = read_plan(arguments.plan, asdict(recipe)), pick_device(arguments.device)
    gpus = int(device.type == "cuda" and arguments.workers == "ray")
    tally = generate(plan, partial(load_maker, recipe, str(device)), arguments.out, arguments.shard_size, arguments.workers,
                     arguments.actors, gpus, lambda i, n: progress("shards", i, n))
    text = (f"{tally.pairs} pairs and {tally.rejects} rejects in {arguments.out}; {tally.made} shards made now, "
            f"{tally.skipped} were finished before")
    return {"text": text, "folder": str(arguments.out), **asdict(tally)}


def run_export(arguments, progress):
    """Shards -> SPIN's layout, or one mesh file per pair."""
    from ..pose_correction.shards import finished_shards, read_shard

    pairs = (pair for shard in finished_shards(arguments.folder) for pair in read_shard(shard))
    if not arguments.meshes:
        from ..pose_correction.spin_export import export_spin

        path, left_out = export_spin(pairs, arguments.out, crops=arguments.crops)
        return {"text": f"{path}; {len(left_out)} left out", "file": str(path), "left_out": left_out}
    from ..assets.search import locate
    from ..bodies.body import load_body_model, pose_body
    from ..checks import check_choice
    from ..pose_correction.meshes import FORMATS, write_mesh

    kind, count = check_choice("--meshes", arguments.meshes, FORMATS), 0
    body = load_body_model(locate("body_models", arguments.body))
    for count, pair in enumerate(pairs, 1):  # noqa: B007 (the number is told at the end)
        stored = pair.vertices is not None
        vertices = pair.vertices if stored else pose_body(body, pair.pose).vertices()[0]
        write_mesh(Path(arguments.out) / f"{pair.id}.{kind}", vertices, pair.faces if stored else body.faces)
    return {"text": f"{count} meshes in {arguments.out}", "folder": str(arguments.out), "count": count}


def run_report(arguments, progress):
    """Shards -> difficulty.json and a sheet of pictures."""
    from .difficulty_report import report_difficulty

    paths, scores = report_difficulty(arguments.folder, arguments.out, arguments.quantiles, arguments.each)
    return {"pictures": [str(path) for path in paths], "difficulty": scores}


def _lines(name, path):
    from ..assets.files import check_file

    try:
        lines = [line.strip() for line in check_file(name, path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(name, path, f"is not UTF-8 text (byte {error.start})", "Save it as UTF-8.") from None
    if not lines:
        raise InputError(name, path, "holds nothing", "Write one entry per line.")
    return lines


def _guides(folder, base):
    """{"image", "keypoints"} of every picture with key points beside it, relative to the plan."""
    import os

    pictures = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    pictures = [path for path in pictures if path.with_suffix(".json").exists()]
    if not pictures:
        raise InputError("--guides", folder, "holds no picture with key points beside it",
                         "Put NAME.json, as OpenPose writes it, beside NAME.jpg.")

    def here(path):
        return Path(os.path.relpath(path, base)).as_posix()
    return [{"image": here(path), "keypoints": here(path.with_suffix(".json"))} for path in pictures]
