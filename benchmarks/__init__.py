"""Speed ratios against named references, each pair measured in one run. `python -m benchmarks` writes results.md."""
