"""A hook of MkDocs: shows files of the repository on the site, and points links at them.

Pages are written for readers of the repository, where `../benchmark/data` leads to a folder. The site stands
alone and names no host, so each file that a page links to becomes a page or a file of the site, under
`repository/`; `README.md` is its first page. The hook also writes lists nested by two spaces, which hosts
of repositories understand, as Python-Markdown reads them.
"""

import re
from pathlib import Path, PurePosixPath

FOLDER = "repository"
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
STATIC = {".png", ".svg", ".csv", ".json", ".parquet", ".html", ".ipynb"}
LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".cff": "yaml"}


def site_path(root, path):
    """Returns where the site shows `path`, a path in the repository, relative to the site's sources."""
    if path == PurePosixPath("README.md"):
        return PurePosixPath("index.md")
    if path.parts[0] == "docs":
        shown = path.relative_to("docs")
        return shown / "README.md" if (root / path).is_dir() else shown
    if (root / path).is_dir():
        return PurePosixPath(FOLDER, path, "index.md")
    shown_as_it_is = path.suffix in {".md", *STATIC}
    return PurePosixPath(FOLDER, path if shown_as_it_is else f"{path}.md")


def linked(root, path, text):
    """Yields each link of a page that leads into the repository: as written, and its path from `root`."""
    for match in LINK.finditer(text):
        target = (root / path).parent / match[1]
        if "://" not in match[1] and target.exists() and target.resolve().is_relative_to(root):
            yield match[1], PurePosixPath(target.resolve().relative_to(root).as_posix())


def linked_from_pages(root):
    """Returns the paths outside of `docs/` that the pages, and the pages they lead to, link to."""
    waiting = [
        PurePosixPath(page.relative_to(root).as_posix())
        for page in [root / "README.md", *(root / "docs").glob("**/*.md")]
    ]
    found = set(waiting)
    while waiting:
        path = waiting.pop()
        if path.suffix == ".md":
            new = {target for _, target in linked(root, path, (root / path).read_text(encoding="utf-8"))}
        elif (root / path).is_dir() and path.parts[0] != "docs":
            new = {path / file.name for file in (root / path).glob("*.py")}
        else:
            new = set()
        waiting.extend(new - found)
        found |= new
    return sorted(path for path in found if path.parts[0] != "docs")


def relative(target, page):
    """Returns the link that leads from `page` to `target`, both relative to the site's sources."""
    return PurePosixPath(*[".."] * len(page.parent.parts), target)


def as_page(root, path):
    """Returns the Markdown of the page that shows a file of source, or lists a folder."""
    if (root / path).is_dir():
        lines = [f"- [`{file.name}`]({file.name}.md)" for file in sorted((root / path).glob("*.py"))]
        return "\n".join([f"# `{path}/`", "", *lines, ""])
    text = (root / path).read_text(encoding="utf-8")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"# `{path}`\n\n{fence}{LANGUAGES.get(path.suffix, 'text')}\n{text}\n{fence}\n"


def nest_by_four(text):
    """Doubles the indentation of nested lists and of what they hold; fenced code moves as a block."""
    lines, fence = [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        mark = re.match(r"(`{3,}|~{3,})", line.lstrip(" "))
        if fence is None:
            lines.append(" " * indent + line)
            if mark:
                fence = (mark[1], indent)
        else:
            lines.append(" " * fence[1] + line)
            if line.strip() == fence[0]:
                fence = None
    return "\n".join(lines) + "\n"


def rewrite(root, path, text):
    """Returns a page with its links pointed at where the site shows their targets."""
    page = site_path(root, path)
    targets = dict(linked(root, path, text))

    def replace(match):
        if match[1] not in targets:
            return match[0]
        target = site_path(root, targets[match[1]])
        return f"]({relative(target, page)}{match[2] or ''})"

    return nest_by_four(LINK.sub(replace, text)).replace("<details>", '<details markdown="1">')


def on_files(files, config):
    """Adds the files of the repository that pages link to."""
    from mkdocs.structure.files import File  # here, so that the rest is tested without MkDocs

    root = Path(config.config_file_path).parent
    for path in linked_from_pages(root):
        target = str(site_path(root, path))
        if path.suffix in {".md", *STATIC}:
            files.append(File.generated(config, target, abs_src_path=str(root / path)))
        else:
            files.append(File.generated(config, target, content=as_page(root, path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Points links at the pages of the site."""
    root = Path(config.config_file_path).parent
    shown = PurePosixPath(page.file.src_uri)
    if shown == PurePosixPath("index.md"):
        path = PurePosixPath("README.md")
    elif shown.parts[0] == FOLDER:
        path = shown.relative_to(FOLDER)
    else:
        path = PurePosixPath("docs", shown)
    return rewrite(root, path, markdown) if (root / path).is_file() else markdown
