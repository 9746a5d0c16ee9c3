"""Reads a page as a browser does, and refuses what a browser would have to guess."""

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "img", "br", "hr", "link"}
INSIDE = {"li": "ul", "tr": ("thead", "tbody"), "th": "tr", "td": "tr", "thead": "table"}


class Reader(HTMLParser):
    """What stands on a page: headings, links, pictures, tables as text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []
        self.headings, self.pictures, self.tables, self.tags = [], [], [], []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), f"<{tag}> says something twice"
        if tag in INSIDE:
            assert self.open[-1] in INSIDE[tag], f"<{tag}> in <{self.open[-1]}>"
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.pictures += [given] if tag == "img" else []
        if tag in ("h1", "h2", "h3"):
            self.headings.append([tag, ""])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1][1] += data
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def read(text):
    """The page, if it is well formed."""
    page = Reader()
    page.feed(text)
    page.close()
    assert not page.open, f"never closed: {page.open}"
    return page


def check(text):
    """The page, if its links lead somewhere and its headings, pictures and tables are in order."""
    page = read(text)
    assert text.startswith("<!doctype html>")
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert all(link.startswith("#") for link in page.links)
    levels = [int(tag[1]) for tag, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(title.strip() for _, title in page.headings)
    for picture in page.pictures:
        assert picture["alt"].strip()
        assert picture["src"].startswith("data:image/png;base64,")
    for table in page.tables:
        assert len({len(row) for row in table}) == 1, table[0]
    for guess in ("script", "link", "iframe", "form"):
        assert guess not in page.tags
    return page
