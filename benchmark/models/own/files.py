"""Own models in files that hold the whole network: TorchScript, exported programs, ONNX."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmark.core.errors import UsageError
from benchmark.core.files import content_digest, expand_home
from benchmark.models.own.base import OwnModel, own_model_kind


class FileModel(OwnModel):
    """A network read from one file; its name is the file's path."""

    @property
    def file(self) -> Path:
        """The file."""
        return expand_home(Path(self.name)).absolute()

    def base_name(self) -> str:
        """The file's name."""
        return self.file.name

    def content(self) -> str:
        """Return the sha256 of the file.

        Raises:
            UsageError: when it is missing or cannot be read.
        """
        try:
            return content_digest(self.file)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"The {self.title} {self.file} cannot be read: {reason}.") from None

    def network(self) -> nn.Module:
        """Read the network.

        Raises:
            UsageError: when the file is missing or holds no such network.
        """
        self.content()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch advises against TorchScript
                return self.read()
        except UsageError:
            raise
        except Exception as error:  # damaged files raise many types
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise UsageError(f"{self.file} cannot be read as {_article(self.title)}: {reason}.") from None

    def read(self) -> nn.Module:
        """Read the network from the existing file; errors of any type are reported by `network`."""
        raise NotImplementedError


class TorchScriptFile(FileModel):
    """A network saved by `torch.jit.save`."""

    title: ClassVar[str] = "TorchScript file"

    def read(self) -> nn.Module:
        """Read the network onto the CPU."""
        try:
            loaded: nn.Module = torch.jit.load(str(self.file), map_location="cpu")
        except RuntimeError as error:
            if (
                "constants.pkl" in str(error)
                or "version" in str(error)
                or "PytorchStreamReader" in str(error)
            ):
                raise UsageError(
                    f"{self.file} is no TorchScript file. Weights alone are given beside the code that they "
                    f"belong to: --model my_file.py:make_model --weights {self.file.name}."
                ) from None
            raise
        return loaded


class ExportedProgram(FileModel):
    """A program saved by `torch.export.save`, with a dynamic number of images."""

    title: ClassVar[str] = "exported program"

    def read(self) -> nn.Module:
        """Read the program as a module.

        Raises:
            UsageError: when it takes one number of images only.
        """
        program = torch.export.load(self.file)
        inputs = set(program.graph_signature.user_inputs)
        shapes = [node.meta["val"].shape for node in program.graph.nodes if node.name in inputs]
        if shapes and shapes[0] and isinstance(shapes[0][0], int):
            raise UsageError(
                f"{self.file.name} takes {shapes[0][0]} images at a time; export it with a dynamic number of "
                'images: dynamic_shapes=({0: torch.export.Dim("batch")},).'
            )
        return program.module()


class _OnnxNetwork(nn.Module):
    """An ONNX graph that onnxruntime runs; no gradient passes through it."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def forward(self, images: Tensor) -> Tensor:
        """Run the graph on the CPU; returns its first output on the images' device."""
        values = self._session.run([self._output], {self._input: images.detach().cpu().contiguous().numpy()})[
            0
        ]
        return torch.from_numpy(values).to(images.device)


class OnnxFile(FileModel):
    """An ONNX graph with one input of images, run by onnxruntime: without gradients.

    White-box attacks cannot be run on it. A graph that onnx2torch can convert is better evaluated as a Python
    function that returns the converted network.
    """

    title: ClassVar[str] = "ONNX file"
    gradients: ClassVar[bool] = False

    def read(self) -> nn.Module:
        """Open the graph.

        Raises:
            UsageError: when onnxruntime is not installed, or the graph has several inputs.
        """
        try:
            import onnxruntime
        except ImportError:
            raise UsageError(
                f"{self.file.name} needs onnxruntime: pip install 'dml-robustness-benchmark[onnx]'."
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(self.file), sess_options=options, providers=["CPUExecutionProvider"]
        )
        if len(session.get_inputs()) != 1:
            inputs = ", ".join(entry.name for entry in session.get_inputs())
            raise UsageError(f"{self.file.name} has the inputs {inputs}; it must take images alone.")
        count = session.get_inputs()[0].shape[:1]
        if count and isinstance(count[0], int):
            raise UsageError(
                f"{self.file.name} takes {count[0]} images at a time; export it with a dynamic number of "
                "images (dynamic_axes or dynamic_shapes)."
            )
        return _OnnxNetwork(session)


_SUFFIXES: dict[str, type[FileModel]] = {
    ".pt2": ExportedProgram,
    ".onnx": OnnxFile,
    ".pt": TorchScriptFile,
    ".pth": TorchScriptFile,
    ".ts": TorchScriptFile,
    ".jit": TorchScriptFile,
    ".torchscript": TorchScriptFile,
}


def _article(title: str) -> str:
    return f"an {title}" if title[0] in "aeiouAEIOU" else f"a {title}"


@own_model_kind
def _find(name: str) -> type[OwnModel] | None:
    kind = _SUFFIXES.get(Path(name).suffix.lower())
    # Not by the name, which may be relative to another folder.
    return None if kind is None else _kind(kind, str(expand_home(Path(name)).absolute()))


@cache
def _kind(kind: type[FileModel], name: str) -> type[OwnModel]:
    return type(
        f"{kind.__name__}Of", (kind,), {"name": name, "__module__": __name__, "__doc__": kind.__doc__}
    )
