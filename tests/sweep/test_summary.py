"""What a sweep shows."""

from types import SimpleNamespace

from pipeline.sweep.summary import Summary


def test_the_table_of_a_sweep_has_a_line_per_run_and_a_dash_where_a_figure_is_not_said(capsys):
    summary = Summary()
    for overrides, line in ((["seed=0"], {"a": "1", "b": "2"}), (["seed=1"], {"a": "3"})):
        task = SimpleNamespace(hydra=SimpleNamespace(overrides=SimpleNamespace(task=overrides)))
        done = SimpleNamespace(status=SimpleNamespace(name="COMPLETED"), return_value=[line])
        summary.bar = SimpleNamespace(update=lambda: None, close=lambda: None)
        summary.on_job_end(task, done)
    summary.on_multirun_end(task)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[:3] == [["overrides", "a", "b"], ["seed=0", "1", "2"], ["seed=1", "3", "-"]]
