"""A reader that does everything it must not, to see that the judge notices: ``python bad_reader.py FOLDER WHAT...``."""

import os
import sys
from pathlib import Path

from contrapposto.tests.fuzz import canary, judge
from contrapposto.tests.fuzz.readers import reader

DEEDS = {
    b"raise": lambda folder: int("x"),
    b"write": lambda folder: (folder.parent / "outside.txt").write_text("x"),
    b"read": lambda folder: (folder.parent / "secret.txt").read_text(),
    b"shell": lambda folder: os.system("true"),
    b"sing": lambda folder: canary.Payload().__reduce__()[0](),
    b"memory": lambda folder: len(b"x" * (judge.peak() + 4 * judge.GROWTH)),
    b"hang": lambda folder: [None for _ in iter(int, 1) if _],
    b"ok": lambda folder: None,
}


@reader("bad reader")
def bad(folder):
    return (lambda rng: b"ok"), (lambda data: DEEDS[data](folder))


if __name__ == "__main__":
    judge.SECONDS, judge.GROWTH = 2, 100 << 20
    judge.prepare()
    home = Path(sys.argv[1])
    (home / "secret.txt").write_text("x")
    court = judge.Judge("bad reader", home / "files")
    for what in sys.argv[2:]:
        print(court.finding(what.encode()))
