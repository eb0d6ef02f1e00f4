"""Puts what was measured into a page, between two marks that bear its name."""

from pathlib import Path


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks. Raises ValueError when the page has none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = path.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{path} has no marks {begin} and {end}")
    path.write_text(f"{page[: page.index(begin)]}{begin}\n{text}\n{page[page.index(end) :]}")
