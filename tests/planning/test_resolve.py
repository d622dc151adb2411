from pathlib import Path

import pytest

from benchmark.core.errors import UsageError
from benchmark.data import Folders
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import presets, resolve
from benchmark.planning.selection import check_recipes


def test_lists_are_split_outside_brackets():
    config = resolve({"defenses": ["pgd_at[epochs_scale=3],eat[members=5,transfer=peers]", "vanilla"]})
    assert config.defenses == ["pgd_at[epochs_scale=3]", "eat[members=5,transfer=peers]", "vanilla"]


def test_eps_takes_fractions_and_both_separators():
    assert resolve({"eps": ["8/255", "0.1"]}).eps == [8 / 255, 0.1]
    assert resolve({"eps": ["8/255,0.1"]}).eps == [8 / 255, 0.1]


def test_the_command_line_is_over_the_file_which_is_over_the_preset(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("seeds: [3, 4]\nnorm: l2\ntraining: {epochs: 2}\n")
    config = resolve({"norm": "linf"}, file)
    assert (config.seeds, config.norm, config.training.epochs) == ([3, 4], ["linf"], 2)
    assert config.training.batch_size == resolve({}).training.batch_size


def test_own_attacks_or_budgets_leave_the_presets_curve_out():
    assert resolve({}).curve.factors
    assert not resolve({"attacks": ["noise"]}).curve.factors
    assert not resolve({"eps": ["0.1"]}).curve.factors


def test_every_preset_is_valid():
    assert {"default", "smoke"} <= set(presets())
    for name in presets():
        assert resolve({"preset": name}).preset == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"eps": ["-0.1"]}, "negative"),
        ({"eps": ["0"]}, "eps > 0"),
        ({"eps": ["8"]}, "8/255"),
        ({"eps": ["8/0"]}, "eps"),
        ({"eps": ["nan"]}, "eps"),
        ({"eps": ["inf"]}, "eps"),
        ({"seeds": ["one"]}, "seeds"),
        ({"seeds": ["-1"]}, "seeds"),
        ({"seeds": ["0-2"]}, "is not a whole number; list them"),
        ({"norm": "l1"}, "norm"),
        ({"norm": "l0", "eps": ["20", "2.5"]}, "counts changed pixels: write whole numbers from 1 on, as 20"),
        ({"norm": "l0", "eps": ["8/255"]}, "counts changed pixels"),
        ({"workers": "0"}, "workers"),
        ({"device": "tpu"}, "device"),
        ({"attack_precision": "float16"}, "Unknown attack precision 'float16'. Did you mean 'bfloat16'?"),
        ({"preset": "smok"}, "Did you mean 'smoke'"),
        ({"defenses": [" "]}, "empty"),
        ({"defenses": ["eat[members=5"]}, "Brackets"),
    ],
)
def test_bad_values_get_one_line(arguments, message):
    with pytest.raises(UsageError) as caught:
        resolve(arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defense: [vanilla]", "Did you mean 'defenses'"),
        ("- vanilla", "keys and values"),
        ("defenses: [vanilla", "YAML"),
        ("training: {epoch: 3}", "Did you mean 'epochs'"),
        ("evaluation: {eots: 3}", "Did you mean 'eot'"),
        ("training: 3", "training"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path, text, message):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        resolve({}, file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_key_in_a_file_is_as_good_as_none(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("training:\nplugin: mine.py\n")
    config = resolve({}, file)
    assert config.training == resolve({}).training
    assert [path.name for path in config.plugin] == ["mine.py"]


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        resolve({}, tmp_path / "none.yaml")


def test_a_data_set_may_have_a_recipe_of_its_own(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("training: {epochs: 7}\ntraining_for: {sop: {lr: 0.5, epochs: 3}, digits: {shift: 0}}\n")
    config = resolve({}, file)
    recipe = config.recipe("sop[size=64]")
    assert (recipe.epochs, recipe.lr, recipe.shift) == (3, 0.5, config.training.shift)
    assert config.recipe("digits") == config.training.model_copy(update={"shift": 0})
    assert config.recipe("glyphs") == config.training
    made = build_grid(
        resolve({"datasets": "digits", "attacks": "noise", "checks": False}, file),
        Folders(tmp_path, tmp_path),
    )
    assert {model.job.recipe.shift for model in made.models if model.job.trained} == {0}


def test_the_papers_data_sets_and_a_fourth_by_name_have_the_constants_of_their_own():
    config = resolve({"preset": "paper"})
    assert config.datasets == ["cub200", "cars196", "inshop"]
    recipes = {name: config.recipe(name) for name in (*config.datasets, "sop")}
    found = {name: (recipe.lr, recipe.decay_every, recipe.decay) for name, recipe in recipes.items()}
    large = (6e-4, 20, 0.25)
    assert found == {"cub200": (1e-4, 10, 0.5), "cars196": (1e-4, 20, 0.5), "inshop": large, "sop": large}
    assert resolve({"preset": "paper", "datasets": "cub200,sop"}).recipe("sop") == recipes["sop"]


def test_what_the_user_says_of_training_is_over_the_presets_recipes(tmp_path):
    assert resolve({"preset": "paper"}).recipe("sop").lr == 6e-4
    file = tmp_path / "c.yaml"
    file.write_text("preset: paper\ntraining: {lr: 0.5}\n")
    recipe = resolve({}, file).recipe("sop")
    assert (recipe.lr, recipe.decay_every) == (0.5, 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{sop: {lrr: 1}}", "Unknown key in training_for: sop 'lrr'. Did you mean 'lr'"),
        ("{sop: {lr: -1}}", "training_for: sop: lr=-1"),
        ("{sop: 3}", "training_for.sop=3"),
        ("3", "training_for=3"),
    ],
)
def test_a_recipe_that_does_not_fit_is_reported(tmp_path, text, message):
    file = tmp_path / "c.yaml"
    file.write_text(f"training_for: {text}\n")
    with pytest.raises(UsageError) as caught:
        resolve({}, file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_for_no_data_set_is_reported(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("training_for: {digit: {lr: 1}}\n")
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        build_grid(resolve({"datasets": "digits"}, file), Folders(tmp_path, tmp_path))


def test_a_recipe_of_the_users_leaves_the_rest_of_the_presets(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("preset: paper\ntraining_for: {sop: {lr: 3.0e-4}}\n")
    recipe = resolve({}, file).recipe("sop")
    assert (recipe.lr, recipe.decay_every, recipe.decay) == (3e-4, 20, 0.25)
    file.write_text("preset: paper\ntraining: 5\n")
    with pytest.raises(UsageError, match="training=5"):
        resolve({}, file)


def test_names_of_folders_in_recipes(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("training_for: {folder: {lr: 0.5}, 'folder:birds': {lr: 0.25}}\n")
    config = resolve({}, file)
    rates = [config.recipe(name).lr for name in ("folder:x", "folder[path=x]", "folder:birds[grey=true]")]
    assert rates == [0.5, 0.5, 0.25]
    check_recipes(config.training_for)
    for name, message in (
        ("folder:birds/", "'folder:birds'"),
        ("digits[validation=true]", "is called 'digits'"),
    ):
        with pytest.raises(UsageError, match=message):
            check_recipes([name])


def test_a_path_with_a_comma_or_a_space_can_be_given_in_quotes(tmp_path):
    paths = ['folder:"/a, b/c"[size=32]', '"folder:/a, b/c"[size=9]', 'folder[path="/a,b"]']
    assert resolve({"datasets": [*paths, "glyphs,digits"]}).datasets == [*paths, "glyphs", "digits"]
    file = tmp_path / "c.yaml"
    file.write_text("datasets:\n" + "".join(f"  - '{path}'\n" for path in paths))
    assert resolve({}, file).datasets == paths


@pytest.mark.parametrize(
    "split", ["folder:/my birds", "folder:my birds", "folder:/a, b/c", "folder:~/a,digits b"]
)
def test_a_list_that_was_split_within_a_path_gets_advice(tmp_path, split):
    with pytest.raises(UsageError, match=r"needs double quotes, as in 'folder:\"/my, data\"'\.") as caught:
        build_grid(resolve({"datasets": split, "attacks": "noise"}), Folders(tmp_path, tmp_path))
    assert len(str(caught.value).splitlines()) == 1


def test_a_recipe_for_a_path_in_quotes(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("training_for: {'\"folder:/a, b\"': {lr: 0.25}}\n")
    config = resolve({}, file)
    check_recipes(config.training_for)
    assert config.recipe('folder:"/a, b"[size=32]').lr == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eps: 0.1\nseeds: 0\neps: 0.2\n", r"line 3: the key 'eps' is given twice\."),
        ("training: {epochs: 1}\nseeds: 0\ntraining: {lr: 1}\n", "line 3: the key 'training' is given twice"),
        ("training:\n  epochs: 1\n  epochs: 2\n", "line 3: the key 'epochs' is given twice"),
        ("seeds: yes\n", "seeds: true is neither a number nor a name; YAML also reads yes"),
        ("seeds: [0, true]\n", "seeds: true is neither"),
        ("workers: on\n", "workers: true is neither"),
        ("eps: false\n", "eps: false is neither"),
        ("defenses: [no]\n", "defenses: false is neither"),
        ("training: {epochs: yes}\n", "training: epochs: true is neither"),
        ("training_for: {glyphs: {lr: on}}\n", "training_for: glyphs: lr: true is neither"),
        ("training_for:\n  glyphs: {lr: 1}\n  glyphs: {lr: 2}\n", "line 3: the key 'glyphs' is given twice"),
        ("on: 1\n", "line 1: the key 'on' is not a name"),
        ("{[seeds]: 1}\n", "line 1: the key is not a name"),
        ("training: {epochs: 010}\n", "line 1: 010 is read as 8: write it as a decimal number"),
        ("seeds: [0, 1:30]\n", "1:30 is read as 90: write"),
        ("eps: 0:0.5\n", "0:0.5 is read as 0.5: write"),
        ("eps: 2026-13-45\n", "line 1: 2026-13-45 is read as a date: put it in quotes"),
        ("preset: smoke\noutput: 2026-01-01\n", "line 2: 2026-01-01 is read as a date"),
        ("output: ~\n", "line 1: ~ is read as nothing: write '~' for the home folder"),
        ("budget: .inf\n", "line 1: .inf is not a finite number"),
        ("training: {lr: .nan}\n", "line 1: .nan is not a finite number"),
        ("seeds: [1, 2, 1]\n", "seeds=.*: 1 is given twice"),
        ("seeds: '1 2 01'\n", "seeds=.*: 1 is given twice"),
        ("seeds: 1.5\n", "seeds.0=1.5: .*integer"),
        ("seeds: [1e3]\n", "'1e3' is not a whole number"),
        ("seeds: 1e99\n", "'1e99' is not a whole number"),
        ("seeds: [on]\n", "seeds: true is neither a number nor a name"),
        ("seeds: !!int one\n", "not valid YAML: invalid literal"),
        ("seeds: &s [*s]\n", "seeds.0="),
        ("seeds: \0\n", "not valid YAML: unacceptable character"),
        ("seeds: 9223372036854775808\n", "seeds.0=9223372036854775808: .*less than 9223372036854775808"),
        ("seeds: -1\n", "seeds.0=-1: .*greater than or equal to 0"),
    ],
)
def test_what_yaml_reads_otherwise_than_meant_is_refused(tmp_path, text, message):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        resolve({}, file)
    assert len(str(caught.value).splitlines()) == 1


def test_booleans_anchors_and_equal_keys_of_two_sections_are_read(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "checks: no\ntraining: &one {epochs: 2}\ntraining_for: {glyphs: {<<: *one, lr: 1}, digits: {lr: 1}}\n"
    )
    config = resolve({}, file)
    assert config.checks is False and config.recipe("glyphs").epochs == 2


def test_paths_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "c.yaml"
    file.write_text("output: ~/out\nplugin: [~/one.py, ./two.py]\ndata_root: ~/data\n")
    config = resolve({}, file)
    assert config.output == tmp_path / "out"
    assert config.plugin == [tmp_path / "one.py", Path("two.py")]
    assert config.data_root == tmp_path / "data"
    assert resolve({"output": "~nobody-of-this-name/out"}).output == Path("~nobody-of-this-name/out")
