import pytest

from benchmark.core.display_names import (
    abbreviate,
    command_without_folders,
    sentence_without_folders,
    without_folders,
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("vanilla", "vanilla"),
        ("pgd[objective=pool[k=5],steps=20]", "pgd[objective=pool[k=5],steps=20]"),
        ("folder:/home/me/birds[size=32]", "folder:birds[size=32]"),
        ("folder:birds", "folder:birds"),
        ("folder[linf=8/255,path=~/my birds,name=b]", "folder[linf=8/255,name=b,path=my birds]"),
        ("resnet18[pretrained=/data/w.pth]", "resnet18[pretrained=w.pth]"),
        ('folder:"/home/me/my, birds"[size=32]', "folder:my, birds[size=32]"),
        ("/home/me/x.py:make[weights=/data/w.pth]", "x.py:make[weights=w.pth]"),
        ("transfer[attack=mine[file=/data/w.pth,k=2]]", "transfer[attack=mine[file=w.pth,k=2]]"),
        ('a["/b"', 'a["/b"'),
        ("8/255", "8/255"),
        ("/tmp/out", "out"),
        ("/home/me/my.py:make[weights=/data/w.pt]", "my.py:make[weights=w.pt]"),
        (
            "transfer[attack=fgsm,source=/home/me/my.py:make[weights=/data/w.pt]]",
            "transfer[attack=fgsm,source=my.py:make[weights=w.pt]]",
        ),
    ],
)
def test_absolute_paths_are_shortened_to_their_last_part(spec, expected):
    assert without_folders(spec) == expected


def test_a_command_line_names_no_folder():
    command = (
        "python run_benchmark.py --datasets 'folder[path=/home/me/my birds],glyphs' --eps 8/255 0.1 "
        "--output=/tmp/out --plugin /home/me/p.py --defenses vanilla,pgd_at "
        "--model '/home/me/my.py:make[weights=/data/w.pt]'"
    )
    assert command_without_folders(command) == (
        "python run_benchmark.py --datasets 'folder[path=my birds],glyphs' --eps 8/255 0.1 "
        "--output=out --plugin p.py --defenses vanilla,pgd_at --model 'my.py:make[weights=w.pt]'"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The file '/home/me/my photos/a.pt' is damaged.", "The file 'a.pt' is damaged."),
        ("/home/me/a.pt is damaged (line 3); delete it", "a.pt is damaged (line 3); delete it"),
        ("cannot read ~/a/b.pt, c", "cannot read b.pt, c"),
        ("R@1 33.5 at eps 8/255, AMI / R@1 and/or more", "R@1 33.5 at eps 8/255, AMI / R@1 and/or more"),
    ],
)
def test_a_sentence_names_no_folder(text, expected):
    assert sentence_without_folders(text) == expected


def test_parameters_that_all_share_are_left_out():
    assert abbreviate(['"a[b"[x=1,y=2]', 'a"b']) == {'"a[b"[x=1,y=2]': '"a[b"', 'a"b': 'a"b'}
    names = ["a[x=1,y=2]", "a[x=1,y=3]", "b[z=1]", "c"]
    assert abbreviate(names) == {"a[x=1,y=2]": "a[y=2]", "a[x=1,y=3]": "a[y=3]", "b[z=1]": "b", "c": "c"}
