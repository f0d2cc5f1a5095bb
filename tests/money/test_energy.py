"""Energy: read from meters where there are any, estimated where there are watts, else unknown."""

from decimal import Decimal
from pathlib import Path

import pytest
from support.cost_cases import a_case, composed

from llamaduo.money.energy import Counter, Energy, Meter, energy, meter, together
from llamaduo.money.machine_time import metrics, recorded, total
from llamaduo.money.rates import UNKNOWN, Rates, rates_of
from llamaduo.records import Bill

WATTS = Rates(usd_per_hour=Decimal("0.36"), watts=Decimal(50))


def package(root: Path, name: str, microjoules: int, span: int = 262_143_328_850) -> Path:
    """A CPU package's counter as Linux shows it."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text("package-0\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    return folder / "energy_uj"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_a_packages_counter_is_read_at_both_ends(tmp_path: Path) -> None:
    counter = package(tmp_path, "intel-rapl:0", 5_000_000)
    package(tmp_path, "intel-rapl:0:0", 1)  # within the package, so counted with it
    with meter(tmp_path) as metered:
        counter.write_text("3605000000\n")
    assert metered.joules == 3600
    found = energy(metered, 10.0, 0.0, WATTS)
    assert found == Energy(kwh=0.001, measured=True, by="CPU package-0")


def test_a_counter_that_starts_again_goes_on(tmp_path: Path) -> None:
    counter = package(tmp_path, "intel-rapl:0", 9_000_000, span=10_000_000)
    with meter(tmp_path) as metered:
        counter.write_text("2000000\n")
    assert metered.joules == 3


def test_a_counter_that_breaks_leaves_an_estimate(tmp_path: Path) -> None:
    counter = package(tmp_path, "intel-rapl:0", 5_000_000)
    with meter(tmp_path) as metered:
        counter.write_text("nonsense")
    assert metered.joules is None
    assert energy(metered, 3600.0, 0.0, WATTS) == Energy(kwh=0.05, measured=False, by="50 W")


def test_without_meters_or_watts_energy_is_unknown(tmp_path: Path) -> None:
    with meter(tmp_path) as metered:
        pass
    assert energy(metered, 10.0, 0.0, UNKNOWN) is None


def test_starts_that_nobody_metered_make_an_estimate(tmp_path: Path) -> None:
    readings = iter([0.0, 1800.0])
    with Meter([Counter("GPU", lambda: next(readings), None)]) as metered:
        pass
    found = energy(metered, 20.0, 10.0, WATTS)
    assert found == Energy(kwh=0.001, measured=False, by="GPU")


def test_one_unknown_part_leaves_the_whole_unknown() -> None:
    part = Energy(kwh=1.0, measured=True, by="GPU")
    guess = Energy(kwh=2.0, measured=False, by="50 W")
    assert together([part, guess]) == Energy(kwh=3.0, measured=False, by="GPU, 50 W")
    assert together([part, None]) is None


def test_what_a_record_does_not_know_is_taken_at_the_rates_of_now() -> None:
    known = recorded(None, 3600.0, UNKNOWN)
    assert (known.compute_usd, known.energy) == (None, None)
    later = recorded(known.model_dump(mode="json"), 3600.0, WATTS)
    assert later.compute_usd == Decimal("0.36")
    assert later.energy == Energy(kwh=0.05, measured=False, by="50 W")
    dearer = Rates(usd_per_hour=Decimal(9), watts=Decimal(900))
    again = recorded(later.model_dump(mode="json"), 3600.0, dearer)
    assert again == later, "what was known when it was made stays"


def test_metrics_leave_out_what_is_not_known() -> None:
    unknown = metrics(Bill(usd=None), recorded(None, 5.0, UNKNOWN))
    assert {"cost/service_usd", "cost/compute_usd", "cost/energy_kwh"}.isdisjoint(unknown)
    assert unknown["cost/seconds"] == 5
    found = metrics(Bill(input_tokens=7), total([recorded(None, 1800.0, WATTS)] * 2), "_spent")
    assert found["cost/compute_usd_spent"] == pytest.approx(0.36)
    assert found["cost/energy_kwh_spent"] == pytest.approx(0.05)
    assert found["cost/energy_estimated_spent"] == 1
    assert found["cost/input_tokens_spent"] == 7


def test_an_hour_of_each_kind_of_hardware() -> None:
    def hourly(**changes: object) -> Decimal | None:
        return rates_of(a_case(**changes).hardware, None).usd_per_hour

    month = {"electricity_usd_per_month": 73, "hosting_usd_per_month": 73}
    assert hourly(usd=73 * 36, lifetime_months=36, **month) == Decimal("0.3")
    assert hourly(usd=2539, lifetime_months=None) is None, "over how long is not known"
    assert hourly(kind="lease", usd_per_month=730, **month) == Decimal("1.2")
    assert hourly(kind="cloud", usd_per_hour=2, hosting_usd_per_month=0) == 2
    assert hourly(kind="cloud", usd_per_hour=None) is None
    watts = {"electricity_usd_per_month": None, "watts": 1000, "usd_per_kwh": 0.2}
    assert hourly(kind="lease", usd_per_month=0, **watts) == Decimal("0.2")
    own = composed("hardware=this_machine").hardware
    assert rates_of(own, Decimal(3)).usd_per_hour == 3


@pytest.mark.gpu
def test_a_gpu_counts_its_energy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with meter(tmp_path) as metered:
        big = torch.ones(4096, 4096, device="cuda")
        for _ in range(200):
            big = big @ big / 4096
        torch.cuda.synchronize()
    assert metered.joules is not None
    assert metered.joules > 1
