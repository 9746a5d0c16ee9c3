"""What gives way on the page of one reader: one thing after another, counted, the gravest last."""

from pipeline.report.sheet import Sheet, shorter

WHOLE = Sheet(["found"], [("A", [1, 2, 3]), ("B", [4])], ["gravest", "u", "v", "of all"])


def test_the_whole_comes_first_and_says_of_nothing_that_it_is_left_out():
    first = next(shorter(WHOLE))
    assert first == WHOLE
    assert first.pointer == ""


def test_each_is_shorter_by_one_thing_and_what_is_left_out_is_counted():
    every = list(shorter(WHOLE))
    sizes = [len(one.untested) + sum(len(parts) for _, parts in one.briefs) for one in every]
    assert sizes == list(range(sizes[0], 1, -1))
    for one, size in zip(every, sizes, strict=True):
        assert one.left_out + one.parts_left_out == sizes[0] - size
        assert one.findings == WHOLE.findings
        assert one.untested[0] == "gravest"
        assert one.untested[-1] == "of all"


def test_what_was_not_tested_gives_way_before_parts_and_the_longest_chapter_before_others():
    every = list(shorter(WHOLE))
    assert [one.untested for one in every[:3]][-1] == ["gravest", "of all"]
    assert every[3].briefs == [("A", [1, 2]), ("B", [4])]
    assert every[5].briefs == [("A", [1])]
    assert every[-1].briefs == []


def test_the_pointer_says_how_much_and_where_it_stands():
    assert every_pointer()[2] == (
        "Left out, so that this is one page: 2 more not tested; the full report has all."
    )
    assert "2 more not tested and 1 part of chapters" in every_pointer()[3]
    assert "2 more not tested and 4 parts of chapters" in every_pointer()[-1]


def every_pointer():
    return [one.pointer for one in shorter(WHOLE)]
