"""Scores of generated poses: plain functions on features, ranks and joints, and the frozen probes. One file per family."""
