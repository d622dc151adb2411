"""Makes a zygote whose processes do what a file in their folder says; run by `test_zygote.py`.

Writes JSON to stdout: what the zygote returned for each folder. Then it is killed.
"""

import json
import os
import signal
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

from benchmark.jobs import zygote

known = []
"""What has happened in this process."""


def sleep(folder):
    (folder / "pids.txt").write_text(f"{os.getpid()} {os.getppid()} .")
    time.sleep(100)


def speak(folder):
    print("on stdout", flush=True)
    os.write(2, b"on stderr\n")
    (folder / "read.txt").write_text(f"{sys.stdin.read()!r}")


def remember(folder):
    (folder / "known.txt").write_text(str(known))
    known.append("a process")


ACTS = {
    "speaks": speak,
    "remembers": remember,
    "remembers again": remember,
    "raises": lambda folder: [][1],
    "exits": lambda folder: sys.exit(3),
    "exits with words": lambda folder: sys.exit("words"),
    "is killed": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
    "sleeps": sleep,
    "speaks at the end": speak,
}


def main(root):
    zygote.embed_folder = lambda folder: ACTS[folder.name](folder)
    wanted, unwanted = Pipe()
    embed = zygote.Zygote(unwanted)
    known.append("a job")
    unwanted.close()
    closed = wanted.poll(10)  # by the zygote, too
    for name in ACTS:
        (root / name).mkdir()
    found = {name: embed(root / name, 0.5 if name == "sleeps" else 60) for name in ACTS}
    late, pids = (root / "sleeps" / "pids.txt").read_text().split(), root / "sleeps" / "pids.txt"
    pids.unlink()
    sys.stdout.write(json.dumps({"closed": closed, "found": found, "late": int(late[0])}))
    sys.stdout.flush()
    embed._connection.send((str(root / "sleeps"), 100))
    while not pids.exists() or not pids.read_text().endswith("."):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)  # while another process sleeps


if __name__ == "__main__":
    main(Path(sys.argv[1]))
