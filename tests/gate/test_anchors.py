"""A gate is found on the line that sets it."""

from pipeline.gate.anchors import Place, places_of

TEXT = "# limits\ndefense: baseline\n\nfirst: {at_least: 1}\nsecond:\n  at_most: 2\n"


def test_a_gate_stands_on_its_line_in_the_file_that_says_the_same(tmp_path):
    own, other = tmp_path / "a" / "conf", tmp_path / "b" / "conf"
    for folder, text in ((own, TEXT.replace("1", "7")), (other, TEXT)):
        (folder / "gate").mkdir(parents=True)
        (folder / "gate" / "default.yaml").write_text(text)
    gates = {"first": {"at_least": 1}, "second": {"at_most": 2}, "made": {"at_most": 3}}
    assert places_of(gates, [own, other], tmp_path) == {
        "first": Place("b/conf/gate/default.yaml", 4),
        "second": Place("a/conf/gate/default.yaml", 5),
    }
    # overridden on the command line: the line that it overrides
    assert places_of({"first": {"at_least": 3}}, [own], tmp_path)["first"].line == 4


def test_a_file_outside_the_repository_and_one_that_is_no_yaml_have_no_lines(tmp_path):
    folder = tmp_path / "conf" / "gate"
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text(TEXT)
    (folder / "broken.yaml").write_text("a: [")
    (folder / "list.yaml").write_text("[first]")
    (tmp_path / "repository").mkdir()
    assert places_of({"first": {}}, [tmp_path / "conf"], tmp_path / "repository") == {}
    assert len(places_of({"first": {}}, [tmp_path / "conf"], tmp_path)) == 1
