"""What identities hang on: the code and the parameters, not the words, the order or the place."""

import ast
import shutil
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import timm
from PIL import Image
from safetensors.torch import save_file

from benchmark.core.source import PACKAGES, ROOT
from benchmark.data import DATASETS
from benchmark.jobs import AttackRun, TrainingRun
from benchmark.jobs.models import portable
from benchmark.planning import identity
from benchmark.plugins import imports, reach
from benchmark.plugins.load import load_plugin
from defenses import DEFENSES

from .plans import ids, plan


@pytest.fixture
def forget():
    """Makes identities read every file anew, as a new process would; again at the end of the test."""

    def clear():
        identity.forget()
        reach.forget()

    yield clear
    clear()


@pytest.fixture
def copied(tmp_path, monkeypatch, forget):
    """A copy of the project's source, which identities read in place of the source itself."""
    root = tmp_path / "copy"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    real = imports.module_file.__wrapped__

    @cache
    def in_copy(name):
        file = real(name)
        if file is None or not file.is_relative_to(ROOT) or not reach.is_project(name):
            return file
        return root / file.relative_to(ROOT)

    monkeypatch.setattr(identity, "module_file", in_copy)
    monkeypatch.setattr(reach, "module_file", in_copy)
    forget()
    return root


def test_identity_does_not_hold_order_workers_or_output(tmp_path):
    one = plan(tmp_path, defenses="vanilla,pgd_at", attacks="noise,fgsm", seeds="0 1", workers=1, output="a")
    two = plan(tmp_path, defenses="pgd_at vanilla", attacks="fgsm,noise", seeds="1,0", workers=7, output="b")
    assert ids(one) == ids(two)
    assert one.suite == two.suite


def test_a_parameter_at_its_default_is_no_variant(tmp_path):
    assert ids(plan(tmp_path, defenses="eat")) == ids(plan(tmp_path, defenses="eat[members=3],eat"))


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": "1"},
        {"attacks": "fgsm"},
        {"attacks": "fgsm[objective=own]"},
        {"eps": "0.05"},
        {"norm": "l2"},
        {"defenses": "pgd_at"},
        {"losses": "multi_similarity"},
        {"training": {"epochs": 7}},
    ],
)
def test_a_change_that_matters_changes_identities(tmp_path, change):
    def attacked(made):
        return {cell.id for cell in made.cell_refs() if cell.role == "suite" and cell.key.defense != "pixels"}

    assert not attacked(plan(tmp_path)) & attacked(plan(tmp_path, **change))


def test_the_precision_is_part_of_cells_that_search(tmp_path):
    asked = {"attacks": "noise,fgsm", "checks": False}
    whole, rounded = (
        {cell.id: cell.key.attack for cell in plan(tmp_path, **asked, attack_precision=name).cell_refs()}
        for name in ("float32", "bfloat16")
    )
    assert {key[:4] for key in {whole[cell] for cell in whole.keys() - rounded.keys()}} == {"fgsm"}
    assert {whole[cell] for cell in whole.keys() & rounded.keys()} == {"none", "noise"}


def reformatted(source):
    """The same code without a comment and in other lines and quotes."""
    return ast.unparse(ast.parse(source))


def documented_otherwise(source):
    """The same code with other docstrings, of modules, classes, functions and attributes."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.Expr(ast.Constant("Other words."))
            node.body = [text, *node.body]
    return ast.unparse(ast.fix_missing_locations(tree))


def commented(source):
    return "# A comment.\n" + source.replace("\n\n", "\n\n# Another one.\n\n")


@pytest.mark.slow
@pytest.mark.parametrize("reword", [reformatted, documented_otherwise, commented])
def test_words_and_format_of_the_code_are_no_part(tmp_path, copied, forget, reword):
    attacks = "fgsm[objective=own],noise,square"
    before = ids(plan(tmp_path, defenses="vanilla,eat", attacks=attacks))
    for file in copied.rglob("*.py"):
        source = file.read_text()
        if source.strip():
            file.write_text(reword(source))
            assert file.read_text() != source
    forget()
    assert ids(plan(tmp_path, defenses="vanilla,eat", attacks=attacks)) == before


def change(file: Path, old: str, new: str) -> None:
    source = file.read_text()
    assert source.count(old) == 1
    file.write_text(source.replace(old, new))


def test_the_code_of_a_defense_is_part_of_its_own_rows_alone(tmp_path, copied, forget):
    before = plan(tmp_path, defenses="vanilla,pgd_at")
    source = copied / "defenses" / "pgd_at.py"
    source.write_text(source.read_text() + "\nX = 1\n")
    forget()
    after = plan(tmp_path, defenses="vanilla,pgd_at")

    def of(made, defense):
        return {cell.id for cell in made.cell_refs() if cell.key.defense == defense}

    assert of(before, "vanilla") == of(after, "vanilla")
    assert not of(before, "pgd_at") & of(after, "pgd_at")


def test_the_code_of_an_objective_is_part_of_its_attacks_alone(tmp_path, copied, forget):
    attacks = "fgsm[objective=own],fgsm[objective=shift]"
    before = plan(tmp_path, attacks=attacks)
    source = copied / "attacks" / "objectives" / "own.py"
    source.write_text(source.read_text() + "\nX = 1\n")
    forget()
    after = plan(tmp_path, attacks=attacks)
    kept = {cell.key.attack for cell in before.cell_refs() if cell.id in ids(after)}
    assert kept == {"none", "fgsm[objective=shift]"}


def test_the_data_are_part_of_every_identity(tmp_path, monkeypatch):
    before = ids(plan(tmp_path))
    monkeypatch.setattr(DATASETS.get("digits"), "fingerprint", lambda self, folders: "other images")
    assert not before & ids(plan(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("attacks/images.py", "MAX_IMAGES = 256", "MAX_IMAGES = 255"),
        ("benchmark/core/seeding.py", ">> 1", ">> 2"),
        ("benchmark/jobs/models.py", "FEWEST_TO_HOLD_OUT = 10", "FEWEST_TO_HOLD_OUT = 11"),
        ("benchmark/jobs/models.py", "MOST_HELD_OUT = 1000", "MOST_HELD_OUT = 999"),
        ("benchmark/jobs/models.py", ".load(folders)", ".load(folders)  or None"),
        ("benchmark/jobs/training_run.py", "self.eps,", "2 * self.eps,"),
        ("benchmark/records/validation.py", "/ 2", "/ 3"),
        ("benchmark/training/loop.py", "3 * recipe.epochs", "4 * recipe.epochs"),
    ],
)
def test_what_decides_a_value_is_part_of_every_identity(tmp_path, copied, forget, file, old, new):
    before = ids(plan(tmp_path))
    change(copied / file, old, new)
    forget()
    assert not before & ids(plan(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "benchmark/jobs/attack_run.py",
            "attacked_indices(pool.ids, self",
            "attacked_indices(pool.ids, 0.5 * self",
        ),
        ("benchmark/evaluation/pool_embeddings.py", "or images_per_pass", "or 3 * images_per_pass"),
    ],
)
def test_what_decides_a_score_is_part_of_every_cell(tmp_path, copied, forget, file, old, new):
    before = plan(tmp_path)
    change(copied / file, old, new)
    forget()
    after = plan(tmp_path)
    assert not ids(before) & ids(after)
    assert [m.job.id for m in before.models] == [m.job.id for m in after.models]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("benchmark/jobs/train_job.py", "'train' if", "'training' if"),
        ("benchmark/records/cell.py", "seconds: float = 0.0", "seconds: float = 1.0"),
        ("benchmark/report/scatter.py", "REPLICATES = 100", "REPLICATES = 200"),
    ],
)
def test_what_decides_no_value_is_no_part(tmp_path, copied, forget, file, old, new):
    before = ids(plan(tmp_path))
    change(copied / file, old, new)
    forget()
    assert ids(plan(tmp_path)) == before


PLUGIN = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from helper_of_mine import scaled

from defenses import DEFENSES, Defense


@DEFENSES.register("helped")
class Helped(Defense):
    \"\"\"Plain training, by a helper.\"\"\"

    def loss(self, model, batch, attack):
        return scaled(model.loss(model(batch.images), batch.labels))
"""
HELPER = """
from constants_of_mine import SCALE


def scaled(loss):
    return SCALE * loss
"""


@pytest.fixture
def helped(tmp_path, monkeypatch, forget):
    """A plugin whose loss is made by a helper beside it, which takes a constant from yet another file."""
    import sys

    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "helped_plugin.py").write_text(PLUGIN)
    (folder / "helper_of_mine.py").write_text(HELPER)
    (folder / "constants_of_mine.py").write_text("SCALE = 1.0\n")
    load_plugin(folder / "helped_plugin.py")
    forget()
    yield folder
    for name in ("plugin_helped_plugin", "helper_of_mine", "constants_of_mine"):
        sys.modules.pop(name, None)


def test_what_a_plugin_imports_from_beside_itself_is_part_of_its_identity(tmp_path, helped, forget):
    before = plan(tmp_path, defenses="helped")
    (helped / "constants_of_mine.py").write_text("SCALE = 1.0  # the same\n")
    forget()
    assert ids(plan(tmp_path, defenses="helped")) == ids(before)
    (helped / "constants_of_mine.py").write_text("SCALE = -1.0\n")
    forget()
    after = plan(tmp_path, defenses="helped")
    kept = {cell.key.defense for cell in before.cell_refs() if cell.id in ids(after)}
    assert kept == {"pixels"}


def test_records_name_the_plugins_files(tmp_path, helped):
    made = plan(tmp_path, defenses="helped")
    files = {model.job.key.defense: model.job.plugin_files for model in made.models}
    assert files["helped"] == ("constants_of_mine.py", "helped_plugin.py", "helper_of_mine.py")
    assert files["pixels"] == ()


def test_only_the_project_is_followed_from_the_project():
    code = reach.reached(frozenset(["benchmark.models.bn_inception", "benchmark.metrics.kmeans"]))
    assert all(map(reach.is_project, code.modules)) and not code.files
    assert "benchmark.metrics.kmeans_init" in code.modules


def test_the_rounding_that_scores_allow_is_a_part_of_cells_alone():
    cells, models = (reach.reached(reach.modules_of([job])).modules for job in (AttackRun, TrainingRun))
    assert "benchmark.models.rounding" in cells - models
    assert "benchmark.models.promises" not in cells | models


def test_where_data_and_weights_lie_changes_neither_identities_nor_seeds(tmp_path):
    weights = timm.create_model("test_resnet", num_classes=0).state_dict()
    keys, found = [], []
    for folder in (tmp_path / "here", tmp_path / "there"):
        for label, number in product(range(8), range(3)):
            file = folder / "images" / f"class{label}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (12, 12), 30 * label + number).save(file)
        save_file(weights, folder / "w.safetensors")
        made = plan(
            tmp_path,
            datasets=f"folder[path={folder / 'images'},size=12,linf=0.1]",
            backbones=f"test_resnet[dim=8,pretrained={folder / 'w.safetensors'}]",
        )
        keys.append(made.models[0].job.key)
        found.append(ids(made))
    assert found[0] == found[1]
    assert keys[0] != keys[1]
    assert portable(keys[0]) == portable(keys[1])
