"""What is to be done: a file for each, and what cannot be asked is named."""

from pipeline.risks.federation.measure.experiment import harm_file, jobs_of, run_job
from pipeline.risks.federation.measure.hospitals import file_of
from pipeline.risks.federation.measure.hostile import Asked, harm
from risks.federation.made_up import settings


class Saved:
    def save(self, path):
        path.write_text("saved")


def test_every_federation_has_a_file_and_krum_of_four_a_reason(cfg, dataset, tmp_path):
    changes = {"aggregate": "mean", "aggregates": ["krum"], "malicious": [1, 2], "repetitions": 3}
    own = settings(cfg, sites=5, hospitals=[4], **changes)
    jobs, whys = jobs_of(dataset, None, own, tmp_path)
    names = [path.name for _, _, path in jobs]
    read = ["seen.safetensors", "members.safetensors", "members_private.safetensors"]
    assert names[:5] == [*read, file_of(5), file_of(4)]
    first = [Asked(5, rule, 1, False, 3) for rule in ("mean", "krum")]
    fewer = Asked(4, "mean", 1, False, 1)
    asked = [arguments[-1] for measure, arguments, _ in jobs if measure is harm]
    private = [Asked(5, rule, 1, True, 1) for rule in ("mean", "krum")]
    two = Asked(5, "mean", 2, False, 1)
    assert asked == [*first, fewer, two, *private]
    assert names[5:] == [harm_file(one) for one in asked]
    assert len(set(names)) == len(names)
    assert whys == {
        "krum of 4 hospitals, 1 hostile": "krum takes 5 hospitals to stand 1 malicious, not 4",
        "krum of 5 hospitals, 2 hostile": "krum takes 7 hospitals to stand 2 malicious, not 5",
    }


def test_without_private_hospitals_none_are_asked(cfg, dataset, tmp_path):
    jobs, _ = jobs_of(dataset, None, settings(cfg, dp_sgd=None), tmp_path)
    assert not [path for _, _, path in jobs if "private" in path.name]


def test_a_job_leaves_its_file(tmp_path):
    run_job(lambda *given: Saved() if given == (1, 2) else None, (1, 2), tmp_path / "file")
    assert (tmp_path / "file").exists()
