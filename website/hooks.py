"""What `mkdocs build` does beside rendering docs/: generated pages, and links that leave docs/.

The pages below `reference/` are made of the code and written nowhere else. A page of docs/ may link
to any file of the repository by its relative path, as GitHub reads it. Such a file is part of the
site below `repository/`, and the links are turned there.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from commands_page import commands_page
from files_page import corpus_folder_page, json_page, run_folder_page
from mkdocs.structure.files import File
from spec_page import spec_pages

ROOT = Path(__file__).parent.parent
DOCS, COPIES = PurePosixPath("docs"), PurePosixPath("repository")

LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
"""A link of Markdown: its bracket, its path, and the rest."""


def on_files(files: Any, config: Any) -> Any:
    """Adds the style, the generated pages, and the files outside docs/ that pages link to."""
    style = ROOT / "website" / "site.css"
    files.append(File.generated(config, style.name, abs_src_path=str(style)))
    for name, text in generated_pages().items():
        files.append(File.generated(config, f"reference/{name}", content=text))
    waiting = [page for page in files.documentation_pages() if page.abs_src_path]
    while waiting:
        page = waiting.pop()
        for _, path, _ in LINK.findall(page.content_string):
            source = repository_path(page.src_uri, path)
            uri = site_uri(source)
            if not (ROOT / source).is_file() or files.get_file_from_path(uri):
                continue
            added = File.generated(config, uri, abs_src_path=str(ROOT / source))
            files.append(added)
            if added.is_documentation_page():
                waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns the links of a page that is a file of the repository to where the site has it."""
    here = page.file.src_uri
    if page.file.abs_src_path is None:
        return markdown

    def turned(link: re.Match[str]) -> str:
        source = repository_path(here, link[2])
        if not (ROOT / source).is_file():
            return link[0]
        target = posixpath.relpath(site_uri(source), posixpath.dirname(here) or ".")
        return link[1] + target + link[3]

    return LINK.sub(turned, markdown)


def generated_pages() -> dict[str, str]:
    """Returns the Markdown of the pages that are made of the code, by their names."""
    return {
        **spec_pages(),
        "options.md": commands_page(),
        "run_folder.md": run_folder_page(),
        "corpus_folder.md": corpus_folder_page(),
        "json.md": json_page(),
    }


def repository_path(uri: str, link: str) -> str:
    """Returns the path in the repository that `link` on the page `uri` of the site leads to."""
    page = PurePosixPath(uri)
    own = page.relative_to(COPIES) if page.is_relative_to(COPIES) else DOCS / page
    return posixpath.normpath(own.parent / link)


def site_uri(source: str) -> str:
    """Returns the place on the site of a file of the repository."""
    path = PurePosixPath(source)
    return str(path.relative_to(DOCS) if path.is_relative_to(DOCS) else COPIES / path)
