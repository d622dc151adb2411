import pytest

from benchmark.core.errors import UsageError
from benchmark.runner.config import presets, resolve


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
    ("arguments", "said"),
    [
        ({"eps": ["-0.1"]}, "negative"),
        ({"eps": ["0"]}, "eps > 0"),
        ({"eps": ["8"]}, "8/255"),
        ({"eps": ["8/0"]}, "eps"),
        ({"eps": ["nan"]}, "eps"),
        ({"eps": ["inf"]}, "eps"),
        ({"seeds": ["one"]}, "seeds"),
        ({"seeds": ["-1"]}, "seeds"),
        ({"norm": "l1"}, "norm"),
        ({"workers": "0"}, "workers"),
        ({"device": "tpu"}, "device"),
        ({"preset": "smok"}, "Did you mean 'smoke'"),
        ({"defenses": [" "]}, "empty"),
        ({"defenses": ["eat[members=5"]}, "Brackets"),
    ],
)
def test_bad_values_get_one_line(arguments, said):
    with pytest.raises(UsageError) as caught:
        resolve(arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defense: [vanilla]", "Did you mean 'defenses'"),
        ("- vanilla", "keys and values"),
        ("defenses: [vanilla", "YAML"),
        ("training: {epoch: 3}", "Did you mean 'epochs'"),
        ("evaluation: {eots: 3}", "Did you mean 'eot'"),
        ("training: 3", "training"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path, text, said):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        resolve({}, file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_key_in_a_file_is_as_good_as_none(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("training:\nplugin: mine.py\n")
    config = resolve({}, file)
    assert config.training == resolve({}).training
    assert [path.name for path in config.plugin] == ["mine.py"]


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        resolve({}, tmp_path / "none.yaml")
