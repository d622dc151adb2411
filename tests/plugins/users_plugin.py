"""Plugins that tests write, and how their identities are computed anew."""

from pathlib import Path

from benchmark.planning import identity
from benchmark.planning.identity import source_digest
from benchmark.plugins import proof, reach
from benchmark.plugins.load import load_installed

PLUGIN = '''
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
{imports}
from defenses import DEFENSES, Defense


@DEFENSES.register("{name}")
class Mine(Defense):
    """Plain training, times a constant."""

    def loss(self, model, batch, attack):
        {lazy}
        return {use} * model.loss(model(batch.images), batch.labels)
'''


def plugin_text(imports="", lazy="pass", use="S", name="mine"):
    return PLUGIN.format(imports=imports, lazy=lazy, use=use, name=name)


def write(folder: Path, files: dict) -> None:
    """Writes files of text or bytes, by their path in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def forget() -> None:
    """Makes every look-up read the files anew, as a new process would."""
    load_installed.cache_clear()
    proof.plugins_digest.cache_clear()
    identity.forget()
    reach.forget()


def assert_identity_follows(mine, file):
    """Asks that an identity changes with the constant in a file, and with nothing else."""
    before = source_digest([mine])
    forget()
    assert source_digest([mine]) == before
    file.write_bytes(file.read_bytes().replace(b"1.0", b"2.0"))
    forget()
    assert source_digest([mine]) != before
