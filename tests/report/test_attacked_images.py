import numpy as np
import pytest
from matplotlib import image
from safetensors.numpy import load_file

from benchmark.core.errors import BenchmarkError
from benchmark.records import Store
from benchmark.report.attacked_images import read_images, write_attacked_images
from benchmark.report.cell_results import Run
from benchmark.report.figures import TableFigures
from benchmark.report.markdown import render
from benchmark.report.tables import collect

from .fake_results import attacked_images
from .fake_run import NEIGHBOUR, NOISE, FakeRun
from .own_models import HOME, MY_MODEL, OTHER, models_alone, save_images, save_sealed


@pytest.fixture
def written(tmp_path):
    """Writes the images of a run into a folder, and returns what was written and the page."""

    def build(fake, *kept, damage=None):
        output = tmp_path / "run"
        manifest = fake.write(output)
        for defense, attack, options in kept:
            for path in save_images(output, manifest, defense, attack, **options):
                if damage:
                    damage(path)
        run = Run(Store(output))
        tables = collect(run)
        images = write_attacked_images(run, tables, output)
        page = render(run, tables, [TableFigures() for _ in tables], output, images)
        return output, images, page

    return build


def test_pictures_and_tensors_of_a_row_are_written_and_linked(written):
    output, (images,), page = written(models_alone(), (MY_MODEL, NEIGHBOUR, {"channels": 3}))
    assert images.row == "net.py:make[weights=net.safetensors]" and images.attack == NEIGHBOUR
    assert [path.name for path in images.pictures] == ["1.png", "2.png"]
    for path in images.pictures:
        assert image.imread(path)[..., :3].std() > 0.02
    kept = attacked_images(channels=3)
    tensors = load_file(images.tensors)
    assert tensors.keys() == kept.keys()
    assert all(np.array_equal(tensors[name], kept[name]) for name in kept)
    assert images.tensors.with_suffix("") == images.pictures[0].parent
    section = page.split("## Attacked images")[1].split("## How to read")[0]
    for path in images:
        assert f"]({path.relative_to(output).as_posix()})" in section


def test_the_worst_attack_of_the_first_seed_that_has_images_is_shown(written):
    fake = FakeRun(weakness={"vanilla": 0.9, "pgd_at": 0.2}, references=(), curve={}, classes=8, per_class=6)
    kept = [("vanilla", NOISE, {"count": 1}), ("pgd_at", NOISE, {"count": 1}), ("pgd_at", NEIGHBOUR, {})]
    output, images, _ = written(fake, *kept)
    assert [(one.row, one.attack, len(one.pictures)) for one in images] == [
        ("pgd_at", NEIGHBOUR, 2),
        ("vanilla", NOISE, 1),
    ]
    run = Run(Store(output))
    (table,) = collect(run)
    later = [cell for row in table.rows for cell in row.cells if cell.key.seed == 1]
    for cell in later:
        run.images(cell).unlink(missing_ok=True)
    assert len(write_attacked_images(run, [table], output)) == 2


def test_without_images_there_is_no_folder_and_no_section(written):
    output, images, page = written(FakeRun())
    assert images == [] and not (output / "images").exists() and "Attacked images" not in page


def test_stale_images_are_removed_and_other_files_kept(written):
    output, (images,), _ = written(models_alone(), (MY_MODEL, NEIGHBOUR, {"count": 1}))
    folder = output / "images"
    (folder / "old_row").mkdir()
    for stale in ("old_row/1.png", "old_row.safetensors", f"{images.tensors.stem}/3.png"):
        (folder / stale).write_bytes(b"stale")
    (folder / "My notes.txt").write_bytes(b"kept")
    run = Run(Store(output))
    (again,) = write_attacked_images(run, collect(run), output)
    found = {path for path in folder.rglob("*") if path.is_file()}
    assert found == {*again, folder / "My notes.txt"} and not (folder / "old_row").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b"no tensors"), "is damaged"),
        (lambda path: save_sealed({"clean": attacked_images()["clean"]}, path), "has no attacked, before"),
        (
            lambda path: save_sealed(attacked_images() | {"label": np.arange(5)}, path),
            "do not fit: label (5,)",
        ),
        (lambda path: save_sealed(attacked_images(channels=2), path), "do not fit: clean (2, 2, 6, 6)"),
        (
            lambda path: save_sealed(attacked_images() | {"clean": np.full((2, 1, 6, 6), np.nan)}, path),
            "values that are not finite",
        ),
    ],
)
def test_a_damaged_file_costs_its_pictures_and_a_line(written, damage, reason):
    output, (images,), page = written(models_alone(), (OTHER, NEIGHBOUR, {}), damage=damage)
    assert list(images) == [] and reason in images.problem
    assert f"`net.onnx`, `{NEIGHBOUR}`: not shown, " in page and HOME not in page
    assert not list(output.glob("images/**/*.png"))


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(BenchmarkError, match=r"x\.safetensors is damaged"):
        read_images(tmp_path / "x.safetensors")
