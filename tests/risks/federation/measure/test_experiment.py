"""What is to be done: a file for each, and what cannot be asked is named."""

from pipeline.risks.federation.measure.experiment import harm_file, jobs_of, run_job
from pipeline.risks.federation.measure.hospitals import file_of
from risks.federation.made_up import settings


class Saved:
    def save(self, path):
        path.write_text("saved")


def test_every_federation_has_a_file_and_krum_of_four_a_reason(cfg, dataset, tmp_path):
    own = settings(cfg, sites=5, hospitals=[4], aggregate="mean", aggregates=["krum"])
    jobs, whys = jobs_of(dataset, None, own, tmp_path)
    names = [path.name for _, _, path in jobs]
    assert names[:2] == ["seen.safetensors", "members.safetensors"]
    of_five = [file_of(5), harm_file(5, "mean"), harm_file(5, "krum")]
    assert names[2:] == [*of_five, file_of(4), harm_file(4, "mean")]
    assert whys == {"krum of 4 hospitals": "krum takes 5 hospitals, not 4"}


def test_a_job_leaves_its_file(tmp_path):
    run_job(lambda *given: Saved() if given == (1, 2) else None, (1, 2), tmp_path / "file")
    assert (tmp_path / "file").exists()
