"""What works here, what is missing, and where it goes."""

from __future__ import annotations

import logging
from pathlib import Path

from comfy_api.v0_0_2 import io

from ..models.headless.doctor import as_text, examine, missing_packages
from . import browser, host
from .sockets import declare


def warn_of_missing_packages():
    """Says in ComfyUI's log which packages are missing. The nodes are there all the same: those that need none of them work."""
    if missing := missing_packages():
        requirements = Path(__file__).parents[1] / "requirements.txt"
        logging.warning('Contrapposto lacks %s. Run: pip install -r "%s"', ", ".join(missing), requirements)


class Doctor(io.ComfyNode):
    """This ComfyUI, looked over -> a report."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoDoctor",
            display_name="Doctor",
            category="contrapposto/help",
            description="Looks over this installation: packages, bundled files, your own files and where they belong, and a picture from a "
            "sentence as a self-test. Copy the report when you ask for help; it holds no passwords, and your home folder is written as ~.",
            search_aliases=["diagnose", "check installation", "missing files", "help"],
            is_output_node=True,
            inputs=[
                io.Boolean.Input(
                    "self_test", default=True, tooltip="Also make a small picture from a sentence, which takes some seconds."
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="report", tooltip="One line per check: ok, !! for what is needed, -- for what is optional."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, self_test):
        return float("nan")  # files and packages change without the inputs; nothing equals NaN

    @classmethod
    def execute(cls, self_test):
        for kind in host.MODEL_FOLDERS:
            host.file_choices(kind)  # so that ComfyUI's own folders are searched
        report = as_text(examine(host.compute_device(), host.describe(), self_test))
        return io.NodeOutput(report, ui=browser.message({"text": report}))
