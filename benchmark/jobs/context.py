"""The context of a run: folders, device and settings that all jobs share."""

from __future__ import annotations

from pathlib import Path

from pydantic import PrivateAttr

from benchmark.core.hardware import hardware
from benchmark.core.source import SOURCE_DIGEST
from benchmark.data import Folders
from benchmark.jobs.isolated_start import EmbedAlone, start_process
from benchmark.jobs.progress import Progress, Report
from benchmark.jobs.usage_meter import UsageMeter
from benchmark.records import Provenance, Record, Store
from benchmark.records.provenance import provenance
from benchmark.records.usage import Usage


class RunContext(Record):
    """Folders, device and settings of a run; scores depend only on the device, and on a GPU on `workers`.

    Attributes:
        output: the user's output folder.
        cache: folder for drawn, unpacked and decoded data sets.
        data: folder of the data sets as they were downloaded.
        device: "cpu", "cuda" (all visible GPUs, until a job is dealt out to one) or one GPU, as "cuda:1".
        plugins: files to import first.
        commit: the source commit, as the run saw it at its start.
        source: digest of the project's source that the run was planned with; workers refuse any other.
        plugin_source: the same of the plugins' files; empty to take any.
        workers: how many jobs run side by side, and share the memory.
        workers_of_device: how many of them run on the same GPU; all of them when not given.
        save_every: seconds between two saves of a running training or attack.
        save_images: attacked images that are kept of each attack.
        job_timeout: seconds that a job may take; None for any.
        lease_patience: seconds without a heartbeat after which another run in this folder counts as dead.
        stop_file: is there once the run is being stopped, and running jobs are to save their state.
        blank: whether black images stand in for data sets that are missing, in a dry run.
    """

    output: Path
    cache: Path
    data: Path
    device: str
    plugins: tuple[Path, ...] = ()
    commit: str
    source: str = SOURCE_DIGEST
    plugin_source: str = ""
    workers: int = 1
    workers_of_device: int | None = None
    save_every: float = 120.0
    save_images: int = 0
    job_timeout: float | None = None
    lease_patience: float = 60.0
    stop_file: Path | None = None
    blank: bool = False
    _report: Report | None = PrivateAttr(default=None)
    _meter: UsageMeter | None = PrivateAttr(default=None)
    _embed_alone: EmbedAlone | None = PrivateAttr(default=None)

    def in_job(self, report: Report) -> RunContext:
        """Returns the context for a job that begins in this process, which is never sent to another.

        Args:
            report: takes the progress of the job.
        """
        context = self.model_copy()
        context._report, context._meter = report, UsageMeter(self.device)
        return context

    def in_process(self, embed_alone: EmbedAlone) -> RunContext:
        """Returns the context for the jobs of this process, which is never sent to another.

        Args:
            embed_alone: for all of its jobs.
        """
        context = self.model_copy()
        context._embed_alone = embed_alone
        return context

    @property
    def embed_alone(self) -> EmbedAlone:
        """Embeds the images of a folder in a process that has nothing else."""
        return self._embed_alone or start_process

    def report(self, progress: Progress) -> None:
        """Reports how far the running job is, to whoever watches."""
        if self._meter is not None:
            self._meter.look()
        if self._report is not None:
            self._report(progress)

    def usage(self) -> Usage | None:
        """What the running job has used of the machine so far; None outside of a job."""
        return None if self._meter is None else self._meter.usage()

    @property
    def folders(self) -> Folders:
        """The folders of data sets: as downloaded, and the cache."""
        return Folders(self.cache, self.data, self.blank)

    @property
    def store(self) -> Store:
        """The store of records, arrays and checkpoints."""
        return Store(self.output)

    @property
    def sharing_device(self) -> int:
        """How many jobs share the memory of the device."""
        return self.workers_of_device or self.workers

    def stopping(self) -> bool:
        """Whether the run is being stopped."""
        return self.stop_file is not None and self.stop_file.exists()

    def provenance(self) -> Provenance:
        """The provenance of a record that is written now."""
        return provenance(hardware(self.device), self.commit)
