"""The page of runs with models that were not trained by the benchmark."""

import pytest

from benchmark.report.figures import TableFigures
from benchmark.report.markdown import render

from .own_models import MY_MODEL, OTHER, models_alone, models_beside_defenses


@pytest.fixture
def page_of(tables_of, tmp_path):
    def build(fake):
        run, tables = tables_of(fake)
        return render(run, tables, [TableFigures() for _ in tables], tmp_path)

    return build


def test_a_page_of_own_models_alone_says_nothing_of_training(page_of):
    page = page_of(models_alone())
    flat = " ".join(page.split())
    assert "2 embedding models (*own models*: given by the user, not trained by the benchmark) were" in flat
    for absent in (
        "Model and loss", "**Defenses**", "trained model", "Training seed", "Compute mode", "epochs*",
        "## Training", "vanilla training", "disjoint", "test classes", "--defenses", "Train cost",
        "training seed", "test images", "smallconv", "proxy_anchor", "none", "each defense", "that defense",
    ):  # fmt: skip
        assert absent not in page, absent
    assert "\n## birds, L\u221e 0.1\n\n- `" in page and "\n\n**Verdict on" in page
    assert "All classes of the data set are searched. Whether an own model was trained on some" in flat
    assert "`net.onnx`: ONNX file" in page and "Python function." in page
    assert "a multiple of the lightest own model's" in page
    assert '--model "net.py:make[weights=net.safetensors]"' in page
    assert "give its own file or function to `--model`" in flat and "put in your own paths" in page
    assert "| birds | `net.onnx` | 0 | failed | 2: `noise` at 0.1 | cannot read 'x.bin' |" in page
    assert "(suite `" not in page  # its attacks are listed
    assert "\n\n| rank | model |" in page  # a table needs an empty line before it
    assert "{{" not in page and "nan" not in page


def test_a_page_of_one_own_model_is_in_the_singular(page_of):
    fake = models_alone(weakness={MY_MODEL: 0.9, "pixels": 0.5}, own_models={MY_MODEL: "Python function"})
    assert "1 embedding model (*own models*: given by the user, not trained by the benchmark) was" in page_of(
        fake
    )


def test_a_page_of_both_says_which_is_which(page_of):
    page = page_of(models_beside_defenses())
    flat = " ".join(page.split())
    assert (
        "trained with 2 defenses and without one (`vanilla`), and 2 *own models* (given by the user" in flat
    )
    assert "**Model and loss** of the defenses: `smallconv`; `proxy_anchor`" in page
    defenses = page.split("- **Defenses**:")[1].split("- **Own models**:")[0]
    assert "`pgd_at`" in defenses and "net.onnx" not in defenses
    assert "0, 1 (own models, which have no training seeds: 0)" in page
    assert page.count("\nOwn models were trained elsewhere") == page.count("**Verdict on `net.onnx`**") == 2
    assert "saw the test classes is unknown to the benchmark. The defenses never saw them" in flat
    assert "Test classes are disjoint from training classes." in flat
    assert "*plugin*: a defense from a plugin" in page and "\u2013: unknown to the benchmark" in page
    assert (
        "--defenses pgd_at" in page
        and "or an own model's file or function to `--model` beside a defense" in flat
    )
    assert "- `net.onnx` has no rank: net.onnx was attacked without gradients." in page
    assert "have no rank for a reason that is given below their table" in flat


def test_the_verdict_stands_under_the_title_of_its_table(page_of):
    page = page_of(models_alone(weakness={OTHER: 0.5, "pixels": 0.5}))
    title, verdict, table = (
        page.index(text) for text in ("\n## birds", "**Verdict on `net.onnx`**", "| rank |")
    )
    assert title < verdict < table
    for name in ("Retrieval", "Clustering", "What to believe"):
        assert f"\n- {name}: " in page[verdict:table]
