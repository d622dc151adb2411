import warnings

import pytest
import torch
from torch import nn

from attacks import SUITES, Suite
from benchmark import BenchmarkError, UsageError, evaluate, load_model, load_results
from benchmark.cli import main

pytestmark = pytest.mark.usefixtures("places")
QUICK = {"attacks": ["fgsm[objective=neighbour]", "noise"], "eps": 0.1, "checks": False, "progress": False}
OPTIONS = {"evaluation": {"eot": 2, "repeats": 2}}


class Net(nn.Module):
    def __init__(self, pixels=64):
        super().__init__()
        self.linear = nn.Linear(pixels, 8)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return self.dropout(self.linear(images.flatten(1)))


def run(model, data, **changes):
    return evaluate(model, data, **{**QUICK, "options": OPTIONS, **changes})


def test_a_module_is_scored_on_tensors(tensors):
    net = Net()
    results = run(net, tensors)
    row = results.row("Net")
    assert row.source == "own model" and row.eps == 0.1
    assert 0 <= row.worst.r1 <= row.clean.r1 <= 1
    assert set(row.attacks) == {"fgsm[objective=neighbour]", "noise"}
    assert results.row("pixels").reference
    assert "Net on " in results.verdict() and "Retrieval: an attacker" in results.verdict()
    net.eval()
    with torch.no_grad():
        vectors = nn.functional.normalize(net(tensors[0]))
    similarity = (vectors @ vectors.t()).fill_diagonal_(-2)
    r1 = (tensors[1][similarity.argmax(1)] == tensors[1]).float().mean()
    assert row.clean.r1 == pytest.approx(float(r1), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_two_classes_are_enough_where_nothing_is_trained(tensors, classes):
    row = run(Net(), (tensors[0], torch.arange(len(tensors[0])) % classes)).row("Net")
    assert row.failed_cells == 0 and 0 <= row.worst.r1 <= row.clean.r1 <= 1


def test_nothing_of_the_caller_changes(tensors):
    net = Net()
    net.dropout.eval()
    net.linear.bias.requires_grad_(False)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    before = torch.get_rng_state(), [(m, m.training) for m in net.modules()]
    try:
        run(net, tensors)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert [(module, module.training) for module in net.modules()] == before[1]
    assert net.linear.weight.requires_grad and not net.linear.bias.requires_grad
    assert net.linear.weight.grad is None


def test_results_in_a_temporary_folder_end_with_their_object(tensors):
    results = run(Net(), tensors)
    folder = results.output
    assert str(folder) not in repr(results) and "in a temporary folder" in repr(results)
    assert (folder / "store" / "run.json").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del results
    assert not folder.exists()


def test_what_is_done_is_not_computed_again_and_changed_weights_are(tensors, tmp_path, monkeypatch):
    calls = []

    class Counting(Net):
        def forward(self, images):
            calls.append(len(images))
            return super().forward(images)

    net = Counting()
    first = run(net, tensors, output=tmp_path / "out")
    once = len(calls)
    again = run(net, tensors, output=tmp_path / "out")
    assert len(calls) - once < once / 2  # the first images alone
    assert again.row("Counting") == first.row("Counting")
    assert load_results(tmp_path / "out").row("Counting") == first.row("Counting")
    with torch.no_grad():
        net.linear.weight.normal_()
    other = run(net, tensors, output=tmp_path / "out")
    assert other.row("Counting").clean != first.row("Counting").clean


def test_a_function_brings_the_weights_that_it_refers_to(tensors, tmp_path):
    net = Net()

    def embed(images):
        return net(images)

    first = run(embed, tensors, output=tmp_path / "out").row("embed")
    assert first.clean == run(net, tensors).row("Net").clean  # in evaluation mode: no dropout
    with torch.no_grad():
        net.linear.weight.normal_()
    assert run(embed, tensors, output=tmp_path / "out").row("embed").clean != first.clean


def test_the_precision_of_searches_is_recorded(tensors, tmp_path):
    results = run(Net(), tensors, attack_precision="bfloat16", output=tmp_path)
    records = [results.store.cell(cell.id) for cell in results.store.manifest().cells]
    found = {(record.key.attack[:4], record.precision) for record in records}
    assert found == {("none", "float32"), ("nois", "float32"), ("fgsm", "bfloat16")}
    assert all(record.batch_size == 256 and not record.notes for record in records)


def test_several_models_by_name(tensors):
    results = run({"first": Net(), "second": Net()}, tensors, scenarios="retrieval-query")
    assert {row.name for row in results.rows()} == {"first", "second", "pixels"}
    assert {results.row("first").rank, results.row("second").rank} == {1, 2}
    assert set(results.cells.scenario) == {"retrieval-query"}


@pytest.mark.slow
@pytest.mark.usefixtures("without_figures")
def test_a_data_set_and_a_model_of_a_spec_give_the_figures_of_the_command_line(tmp_path):
    file = tmp_path / "my.py"
    file.write_text(
        "import torch\nfrom torch.nn import Flatten, Linear, Sequential\n\ndef make():\n"
        "    torch.manual_seed(3)\n    return Sequential(Flatten(), Linear(64, 8))\n"
    )
    torch.manual_seed(3)
    live = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    found = run({"live": live}, "digits").row("live")
    spec = run(f"{file}:make", "digits").row("my.py:make")
    assert (found.clean, found.worst, found.attacks) == (spec.clean, spec.worst, spec.attacks)
    config = tmp_path / "config.yaml"
    config.write_text("evaluation: {eot: 2, repeats: 2}\n")
    arguments = ["--model", f"{file}:make", "--datasets", "digits", "--eps", "0.1", "--no-checks"]
    arguments += ["--attacks", "fgsm[objective=neighbour]", "noise", "--device", "cpu", "--no-progress"]
    arguments += ["--config", str(config), "--workers", "1", "--output", str(tmp_path / "out")]
    assert main(arguments) == 0
    other = load_results(tmp_path / "out").row("my.py:make")
    assert (other.clean, other.worst, other.attacks) == (spec.clean, spec.worst, spec.attacks)


def test_a_folder_of_images(tmp_path):
    from PIL import Image

    for number in range(4):
        (tmp_path / "my images" / f"class {number}").mkdir(parents=True)
        for shade in range(3):
            image = Image.new("L", (9, 9), 60 * number + 5 * shade)
            image.save(tmp_path / "my images" / f"class {number}" / f"{shade}.png")
    net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(4))
    net(torch.rand(1, 3, 8, 8))
    folder = tmp_path / "my images"
    for data in (folder, str(folder)):
        with pytest.raises(UsageError, match="No size is given at which the images of my-images are read"):
            run({"net": net}, data)
    data = f'folder:"{folder}"[size=9]'
    assert run({"net": net}, data, scenarios="retrieval-query").row("net").eps == 0.1


def test_progress_is_written_when_asked_for(tensors, capsys):
    run(Net(), tensors)
    assert capsys.readouterr().out == ""
    run(Net(), tensors, progress=True)
    assert "Net, seed 0: noise" in capsys.readouterr().out


def test_failed_cells_are_a_warning_and_a_reason(tensors):
    class Picky(Net):
        def forward(self, images):
            if images.requires_grad and len(images) > 2:
                raise ValueError("not with a gradient")
            return super().forward(images)

    with pytest.warns(UserWarning, match="not with a gradient"):
        results = run(Picky(), tensors)
    failed = results.cells[results.cells.status == "failed"]
    assert "none" in set(failed.attack)  # scores are made as attacks see the model
    assert failed.reason.str.contains("not with a gradient").all()
    assert results.row("Picky").failed_cells == len(set(zip(failed.attack, failed.scenario, strict=True)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 3}, "must be an nn.Module, a callable or a spec, not int"),
        ({"model": {}}, "model is empty"),
        ({"model": {"a b": nn.Flatten()}}, "'a b' cannot be a model's name"),
        ({"model": {"a": nn.Flatten()}, "name": "b"}, "name= is for one model"),
        ({"model": "my_model"}, "my_model"),
        ({"model": lambda images: images}, r"returns shape \(\d+, 1, 8, 8\)"),
        ({"data": 3}, "data must be the name of a data set, a folder, or .*not int"),
        ({"data": "digit"}, "Unknown data set 'digit'. Did you mean 'digits'"),
        ({"data": (torch.rand(4, 1, 8, 8),)}, "not tuple of 1"),
        ({"data": (torch.rand(4, 1, 8, 8) * 9, torch.arange(4))}, "images must be in .0, 1., but reach from"),
        ({"data": (torch.rand(4, 1, 8, 8), torch.arange(3))}, r"labels must have the shape \(4,\)"),
        (
            {"data": (torch.rand(4, 1, 8, 8), torch.arange(4) // 2, torch.ones(4, dtype=torch.int64))},
            "ids must differ",
        ),
        ({"attacks": "pgdd"}, "Unknown attack 'pgdd'"),
        ({"scenarios": "clusters"}, "Unknown scenario 'clusters'"),
        ({"eps": 8}, "write 8/255, not 8"),
        ({"eps": None}, "Give eps, .* as 8/255"),
        ({"eps": None, "norm": "l0"}, "Give eps, .* a whole number of pixels"),
        ({"eps": None, "norm": "l3"}, "'linf', 'l2' or 'l0'"),
        ({"norm": "l3"}, "'linf', 'l2' or 'l0'"),
        ({"norm": "l0", "eps": 2.5}, "counts changed pixels"),
        ({"device": "gpu"}, "Unknown device 'gpu'"),
        ({"attack_precision": "tf32"}, "tf32 is one of GPUs, and the device is 'cpu'"),
        ({"attack_precision": "half"}, "Unknown attack precision 'half'"),
        ({"options": {"attack_precision": "float32"}}, "it is an argument of evaluate"),
        ({"options": {"evaluations": {}}}, "evaluations"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_bad_input_gets_one_line_and_runs_nothing(tensors, tmp_path, changes, message):
    given = {"model": nn.Flatten(), "data": tensors} | changes
    with pytest.raises((UsageError, BenchmarkError), match=message) as caught:
        run(given.pop("model"), given.pop("data"), output=tmp_path / "out", **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "store").exists()


def test_a_folder_that_there_is_not(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        run(nn.Flatten(), tmp_path / "none")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_another_float_type_is_the_caller_s_again_afterwards(tensors, dtype):
    net = Net().to(dtype)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    run(lambda images: net(images), tensors, name="half")
    assert {key: value.dtype for key, value in net.state_dict().items()} == dict.fromkeys(before, dtype)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_an_edited_file_is_read_again(tensors, tmp_path):
    file, helper = tmp_path / "edited.py", tmp_path / "scale_of_edited.py"
    file.write_text(
        "import torch\nfrom scale_of_edited import SCALE\n\ndef make():\n"
        "    return lambda images: images.flatten(1)[:, : SCALE * 4]\n"
    )
    for scale in (1, 3):
        helper.write_text(f"SCALE = {scale}  #{' ' * scale}\n")
        run(f"{file}:make", tensors, output=tmp_path / "out")
    ids = {path.stem for path in (tmp_path / "out" / "store" / "models").glob("*.json")}
    assert len(ids) == 3  # pixels, and a model for each content


def test_weights_that_differ_at_each_call_are_refused(tensors, tmp_path):
    file = tmp_path / "drawn.py"
    file.write_text(
        "import torch\nfrom torch import nn\n\ndef make():\n    torch.seed()\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8))\n"
    )
    with pytest.raises(BenchmarkError, match=r"not the weights that the run was planned with.*--weights"):
        run(f"{file}:make", tensors)


def test_a_constant_that_a_function_uses_is_in_its_identity(tensors, tmp_path):
    for shift in (0.0, 0.5):
        run(lambda images: images.flatten(1) + shift, tensors, name="shifted", output=tmp_path / "out")  # noqa: B023
    assert len(list((tmp_path / "out" / "store" / "models").glob("*.json"))) == 3


def test_options_do_not_replace_arguments(tensors):
    with pytest.raises(UsageError, match="'output' cannot be given in options; it is an argument"):
        run(Net(), tensors, options={"output": "elsewhere"})


def test_images_are_kept_on_request(tensors, tmp_path):
    run(Net(), tensors, output=tmp_path / "out", options={**OPTIONS, "save_images": 2})
    assert list((tmp_path / "out" / "store" / "images").iterdir())


def test_a_row_whose_weights_changed_is_not_loaded(tensors, tmp_path):
    torch.manual_seed(0)
    file, weights = tmp_path / "kept.py", tmp_path / "w.pth"
    file.write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8))\n"
    )
    state = {"1.weight": torch.rand(8, 64), "1.bias": torch.rand(8)}
    torch.save(state, weights)
    results = run(f"{file}:make[weights={weights}]", tensors, output=tmp_path / "out")
    (name,) = {row.name for row in results.rows()} - {"pixels"}
    assert load_model(results, name)(tensors[0]).shape == (len(tensors[0]), 8)
    torch.save({**state, "1.bias": torch.rand(8)}, weights)
    with pytest.raises(BenchmarkError, match="not the weights that the run was planned with"):
        load_model(results, name)


def test_a_cascade_has_the_worst_case_of_the_suite(tensors, monkeypatch):
    members = ("pgd[objective=neighbour,steps=2]", "pgd[objective=centroid_ce,steps=2]", "noise")
    monkeypatch.setattr(SUITES, "_entries", dict(SUITES._entries))
    for name, cascaded in (("whole", False), ("short_cascade", True)):
        fields = {"__module__": __name__, "attacks": members, "cascaded": cascaded}
        SUITES.register(name)(type(name.title(), (Suite,), {**fields, "__doc__": "A short suite."}))
    net = Net()
    standard, cascade = (run(net, tensors, attacks=name) for name in ("whole", "short_cascade"))
    one, other = ({row.name: row.worst.r1 for row in found.rows()} for found in (standard, cascade))
    assert other == one
    assert cascade.cells["attacked_queries"].notna().any()
    assert standard.cells["attacked_queries"].isna().all()
