"""Reads a page as a browser does, and refuses what a browser would have to guess."""

import re
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "img", "br", "hr", "link", "path", "use", "rect", "line", "circle", "image"}
INSIDE = {"li": ("ul", "ol"), "tr": ("thead", "tbody"), "th": "tr", "td": "tr", "thead": "table"}
LOADS = ("link", "iframe", "form", "img", "object", "embed", "video", "audio", "base")


class Reader(HTMLParser):
    """What stands on a page: headings, links, pictures, tables as text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []
        self.headings, self.pictures, self.tables, self.tags = [], [], [], []
        self.folds, self.scripts, self.captions = [], [], []
        self.text = ""

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert len(given) == len(attributes), f"<{tag}> says something twice"
        if tag in INSIDE:
            assert self.open[-1] in INSIDE[tag], f"<{tag}> in <{self.open[-1]}>"
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        if tag == "svg":
            self.pictures.append({**given, "title": "", "desc": ""})
        if tag in ("h1", "h2", "h3"):
            self.headings.append([tag, ""])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        for name, kept in (("summary", self.folds), ("caption", self.captions)):
            if tag == name:
                kept.append("")
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.text += data
        if "svg" in self.open:
            if self.open[-1] in ("title", "desc"):
                self.pictures[-1][self.open[-1]] += data
            return
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1][1] += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if "summary" in self.open:
            self.folds[-1] += data
        if "caption" in self.open:
            self.captions[-1] += data


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
    assert '<html lang="en">' in text
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert all(link.startswith("#") for link in page.links)
    named = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert named <= set(page.ids), f"no such part of a picture: {named - set(page.ids)}"
    levels = [int(tag[1]) for tag, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(title.strip() for _, title in page.headings)
    for picture in page.pictures:
        assert picture["role"] == "img"
        assert picture["title"].strip()
        assert picture["desc"].strip()
        assert set(picture["aria-labelledby"].split()) <= set(page.ids)
    for table in page.tables:
        assert len({len(row) for row in table}) == 1, table[0]
    for guess in LOADS:
        assert guess not in page.tags
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    assert text.count("<style") == 1, "a rule of one picture would hold for the whole page"
    return page


def sections(page, level="h2"):
    """The titles of one level, without their numbers."""
    return [re.sub(r"^\d+\. ", "", title) for tag, title in page.headings if tag == level]
