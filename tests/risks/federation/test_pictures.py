"""The picture of rules: a mark and an interval for each, and the same in words."""

import parts
from pipeline.risks.federation import pictures
from pipeline.risks.federation.rules import rules_table
from pipeline.risks.federation.tables import harm_table
from pipeline.statistics.intervals import Sampling
from risks.federation import made_up


def test_every_rule_and_federation_has_a_mark_and_its_interval(tmp_path, monkeypatch):
    drawn = parts.drawn(monkeypatch, pictures)
    parts.undrawn(monkeypatch)
    found = [made_up.harmed(), made_up.harmed(rule="median"), made_up.harmed(malicious=2)]
    table = rules_table(harm_table(found, Sampling(50, 0.95, 0)), 0.95)
    table = table.assign(name=[f"{count} hostile" for count in table["malicious"]])
    picture = pictures.draw(table, tmp_path)
    (figure,) = drawn
    for axis, name in zip(figure.axes, pictures.PANELS, strict=True):
        marks = [line.get_xdata()[0] for line in axis.lines if line.get_marker() in ("s", "^")]
        assert sorted(marks) == sorted(table[name])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "no attack",
        "1 hostile",
        "2 hostile",
    ]
    assert picture.shows.count(" to ") == 9
