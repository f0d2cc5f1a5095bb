"""A sweep on a local Ray cluster of two workers; needs the extra [ray]."""

import pytest
from support import toy_sweep as toy
from support.studies import RATE, Sweeps

pytest.importorskip("ray", reason="pip install llamaduo[ray]")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_sweep_on_a_local_ray_cluster_of_two_workers(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("TOY_SECONDS", "1")
    sweeps = Sweeps(tmp_path / "mlruns", monkeypatch, capfd)
    cluster = ("num_cpus=2", "include_dashboard=false", "_node_ip_address=127.0.0.1")
    sweeping = sweeps.process(
        *(RATE, f"hparams.batch_size={toy.SLEEPS}", "hydra.sweeper.n_trials=4"),
        *("hydra/launcher=ray", "hydra.sweeper.n_jobs=2"),
        *(f"+hydra.launcher.ray.init.{word}" for word in cluster),
    )
    said, _ = sweeping.communicate(timeout=280)
    assert sweeping.returncode == 0, said
    assert sweeps.states() == ["COMPLETE"] * 4
    begun = sorted((t.datetime_start, t.datetime_complete) for t in sweeps.trials())
    # Two at a time: the second begins before the first one's end.
    assert begun[1][0] < begun[0][1]
    processes = {path.name.partition("-")[0] for path in (sweeps.home / "started").iterdir()}
    assert len(processes) == 2
