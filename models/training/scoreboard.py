"""The scoreboard in files: JSON for machines, a Markdown table for people, a plot."""

from __future__ import annotations

import json

from ..assets.files import atomic_write

CAPTION_COLUMNS = (("fpd_prior", "FPD prior", 2), ("fpd_joints", "FPD joints", 3), ("r1_of_32", "R@1/32", 3), ("r2_of_32", "R@2/32", 3),
                   ("r3_of_32", "R@3/32", 3), ("r1_of_256", "R@1/256", 3), ("r3_of_256", "R@3/256", 3), ("multimodality_m", "spread, m", 3),
                   ("implausible", "implausible", 3))
_COLOURS = ("#1f5f99", "#d98c3f", "#e8c39e", "#b9b9b9", "#d9d9d9")  # the model stands out, its strongest rivals come next
PROBE_COLUMNS = (("single", "single"), ("any", "any of five"), ("ranked", "ranked first"))


def goals(report):
    """The goals set beforehand: name, value, limit, whether it is met."""
    probes, authored, sides = report["probes"]["model"], report["captions"]["authored"], report["sides"]["model"]
    best = {name: max(report["probes"][other][name] for other in report["probes"] if other != "model") for name in ("single", "any")}
    free = authored["unconditional"]
    captured = report["captions"]["captured"]
    rows = [
        ("probes, single sample", probes["single"], max(0.65, best["single"]), "at least"),
        ("probes, any of five", probes["any"], max(0.80, best["any"]), "at least"),
        ("ranked first minus single", probes["ranked"] - probes["single"], 0.08, "at least"),
        ("side-naming probes, single", probes["families"]["side-naming"]["single"], 0.92, "at least"),
        ("sides on mirrored pairs", sides["right"], 0.95, "at least"),
        ("R@1 of 32 below real poses", authored["real"]["r1_of_32"] - authored["model"]["r1_of_32"], 0.02, "at most"),
        ("FPD in the prior / unconditional", authored["model"]["fpd_prior"] / free["fpd_prior"], 0.15, "at most"),
        ("FPD in joints / unconditional", authored["model"]["fpd_joints"] / free["fpd_joints"], 0.15, "at most"),
        ("the same for captures", captured["model"]["fpd_prior"] / captured["unconditional"]["fpd_prior"], 0.15, "at most"),
        ("implausible samples (probes)", probes["implausible"], 0.03, "at most"),
        ("the same, repaired as by default", probes["repaired"]["implausible"], 0.03, "at most"),
        ("probes lost by the repair, single sample", probes["single"] - probes["repaired"]["single"], 0.01, "at most"),
        ("joint change by a scene, metres", max(scene["median_m"] for scene in report["scenes"].values()), 0.03, "at most"),
    ]
    return [{"goal": name, "value": value, "limit": limit, "sense": sense, "met": value >= limit if sense == "at least" else value <= limit}
            for name, value, limit, sense in rows]


def write_scoreboard(report, folder, plot=True):
    """Writes ``scores.json``, ``scores.md`` and, where matplotlib is installed, ``scores.png``; returns their paths."""
    paths = [folder / "scores.json", folder / "scores.md"]
    for path, text in zip(paths, (json.dumps(report, indent=1) + "\n", as_markdown(report))):
        with atomic_write(path, "--out") as part:
            part.write_text(text, encoding="utf-8")
    if plot and (picture := draw_plot(report, folder / "scores.png")):
        paths.append(picture)
    return paths


def as_markdown(report) -> str:
    """The report as Markdown tables."""
    probes, sides = report["probes"], report["sides"]
    lines = ["# Text to pose: scoreboard", "", *(f"* {name}: {_short(value)}" for name, value in report["provenance"].items())]
    lines += ["", "## Goals", "", *_table(("goal", "value", "limit", "met"), [
        (row["goal"], f"{row['value']:.3f}", f"{row['sense']} {row['limit']:.3f}", "yes" if row["met"] else "**no**")
        for row in report["goals"]])]
    lines += ["", "## Free sentences (frozen probes)", "",
              "Shares of sentences whose conditions are met; differences under 4 points are noise.", ""]
    columns = (*PROBE_COLUMNS, ("implausible", "implausible"), *((("clipsim", "CLIPSIM"),) if "clipsim" in probes["model"] else ()))
    lines += _table(("", *(title for _, title in columns)), [
        (name, *(f"{scores[key]:.3f}" for key, _ in columns)) for name, scores in probes.items()])
    lines += ["", "Single sample, by family:", "", *_families(probes)]
    for part, systems in report["captions"].items():
        count = next(iter(systems.values()))["n"]
        lines += ["", f"## Test captions, {part} (N = {count} poses against as many other real ones)", ""]
        lines += _table(("", *(title for _, title, _ in CAPTION_COLUMNS)), [
            (name, *(f"{scores[key]:.{digits}f}" if key in scores else "–" for key, _, digits in CAPTION_COLUMNS))
            for name, scores in systems.items()])
    lines += ["", "## Left and right", "", "Mirrored caption pairs whose poses differ from their mirror images.", ""]
    lines += _table(("", "pairs", "right side"), [(name, score["pairs"], f"{score['right']:.3f}") for name, score in sides.items()])
    lines += ["", "## Words about the place", "", *_table(("added words", "sentences", "median change, m", "90th percentile, m"), [
        (scene, s["n"], f"{s['median_m']:.3f}", f"{s['p90_m']:.3f}") for scene, s in report["scenes"].items()])]
    return "\n".join(lines) + "\n"


def _families(probes):
    names = list(next(iter(probes.values()))["families"])
    return _table(("family", "n", *probes), [
        (family, next(iter(probes.values()))["families"][family]["n"],
         *(f"{scores['families'][family]['single']:.2f}" for scores in probes.values())) for family in names])


def _table(head, rows):
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


def _short(value):
    return ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value


def draw_plot(report, path):
    """Probe pass rates by family and system as bars; returns the path, or None without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    probes, width = report["probes"], 0.8 / len(report["probes"])
    families = ["all", *next(iter(probes.values()))["families"]]
    figure, axes = pyplot.subplots(figsize=(13, 5), constrained_layout=True)
    for i, (name, scores) in enumerate(probes.items()):
        heights = [100 * (scores if family == "all" else scores["families"][family])["single"] for family in families]
        axes.bar([x + i * width for x in range(len(families))], heights, width, label=name, color=_COLOURS[i % len(_COLOURS)])
    axes.axhline(65, color="0.4", linewidth=1, linestyle="--", zorder=0)
    axes.text(-0.75, 66, "goal", ha="left", color="0.3")
    axes.set_xlim(-0.8, len(families))
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(families))], families, rotation=20, ha="right")
    axes.set_ylabel("sentences with a right pose, single sample, %")
    axes.set_ylim(0, 105)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(probes), loc="upper center", bbox_to_anchor=(0.5, 1.1))
    with atomic_write(path, "--out") as part:
        figure.savefig(part, dpi=110, format="png")
    pyplot.close(figure)
    return path
