"""Paths lose no step; a sample is said."""

import re

from pipeline.presentation.pictures import axes_of
from pipeline.risks.evasion.pictures.canvas import finish, shorter


def absolute(path):
    """The corners of a path."""
    x = y = 0.0
    points = []
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        own = [float(one) for one in re.findall(r"-?[\d.]+", numbers)]
        if command == "H":
            x = own[0]
        elif command == "V":
            y = own[0]
        elif own:
            x, y = own[-2:]
        points.append((command.replace("H", "L").replace("V", "L"), round(x, 2), round(y, 2)))
    return points


def test_a_shorter_path_goes_through_the_same_corners():
    path = "M 1.000001 2 \nL 1.5 2 \nL 1.5 3.123456 \nL 4 5 \nL 4 5 \nC 1 2 3 4 5 6 \nz\n"
    short = shorter(f'<path d="{path}" id="a"/>')
    assert short == '<path d="M1 2H1.5V3.12L4 5C1 2 3 4 5 6z" id="a"/>'
    before = list(dict.fromkeys(absolute(path)))
    assert list(dict.fromkeys(absolute(re.findall('d="(.*?)"', short)[0]))) == before


def test_a_picture_of_a_sample_says_so_and_no_other_does(view, tables, context, tmp_path):
    from pipeline.risks.evasion.view import View

    sampled = tables["comparison"].assign(attacked=30, records=90)
    for one, said in ((view, False), (View({**tables, "comparison": sampled}, context.cfg), True)):
        figure, _ = axes_of(1, 1, (2, 2))
        picture = finish(figure, one, tmp_path / "a.svg", "A title", "What it shows.", "How.")
        svg = picture.path.read_text(encoding="utf-8")
        assert ("a stratified sample of 30 of 90 records" in picture.shows) == said
        assert ("a stratified sample of 30 of 90 records" in svg.split("</desc>")[1]) == said
        assert picture.caption == "A title. How."
