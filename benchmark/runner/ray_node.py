"""A job on a node of a Ray cluster: a task that says where it runs, then how the job ended."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmark.core.cpu import keep_freed_memory
from benchmark.core.errors import SourceError
from benchmark.core.output import protect_streams
from benchmark.core.source import check_source
from benchmark.core.unfinished import temporary_folder
from benchmark.jobs import RunContext
from benchmark.runner.sent_files import Changes, changes_since, snapshot, write_file
from benchmark.runner.serve import Answer, Said, answer


class Begun(NamedTuple):
    """Says that a task runs.

    Attributes:
        node: the host's name and its address.
        node_id: Ray's id of the node.
        shares: whether the node sees the output folder of the run.
    """

    node: str
    node_id: str
    shares: bool


class Result(NamedTuple):
    """Says how the job of a task ended.

    Attributes:
        answer: as that of a local worker.
        changes: what it wrote, for the output folder of the run; empty where the node sees that itself.
    """

    answer: Answer
    changes: Changes = Changes()


def run_on_node(
    task: bytes, source: str, mark: str, files: Sequence[tuple[str, Any]] | None, threads: int
) -> Iterator[Begun | Result]:
    """Runs a job as a task of Ray.

    Args:
        task: the pickled pair of the job and the context.
        source: digest of the source of the run; it is compared before anything is unpickled.
        mark: path of a file that the run keeps in its output folder, under a name that is used once. A node
            where it is there works in that folder, any other one in a temporary folder.
        files: what the job needs, as paths relative to the output folder and Ray's references of contents;
            None where they were not sent.
        threads: threads of torch and faiss.

    Returns:
        Where the task runs; then how the job ended, unless the job needs files that were not sent.
    """
    import faiss
    import ray

    protect_streams()
    keep_freed_memory()
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    node_id = ray.get_runtime_context().get_node_id()
    shares = _is_there(Path(mark))
    yield Begun(f"{socket.gethostname()} ({ray.util.get_node_ip_address()})", node_id, shares)
    if not shares and files is None:
        return
    try:
        check_source(source)
    except SourceError as error:
        yield Result(Answer(Said.STOP_RUN, str(error)))
        return
    if shares:
        yield Result(_without_error(answer(task, traced=True)))
        return
    contents = dict(
        zip((name for name, _ in files or ()), ray.get([ref for _, ref in files or ()]), strict=True)
    )
    yield _in_temporary_folder(task, contents)


def _in_temporary_folder(task: bytes, contents: Mapping[str, bytes]) -> Result:
    """Runs a job that finds what it needs in a temporary folder, and reads what it wrote there."""
    with temporary_folder() as folder:
        for name, content in contents.items():
            write_file(folder / name, content)
        before = snapshot(folder)

        def inside(context: RunContext) -> RunContext:
            return context.model_copy(update={"output": folder, "stop_file": None})

        return Result(_without_error(answer(task, inside)), changes_since(folder, before))


def _without_error(given: Answer) -> Answer:
    """The answer with the text of an error in its place."""
    return given if given.error is None else Answer(given.said, str(given.error))


def _is_there(path: Path) -> bool:
    """Whether a file is there; its folder is listed, since a network file system may remember otherwise."""
    try:
        return any(found.name == path.name for found in path.parent.iterdir())
    except OSError:
        return False
