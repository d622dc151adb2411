import re

import pytest

from benchmark.report.latex import escape, latex

from .fake_run import CLUSTERING, FakeRun
from .own_models import HOME, models_beside_defenses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eat[members=3]", "eat[members=3]"),
        ("a_b & 5 % of $x #1 {y}", r"a\_b \& 5 \% of \$x \#1 \{y\}"),
        (
            "~^\\|<>",
            r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textbar{}\textless{}\textgreater{}",
        ),
        ("a--b", "a-{}-{}b"),
        ("1 \u00b1 2 \u00d7 \u2013 \u2020", r"1 $\pm$ 2 $\times$ -- $^\dagger$"),
        ("two\nlines", "two lines"),
    ],
)
def test_everything_is_escaped(text, expected):
    assert escape(text) == expected


def test_the_table_is_that_of_the_page(tables_of):
    run, (table, _) = tables_of(models_beside_defenses())
    source = latex(run, table)
    assert HOME not in source and source.count("\\toprule") == source.count("\\bottomrule") == 1
    body = source.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    columns = re.search(r"begin\{tabular\}\{([lr]+)\}", source)[1]
    assert len(body) == len(table.rows)
    assert all(len(re.split(r"(?<!\\)&", line)) == len(columns) and line.endswith(r" \\") for line in body)
    assert r"\texttt{net.py:make[weights=net.safetensors]} (own model)$^\dagger$" in source.replace(
        " $^", "$^"
    )
    assert "(plugin 1a2b3c4d)" in source and r"\texttt{pgd\_at}" in source
    best = table.rows[0]
    shown = rf"\textbf{{{100 * best.mean('worst_ami'):.1f} $\pm$ {100 * best.std('worst_ami'):.1f}}}"
    assert shown in body[0]


def test_negative_and_missing_scores(tables_of):
    run, (table,) = tables_of(FakeRun(scenarios=(CLUSTERING,), seeds=(0,)))
    row = table.rows[0]
    row.seeds = [type(seed)(**{**vars(seed), "worst_ami": -0.05}) for seed in row.seeds]
    table.rows[1].seeds = []
    lines = latex(run, table).splitlines()
    assert any(r"\textbf{$-$5.0}" in line for line in lines)
    assert "R@1" not in "".join(lines) and any("& -- & -- &" in line for line in lines)
