"""One-line progress on stderr for jobs a person waits for. Silent when stderr is no terminal or --json is asked for."""

from __future__ import annotations

import sys
import time

WIDTH = 28
PATIENCE = 1.0  # seconds before a bar appears: quick jobs stay quiet


class Progress:
    """Draws ``stage [#####     ] 12/50``. Call it with (stage, done, total); it closes each stage with a line break."""

    def __init__(self, enabled=True, stream=None):
        self.stream = stream or sys.stderr
        self.enabled = enabled and self.stream.isatty()
        self.start, self.open_stage = time.monotonic(), None

    def __call__(self, stage, done, total):
        if not self.enabled or time.monotonic() - self.start < PATIENCE:
            return
        if self.open_stage not in (None, stage):
            self.stream.write("\n")
        filled = WIDTH * done // max(total, 1)
        self.stream.write(f"\r{stage:>14} [{'#' * filled}{' ' * (WIDTH - filled)}] {done}/{total}")
        self.open_stage = stage
        self.stream.flush()

    def close(self):
        """Ends the current line."""
        if self.open_stage is not None:
            self.stream.write("\n")
        self.open_stage = None
