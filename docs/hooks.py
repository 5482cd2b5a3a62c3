"""What mkdocs does not do by itself: pages from outside docs/, notebooks that are run, and no outside requests."""

import re
import tempfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
BROUGHT_IN = (
    "CHANGELOG.md",
    *(f"studies/**/*.{ending}" for ending in ("md", "png", "svg", "csv", "toml")),
    "src/distlaw/sweep/presets/*.toml",
    "examples/debug/*.toml",
)
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and figures of BROUGHT_IN under their own paths, and every notebook with what it prints."""
    for pattern in BROUGHT_IN:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for path in NOTEBOOKS:
        for name, content in as_page(path).items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turns links out of docs/ and into it, as they work in the repository, into links within the site."""
    if page.file.src_uri.startswith(("studies/", "CHANGELOG")):
        return re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)
    return re.sub(r"\]\(\.\./((?:\.\./)*(?:studies|src|examples)/)", r"](\1", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuses a site that a browser would load something for from elsewhere."""
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        if outside := _Loads.of(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path} loads from elsewhere: {', '.join(outside)}")


def run_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in its own folder as Jupyter would.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")  # opens no port
        folder = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, km=kernel, timeout=300, coalesce_streams=True, resources=folder)
        client.execute(cleanup_kc=True)
    return notebook


@cache  # `mkdocs serve` builds again at every change
def as_page(path: Path) -> dict[str, str | bytes]:
    """A notebook as Markdown and its figures, by the names of their files."""
    files: dict[str, str | bytes] = {}
    lines = []
    for number, cell in enumerate(run_notebook(path).cells):
        if cell.cell_type == "markdown":
            lines += [cell.source, ""]
            continue
        lines += ["```python", cell.source, "```", ""]
        for output in cell.outputs:
            data = output.get("data", {})
            if output.get("name") == "stdout":
                lines += ["```text", re.sub(r"\x1b\[[\d;]*m", "", output.text).rstrip(), "```", ""]
            elif "image/svg+xml" in data:
                name = f"{path.stem}-{number}.svg"
                files[name] = data["image/svg+xml"]
                lines += [f"![What the lines above draw]({name})", ""]
            elif "text/plain" in data:
                lines += ["```text", data["text/plain"], "```", ""]
    lines += [f"(`docs/notebooks/{path.name}`, run when this page was built.)", ""]
    return {f"{path.stem}.md": "\n".join(lines), **files}


class _Loads(HTMLParser):
    """Addresses elsewhere that a browser loads by itself; a link that one may follow is not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, html: str) -> list[str]:
        parser = cls()
        parser.feed(html)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADED.get(tag, ""), "") or ""
        if dict(attrs).get("rel") != "canonical" and re.match(r"(?:https?:)?//", address):
            self.found.append(address)
