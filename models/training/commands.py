"""Commands of this room for the command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations

from pathlib import Path

DATA = "../shared/data/text_pose"


def add_commands(commands, shared, pick_device):
    """Adds ``evaluate`` to the command line.

    Args:
        commands: argparse sub-parsers.
        shared: parent parser with --json and --device.
        pick_device: name -> torch.device.
    """
    evaluate = commands.add_parser("evaluate", help="score weights against baselines")
    what = evaluate.add_subparsers(required=True, metavar="WHAT")
    text_to_pose = what.add_parser("text-to-pose", parents=[shared], help="sentences to poses: the scoreboard")
    option = text_to_pose.add_argument
    option("--data", default=DATA, metavar="DIR", help=f"text_pose folder (default {DATA})")
    option("--split", default="test", help="train, val or test (default test)")
    option("--weights", metavar="FILE", help="text-to-pose weights; default: the bundled ones")
    option("--captions", type=int, default=1000, metavar="N", help="test captions of each kind, at least 200 (default 1000)")
    option("--pool", type=int, default=12000, metavar="N", help="training captions that retrieval searches (default 12000)")
    option("--clip", metavar="DIR", help="CLIP in transformers' layout, for the similarity of sentences and pictures (CLIPSIM)")
    option("--pictures", type=int, default=40, metavar="N", help="pairs in the blind test page, 0 for none (default 40)")
    option("--out", default="output/evaluate", metavar="DIR", help="folder (default output/evaluate)")
    text_to_pose.set_defaults(run=lambda arguments, progress: run_text_to_pose(arguments, progress, pick_device(arguments.device)))
    scenes = what.add_parser("personalization", parents=[shared], help="scenes around avatars, several systems side by side")
    scenes.add_argument("folder", metavar="DIR", help="prompts.jsonl, avatars and one folder of scenes per system")
    scenes.add_argument("--systems", nargs="+", default=["baseline", "ours"], metavar="NAME", help="folders to compare, ours last")
    scenes.add_argument("--clip", metavar="DIR", help="CLIP in transformers' layout, for the similarity to the text")
    scenes.add_argument("--out", default="output/personalization", metavar="DIR", help="folder (default output/personalization)")
    scenes.set_defaults(run=lambda arguments, progress: run_personalization(arguments, progress, pick_device(arguments.device)))


def run_text_to_pose(arguments, progress, device):
    """Scores, tables, plot and the blind test page."""
    from ..assets.search import locate
    from ..checks import check_range
    from .evaluate_personalization import load_clip
    from .evaluate_text_to_pose import Size, check_size, evaluate, open_bench, preference_pairs
    from .scoreboard import as_markdown, write_scoreboard

    check_range("--pool", arguments.pool, 100, 10**6)
    check_range("--pictures", arguments.pictures, 0, 1000)
    size, folder = Size(captions=arguments.captions, pool=arguments.pool), Path(arguments.out)
    check_size(arguments.split, size)
    clip = load_clip(arguments.clip, device) if arguments.clip else None
    progress("reading", 0, 1)
    bench = open_bench(arguments.data, locate("text_to_pose", arguments.weights), size, device, clip)
    report = evaluate(bench, arguments.split, size, progress)
    paths = write_scoreboard(report, folder)
    if arguments.pictures:
        paths.append(preference_pairs(folder / "side_by_side.html", bench, arguments.pictures, on_stage=progress))
    return {"text": as_markdown(report), "files": [str(path) for path in paths], "scores": report}


def run_personalization(arguments, progress, device):
    """Scores and the blind preference pages."""
    from .evaluate_personalization import as_table, evaluate_scenes, load_clip, open_scenes, write_report

    scenes = open_scenes(arguments.folder, arguments.systems)
    clip = load_clip(arguments.clip, device) if arguments.clip else None
    scores = evaluate_scenes(scenes, clip, on_row=lambda done, total: progress("scoring", done, total))
    paths = write_report(scenes, scores, arguments.out)
    return {"text": as_table(scores), "files": [str(path) for path in paths], "scores": scores}
