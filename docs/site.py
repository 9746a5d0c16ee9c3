"""The pages of the site that lie outside docs/, and links from one place to the other.

A hook of MkDocs (mkdocs.yml). README is the home page; what a page links to beside the pages is
named, as the site does not hold it.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s:]+)\)")  # neither an address nor a footnote


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that lie beside docs/."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, "")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Mends the links of a page of docs/."""
    place = page.file.src_uri
    return markdown if place in PAGES.values() else relinked(markdown, f"docs/{place}")


def relinked(text: str, place: str) -> str:
    """The text with links as the site has them.

    Args:
        text: Markdown.
        place: the path of its file from the root of the repository; empty: of one in the root.
    """
    folder = posixpath.dirname(place)

    def mended(found: re.Match[str]) -> str:
        picture, label, target = found.groups()
        path, mark, anchor = target.partition("#")
        if not path:
            return found.group(0)
        whole = posixpath.normpath(posixpath.join(folder, path))
        if whole in PAGES:
            inside = PAGES[whole]
        elif whole.startswith("docs/") and (ROOT / whole).is_file():
            inside = whole.removeprefix("docs/")
        else:
            return f"{label} (`{whole}`)"
        start = folder.removeprefix("docs").lstrip("/") or "."
        return f"{picture}[{label}]({posixpath.relpath(inside, start)}{mark}{anchor})"

    return LINK.sub(mended, text)
