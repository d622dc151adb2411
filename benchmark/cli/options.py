"""The options of the command line."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, NoReturn

from benchmark.core.errors import UsageError
from benchmark.core.files import expand_home
from benchmark.core.spec import format_spec, parse_spec

EXAMPLES = """examples:
  python run_benchmark.py --defenses all
      the seven defenses on the default data set, attacks and budget; the board goes to results/
  python run_benchmark.py --preset smoke --output /tmp/smoke
      does everything work? under a minute
  python run_benchmark.py --defenses "pgd_at[epochs_scale=3],eat[members=5,transfer=peers]" --seeds 0 1 2
      two variants, three seeds each; every variant is a row of its own
  python run_benchmark.py --defenses pgd_at --attacks "pgd[objective=own,steps=50],standard" --eps 8/255
      other attacks and budgets
  python run_benchmark.py --defenses pgd_at --attacks fast --no-checks
      while you work on a defense
  python run_benchmark.py --plugin my_defense.py --defenses all,my_defense
      your own defense beside the others (docs/extend/defense.md)
  python run_benchmark.py --model "my.py:make[size=224]" --weights my.pth --datasets "folder:PATH[linf=8/255]"
      does a model of your own hold? (docs/own_models.md)
  python run_benchmark.py --new-defense my_defense
  python run_benchmark.py --check-plugin my_defense.py
  python run_benchmark.py --check-plugin my_defense.py --defenses "my_defense[weight=0]"
      a file to begin from; does it, and does a variant of it, keep the contract?
  python run_benchmark.py --defenses all --compute equal-passes
      every defense trains for the same cost, in place of the same number of epochs
  python run_benchmark.py --defenses pgd_at,trades --tune 20
      choose the parameters of each, on classes held out of the training classes
  python run_benchmark.py --defenses all --dry-run
      what would be computed, and what it costs

exit status: 0 all done, or skipped; 1 some failed (the board shows them); 2 wrong command, nothing run;
  130 stopped by Ctrl-C and 143 by SIGTERM: running trainings are saved, the board so far is written (a second
  signal stops at once)
"""


class _Model(argparse.Action):
    """Collects `--model SPEC`; `--weights FILE` belongs to the model before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add a model, or the weights of the last one."""
        models = [*getattr(namespace, self.dest, [])]
        if option_string == "--weights":
            if not models:
                raise UsageError("--weights FILE comes after the --model whose weights it holds.")
            spec = parse_spec(models.pop())
            if "weights" in spec.parameters:
                raise UsageError(f"Two files of weights are given for the model {spec.name}.")
            values = format_spec(spec.name, {**spec.parameters, "weights": values})
        setattr(namespace, self.dest, [*models, values])


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit status 2."""
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See --help.")


def _user_path(text: str) -> Path:
    """Reads a path, as the shell does where `~` begins a word: not in `--output=~/results`."""
    return expand_home(Path(text))


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser; an option that is not given leaves no key, so that file and preset apply."""
    parser = _Parser(
        prog="run_benchmark.py",
        description="Compares defenses of deep metric learning models under attacks made for clustering and "
        "retrieval: trains each defense, attacks it, scores it, and writes a leaderboard. What is done is "
        "kept; the same command again resumes where it was stopped.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    # A negative budget is a bad value, not an unknown option.
    parser._negative_number_matcher = re.compile(r"-\d")
    what = parser.add_argument_group(
        "what is compared (lists: separated by commas or spaces; name[key=value,...] sets parameters)"
    )
    what.add_argument(
        "--model",
        action=_Model,
        dest="models",
        metavar="SPEC",
        help="a model of your own, evaluated as it is (repeatable; alone or beside --defenses): "
        "my_file.py:make_model, a TorchScript, torch.export or ONNX file, or a name of timm",
    )
    what.add_argument(
        "--weights",
        action=_Model,
        dest="models",
        metavar="FILE",
        help="weights of the --model before it: .safetensors, or .pth with a state dict",
    )
    what.add_argument("--defenses", nargs="+", metavar="NAME", help="defenses; 'all' is the seven")
    what.add_argument(
        "--attacks", nargs="+", metavar="NAME", help="attacks or suites (default: the preset's)"
    )
    what.add_argument(
        "--datasets", nargs="+", metavar="NAME", help="data sets; 'all' is those on this machine"
    )
    what.add_argument(
        "--backbones", nargs="+", metavar="NAME", help="smallconv, bn_inception, any name of timm"
    )
    what.add_argument(
        "--pretrained",
        metavar="WEIGHTS",
        help="what backbones start from: auto (ImageNet's weights for photographs), none, imagenet or a file",
    )
    what.add_argument("--losses", nargs="+", metavar="NAME", help="training losses")
    what.add_argument(
        "--scenarios",
        nargs="+",
        metavar="NAME",
        help="clustering[fraction=...], retrieval-query, retrieval-gallery, verification",
    )
    what.add_argument("--seeds", nargs="+", metavar="N", help="training seeds, each a repetition")
    what.add_argument(
        "--norm",
        nargs="+",
        metavar="NORM",
        help="linf, l2 or both; or l0, with --eps in changed pixels",
    )
    what.add_argument(
        "--eps", nargs="+", metavar="EPS", help="budgets, as 0.1 or 8/255 (default: the data set's)"
    )
    what.add_argument(
        "--compute", nargs="+", metavar="MODE", help="equal-epochs, equal-passes or both: a table for each"
    )
    what.add_argument(
        "--budget",
        metavar="N",
        help="cost units of a training under equal-passes, for each image and epoch (vanilla spends 3)",
    )
    what.add_argument(
        "--attack-precision",
        metavar="NAME",
        help="of the passes that attacks search with: float32, tf32 (GPUs) or bfloat16; what they find is "
        "chosen and scored in float32 (default: float32)",
    )
    what.add_argument(
        "--no-checks",
        action="store_false",
        dest="checks",
        help="do not check the scores for gradient masking (for development)",
    )
    what.add_argument(
        "--preset",
        metavar="NAME",
        help="default, published (with controls, three seeds, both compute modes), scenarios (both norms), "
        "eat, small, paper (CUB, Cars, In-Shop), robrank or smoke: training, attacks and data sets",
    )
    what.add_argument(
        "--config", type=_user_path, metavar="FILE.yaml", help="a file with the same keys as these options"
    )
    what.add_argument(
        "--plugin",
        action="append",
        type=_user_path,
        metavar="FILE.py",
        help="a file that registers something (repeatable)",
    )
    how = parser.add_argument_group("how and where")
    how.add_argument(
        "--output", type=_user_path, metavar="DIR", help="where records and the board go (default: results)"
    )
    how.add_argument(
        "--data-root",
        type=_user_path,
        metavar="DIR",
        help="folder of the data sets as they were downloaded (docs/datasets.md; default: the environment "
        "variable DML_BENCHMARK_DATA, or the user's data folder)",
    )
    how.add_argument(
        "--download", action="store_true", help="fetch data sets that are missing, where allowed"
    )
    how.add_argument(
        "--save-images", metavar="N", help="keep N attacked images of each row, to look at (images/)"
    )
    how.add_argument("--device", metavar="DEVICE", help="auto, cpu, cuda (all GPUs) or one GPU, as cuda:1")
    how.add_argument(
        "--workers",
        metavar="N",
        help="worker processes; auto (default): one a core, or what suits a GPU",
    )
    how.add_argument(
        "--executor",
        metavar="NAME",
        help="where jobs are done: local (default), or ray, on the nodes of a Ray cluster (docs/clusters.md)",
    )
    how.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="of the head of the Ray cluster (default: the cluster of this machine, or a new one)",
    )
    how.add_argument(
        "--job-timeout",
        metavar="SECONDS",
        help="a training or attack that takes longer fails",
    )
    how.add_argument(
        "--retry-failed", action="store_true", help="try again what failed in an earlier run of this command"
    )
    how.add_argument(
        "--log",
        nargs="+",
        metavar="NAME",
        help="also write training curves and scores with tensorboard or wandb, in the output folder",
    )
    how.add_argument(
        "--open",
        action="store_true",
        help="show the page, leaderboard.html, in the browser at the end of a run, --report-only or --merge",
    )
    how.add_argument(
        "--export",
        nargs="+",
        metavar="FORMAT",
        help="also write the results in these formats, in the output folder: json, latex, parquet",
    )
    how.add_argument("--no-progress", action="store_true", help="show no progress")
    instead = parser.add_argument_group("instead of running")
    instead.add_argument("--list", action="store_true", help="list all names and their parameters")
    instead.add_argument(
        "--list-data",
        action="store_true",
        help="list the data sets, and where to get those that are missing",
    )
    instead.add_argument(
        "--dry-run", action="store_true", help="show the grid, what of it is cached, and its cost"
    )
    instead.add_argument(
        "--tune", metavar="N", help="try N sets of parameters of each defense, and write the best as a file"
    )
    instead.add_argument(
        "--new-defense", metavar="NAME", help="write NAME.py, a defense to begin from, in this folder"
    )
    instead.add_argument(
        "--check-plugin",
        nargs="+",
        type=_user_path,
        metavar="FILE.py",
        help="does what the files register keep the contract? with --defenses, --attacks, --datasets, "
        "--losses, --backbones or --scenarios: those variants of its classes only",
    )
    instead.add_argument(
        "--report-only", action="store_true", help="write the board of --output again from its records"
    )
    instead.add_argument(
        "--merge",
        nargs="+",
        type=_user_path,
        metavar="DIR",
        help="write one board of several output folders, as of other seeds or data sets, into --output; "
        "nothing is run",
    )
    instead.add_argument(
        "--explain",
        metavar="CELL",
        help="what the identity of a cell or model is made of, and what changed where its record is stale; "
        "CELL: the beginning of an id, or key=value,... as in defense=vanilla,attack=noise",
    )
    instead.add_argument(
        "--status",
        action="store_true",
        help="what of the run in --output is done, running, failed and waiting, and the time left",
    )
    return parser
