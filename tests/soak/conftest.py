"""The soak drives the same hosts as tests/host."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "host")]  # importlib mode puts no test folder on the path
