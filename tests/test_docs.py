"""What the pages say of the project is so: paths exist, floors and stages are all named."""

import dataclasses
import re
import runpy

import pytest
import yaml

import tiny
from guides import NewFile, guide
from pipeline.defenses import DEFENSES
from pipeline.risks import RISKS
from pipeline.risks.risk import Risk

ROOT = tiny.ROOT
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.parent.name != "example"  # what a run wrote
}
ARCHITECTURE = PAGES["docs/architecture.md"]
DRAW = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))
GUIDES = ("## Add an attack", "## Add a defense", "## Add a risk", "## Add a data set")
MADE_BY_GUIDES = {
    step.path
    for title in GUIDES
    for step in guide(PAGES["CONTRIBUTING.md"], title)
    if isinstance(step, NewFile)
}
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
FOLDERS = ("pipeline", "tests", "conf", "docs", "benchmarks", "data", ".dvc", ".ci")
MADE_BY_RUNS = ("artifacts/", "data/", "sweeps/", ".dvc/remote/", "card.md", "docs/example/")
HISTORY = "CHANGELOG.md"  # speaks of what was


def prose(text):
    """The lines of a page that are neither code nor tables, numbered."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and not line.lstrip().startswith(("|", "```")):
            yield number, line


def named_paths(text):
    """Paths in backquotes and links, outside code."""
    outside = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    quoted = re.findall(r"`((?:[\w.<>*-]+/)+[\w.<>*-]*)`", outside)
    roots = [one for one in quoted if one.split("/")[0] in (*FOLDERS, "artifacts")]
    return roots + re.findall(r"`(\w+\.(?:md|yaml|toml|dvc|lock))`", outside)


def exists(path):
    """Whether a path is there; `<risk>` and the like stand for any name."""
    return any(ROOT.glob(re.sub(r"<[^>]*>", "*", path).rstrip("/")))


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY])
def test_every_path_that_a_page_names_exists(page):
    outputs = {*DVC["stages"], *(path.split("/")[-1].split(".")[0] for path in MADE_BY_GUIDES)}
    for path in named_paths(PAGES[page]):
        if path.startswith("artifacts/"):
            stage = path.split("/")[1]
            assert stage in outputs or stage.startswith("<") or not stage, path
        elif path not in MADE_BY_GUIDES and not path.startswith(MADE_BY_RUNS):
            assert exists(path), path


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY])
def test_every_link_leads_somewhere(page):
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", PAGES[page]):
        assert not target or "://" in target or (folder / target).exists(), target


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY])
def test_every_link_to_a_heading_finds_it(page):
    folder = (ROOT / page).parent
    for target, heading in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", PAGES[page]):
        if "://" not in target:
            text = (folder / target).read_text(encoding="utf-8") if target else PAGES[page]
            headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert heading in anchors, f"{target}#{heading}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY])
def test_prose_is_short_lines_in_one_spelling(page):
    for number, line in prose(PAGES[page]):
        assert len(line) <= 200, f"{page}, line {number}"
    assert "defence" not in PAGES[page].lower()


# ---- architecture ----


def test_the_drawing_of_the_floors_is_current():
    begin, end = DRAW["BEGIN"], DRAW["END"]
    drawn = ARCHITECTURE[ARCHITECTURE.index(begin) : ARCHITECTURE.index(end) + len(end)]
    assert drawn == DRAW["drawing"](), "run: python docs/draw_architecture.py"


def test_the_drawing_shows_every_room_there_is():
    package = ROOT / "pipeline"
    rooms = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    (house,) = (one for one in DRAW["contracts"]() if one.get("containers") == ["pipeline"])
    assert {room for floor in DRAW["floors"](house) for room in floor} == rooms - {"__init__"}


def test_the_table_of_rooms_has_the_floors_of_the_contract():
    (house,) = (one for one in DRAW["contracts"]() if one.get("containers") == ["pipeline"])
    wanted = DRAW["floors"](house)
    section = ARCHITECTURE.split("## The rooms")[1].split("\n## ")[0]
    floors, numbers = [], []
    for number, room in re.findall(r"^\| *(\d*) *\| `(\w+)` \|", section, re.MULTILINE):
        if number:
            numbers.append(int(number))
            floors.append([])
        floors[-1].append(room)
    assert numbers == list(range(len(wanted), 0, -1))
    assert [sorted(rooms) for rooms in floors] == [sorted(rooms) for rooms in wanted]


def test_the_page_names_the_stages_there_are():
    section = ARCHITECTURE.split("## Stages, folders, DVC")[1].split("\n## ")[0]
    first = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)[2:]
    named = {name for cell in first for name in re.findall(r"`(\w+)`", cell)}
    one_of_many = {*DEFENSES, *(risk.name for risk in RISKS)}  # a new one changes no page
    assert set(DVC["stages"]) - one_of_many <= named <= set(DVC["stages"])


def test_the_page_names_every_part_of_a_risk():
    section = ARCHITECTURE.split("## A risk")[1].split("\n## ")[0]
    block = section.split("```")[1]
    parts = {field.name for field in dataclasses.fields(Risk)} - {"steps"}
    parts |= {name for name in ("tables", "chapters") if hasattr(Risk, name)}
    assert [part for part in parts if not re.search(rf"\b{part}\b", block)] == []
