"""A zygote whose processes do what the name of their folder says, in place of embedding images."""

import json
import os
import signal
import sys
import time

from benchmark.jobs import zygote

known = []
"""What has happened in this process."""


def sleep(folder):
    (folder / "pid.txt").write_text(f"{os.getpid()}.")
    time.sleep(100)


def speak(folder):
    print("on stdout", flush=True)
    os.write(2, b"on stderr\n")
    known.append("has spoken")
    (folder / "read.txt").write_text(sys.stdin.read())


def tell(folder):
    found = {"known": known, "argv": sys.argv[1:], "hash": hash("a text")}
    (folder / "told.json").write_text(json.dumps(found))


def leave(folder):
    """Leaves a process, which has all that was open here."""
    child = os.fork()
    if not child:
        time.sleep(100)
    (folder / "pid.txt").write_text(f"{child}.")
    sys.exit(4)


ACTS = {
    "sleeps": sleep,
    "speaks": speak,
    "tells": tell,
    "raises": lambda folder: [][1],
    "leaves": leave,
    "exits": lambda folder: sys.exit(3),
    "exits with words": lambda folder: sys.exit("words"),
    "is killed": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
    "kills the zygote": lambda folder: os.kill(os.getppid(), signal.SIGKILL),
}

if __name__ == "__main__":
    zygote.embed_folder = lambda folder: ACTS[folder.name](folder)
    zygote.serve()
