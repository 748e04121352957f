"""Energy: the Green Algorithms formula by hand, design powers, and CodeCarbon for real."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from asteroid_bsrnn.costs.energy import EnergyMeter
from asteroid_bsrnn.costs.environment import hardware
from asteroid_bsrnn.costs.green_algorithms import (
    cpu_power_per_core,
    estimate,
    gpu_power,
    green_algorithms_kwh,
)
from asteroid_bsrnn.errors import UserError

MACHINE = {
    "cpu_model": "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz",
    "cpu_cores": 32,
    "memory_gb": 64.0,
    "gpus": [{"name": "Tesla V100-SXM2-32GB", "memory_gb": 32.0}],
}


def test_green_algorithms_by_hand():
    # Cores:  8 x 12 W x 0.5      =  48.00 W
    # GPUs:   2 x 300 W x 0.9     = 540.00 W
    # Memory: 64 GB x 0.3725 W/GB =  23.84 W
    # Sum:                          611.84 W; in 10 h 6.1184 kWh; with a PUE of 1.5 9.1776 kWh
    kwh = green_algorithms_kwh(
        10.0,
        n_cpu_cores=8,
        cpu_watts_per_core=12.0,
        cpu_usage=0.5,
        n_gpus=2,
        gpu_watts=300.0,
        gpu_usage=0.9,
        memory_gb=64.0,
        pue=1.5,
    )
    assert kwh == pytest.approx(9.1776, rel=1e-12)


def test_green_algorithms_without_gpu_by_hand():
    # 4 x 15 W + 16 GB x 0.3725 W/GB = 65.96 W; in 100 h 6.596 kWh; the PUE by default is 1.5
    kwh = green_algorithms_kwh(100, n_cpu_cores=4, cpu_watts_per_core=15, memory_gb=16)
    assert kwh == pytest.approx(9.894, rel=1e-12)


def test_impossible_values_are_refused():
    right = {"hours": 1, "n_cpu_cores": 1, "cpu_watts_per_core": 1, "memory_gb": 1}
    for wrong, message in [
        ({"hours": -1}, "hours must be 0 or more"),
        ({"memory_gb": float("nan")}, "memory_gb must be 0 or more"),
        ({"cpu_usage": 1.2}, "cpu_usage must be from 0 to 1"),
        ({"pue": 0.9}, "pue must be a number of at least 1"),
        ({"n_gpus": 2}, "gpu_watts is missing"),
    ]:
        with pytest.raises(UserError, match=message):
            green_algorithms_kwh(**{**right, **wrong})


def test_design_power_of_gpus():
    for name, watts in {
        "Tesla V100-SXM2-32GB": 300,
        "Tesla V100-PCIE-16GB": 250,
        "NVIDIA A100-SXM4-80GB": 400,
        "NVIDIA A100-PCIE-40GB": 250,
        "NVIDIA A100 80GB PCIe": 300,
        "NVIDIA H100 80GB HBM3": 700,
        "NVIDIA GeForce RTX 4090": 450,
        "Tesla T4": 70,
    }.items():
        assert gpu_power(name).watts == watts, name
    for name in (
        "NVIDIA GeForce RTX 3090 Laptop GPU",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "A100",
        "Voodoo 2",
    ):
        power = gpu_power(name)
        assert power.watts is None and name in power.source, name
    # The driver's limit counts more, and is known of any GPU.
    assert gpu_power("NVIDIA A100-SXM4-80GB", 275.0).watts == 275
    assert gpu_power("Voodoo 2", 15.0).watts == 15
    limited = {**MACHINE, "gpus": [{**MACHINE["gpus"][0], "watts": 250.0}]}
    assert estimate(1.0, limited)["gpu_watts"] == 250


def test_design_power_of_cpu_cores():
    for name, watts in {
        "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz": 125 / 16,
        "Intel(R) Xeon(R) CPU E5-2680 v3 @ 2.50GHz": 120 / 12,
        "Intel(R) Xeon(R) Platinum 8480+": 350 / 56,
        "AMD EPYC 7742 64-Core Processor": 225 / 64,
        "AMD Ryzen Threadripper PRO 5975WX 32-Cores": 280 / 32,
    }.items():
        power = cpu_power_per_core(name)
        assert (power.watts, power.assumed) == (watts, False), name
    # The table has the watts of these, and the machine tells the cores.
    for name, cores, watts in [
        ("AMD Ryzen 7 5800H with Radeon Graphics", 8, 45 / 8),
        ("11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", 4, 28 / 4),
    ]:
        assert cpu_power_per_core(name, cores).watts == watts, name
        assert cpu_power_per_core(name).assumed, name
    for unknown in ("AMD EPYC", "AMD EPYC 77420", "Intel(R) Xeon(R) CPU @ 2.20GHz", None):
        power = cpu_power_per_core(unknown, 8)
        assert (power.watts, power.assumed) == (12, True), unknown


def test_estimate_by_hand():
    # 32 x 125/16 W + 300 W + 64 x 0.3725 W = 573.84 W; in 2 h with a PUE of 1.5 1.72152 kWh
    found = estimate(2.0, MACHINE)
    assert found["kwh"] == pytest.approx(1.72152, rel=1e-12)
    assert (found["gpu_watts"], found["cpu_watts_assumed"], found["reason"]) == (300, False, None)
    # Two machines with two GPUs together: twice all of it.
    assert estimate(2.0, MACHINE, n_gpus=2, n_machines=2)["kwh"] == pytest.approx(3.44304)


def test_estimate_says_what_it_does_not_know():
    machine = {**MACHINE, "gpus": [{"name": "Voodoo 2", "memory_gb": 0.01}]}
    found = estimate(1.0, machine)
    assert found["kwh"] is None
    assert "Voodoo 2" in found["reason"]
    # Nobody needs to know a GPU that was not used.
    assert estimate(1.0, machine, n_gpus=0)["kwh"] == pytest.approx((250 + 23.84) * 1.5 / 1000)
    assert estimate(1.0, {**MACHINE, "gpus": []}, n_gpus=1)["kwh"] is None
    assert estimate(1.0, {**MACHINE, "cpu_model": None})["cpu_watts_assumed"]


def test_this_machine_can_be_estimated_without_its_gpus():
    assert estimate(1.0, hardware(), n_gpus=0)["kwh"] > 0


def test_energy_is_power_times_time_times_pue_once():
    # Between two measurements: before the first, CodeCarbon inspects the machine.
    with EnergyMeter(force_cpu_power=100, force_ram_power=50, pue=2.0) as meter:
        first = last = meter.snapshot(fresh=True)
        # Long enough for a busy machine, which measures late.
        while last.seconds < first.seconds + 0.5:
            last = meter.snapshot(fresh=True)
    assert last.status == "measured"
    joules_per_watt = (last.seconds - first.seconds) * 2.0
    assert (last.ram_kwh - first.ram_kwh) * 3.6e6 == pytest.approx(50 * joules_per_watt, rel=0.1)
    # CodeCarbon's model: a tenth of the full power for idling.
    share = (last.cpu_kwh - first.cpu_kwh) * 3.6e6 / (100 * joules_per_watt)
    assert 0.09 <= share <= 1.1
    assert last.kwh == last.cpu_kwh + last.gpu_kwh + last.ram_kwh
    assert last.emissions_kg > 0


def test_how_it_was_measured_is_told():
    meter = EnergyMeter(force_cpu_power=100, force_ram_power=50, country="deu", pue=1.2)
    assert meter.description()["methods"] is None
    with meter:
        described = meter.description()
    assert described["tracker"].startswith("codecarbon 3.")
    assert (described["country"], described["pue"], described["scope"]) == ("DEU", 1.2, "machine")
    assert described["methods"]["cpu"] == "estimated (cpu_load, 100 W)"
    assert described["methods"]["ram"] == "estimated (50 W)"
    assert described["methods"]["gpu"] in ("none", "measured (driver's counters)")


def test_readings_grow_until_the_meter_stops():
    meter = EnergyMeter(force_cpu_power=100, force_ram_power=50, interval=0.1).start()
    first = meter.snapshot(fresh=True)
    # In the background, without anybody asking for a measurement.
    deadline = time.monotonic() + 20
    while meter.snapshot().kwh <= first.kwh and time.monotonic() < deadline:
        time.sleep(0.05)
    second = meter.snapshot()
    assert second.kwh > first.kwh
    assert second.seconds > first.seconds
    last = meter.stop()
    assert last.kwh >= second.kwh
    assert meter.stop() == meter.snapshot(fresh=True) == last
    with pytest.raises(RuntimeError, match="another one"):
        meter.start()


def test_an_exception_stops_the_meter():
    before = set(threading.enumerate())
    meter = EnergyMeter(force_cpu_power=100, force_ram_power=50)
    with pytest.raises(KeyboardInterrupt), meter:
        raise KeyboardInterrupt
    assert meter.snapshot().status == "measured"
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=20)
    assert set(threading.enumerate()) <= before


def test_what_codecarbon_writes_goes_where_it_is_told(tmp_path):
    with EnergyMeter(output_directory=tmp_path / "new" / "folder", force_cpu_power=100) as meter:
        meter.snapshot(fresh=True)
    header, row = (tmp_path / "new" / "folder" / "emissions.csv").read_text().splitlines()
    assert "energy_consumed" in header
    assert ",FRA," in row


def test_trouble_from_the_start_is_warned_of_once(tmp_path, recwarn):
    (tmp_path / "file").write_text("in the way")
    with EnergyMeter(output_directory=tmp_path / "file" / "folder", force_cpu_power=100) as meter:
        reading = meter.snapshot(fresh=True)
    assert meter.stop() == reading
    assert (reading.status, reading.kwh, reading.seconds) == ("unavailable", None, None)
    assert "file" in reading.reason
    assert [str(w.message) for w in recwarn if "no longer" in str(w.message)] == [
        f"energy is measured no longer: {reading.reason}"
    ]


def test_trouble_on_the_way_keeps_what_was_measured(tmp_path, recwarn):
    folder = tmp_path / "folder"
    meter = EnergyMeter(output_directory=folder, force_cpu_power=100, force_ram_power=50).start()
    before = meter.snapshot(fresh=True)
    (folder / "emissions.csv").unlink()
    folder.rmdir()
    for _ in range(3):
        reading = meter.snapshot(fresh=True)
    assert reading.status == "unavailable"
    assert "folder" in reading.reason
    assert reading.kwh >= before.kwh
    assert meter.stop() == reading
    assert sum("no longer" in str(w.message) for w in recwarn) == 1


def test_a_meter_that_is_off_costs_nothing():
    with EnergyMeter(enabled=False, country="nowhere") as meter:
        assert meter.snapshot(fresh=True).status == "off"
    assert (meter.stop().kwh, meter.stop().seconds) == (None, None)
    assert set(meter.description().values()) == {None}


@pytest.mark.parametrize("country, hint", [("FR", "FRA"), ("France", "FRA"), ("Germny", "DEU")])
def test_unknown_countries_are_refused(country, hint):
    with pytest.raises(UserError, match=rf"unknown country '{country}'.*did you mean.*{hint}"):
        EnergyMeter(country=country)


def test_impossible_effectiveness_is_refused():
    for pue in (0.5, "1.5", float("inf"), True):
        with pytest.raises(UserError, match="pue must be a number of at least 1"):
            EnergyMeter(enabled=False, pue=pue)


def test_a_users_settings_do_not_send_anything(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("CODECARBON_EMISSIONS_ENDPOINT", address)
        monkeypatch.setenv("CODECARBON_API_ENDPOINT", address)
        monkeypatch.setenv("CODECARBON_SAVE_TO_API", "true")
        monkeypatch.setenv("CODECARBON_ELECTRICITYMAPS_API_TOKEN", "token")
        with EnergyMeter(force_cpu_power=100) as meter:
            reading = meter.snapshot(fresh=True)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert reading.status == "measured"


def test_a_users_own_use_of_codecarbons_log_is_left_alone():
    filters = list(logging.getLogger("codecarbon").filters)
    with EnergyMeter(force_cpu_power=100):
        pass
    assert logging.getLogger("codecarbon").filters == filters


SCRIPT = """
import sys
from asteroid_bsrnn.costs.energy import EnergyMeter
from asteroid_bsrnn.errors import UserError

with EnergyMeter(enabled=False):
    assert "codecarbon" not in sys.modules, "imported for nothing"
sys.modules["codecarbon"] = None
try:
    EnergyMeter()
except UserError as error:
    print(error)
del sys.modules["codecarbon"]
with EnergyMeter() as meter:
    print(meter.snapshot(fresh=True).status)
"""


def test_codecarbon_is_imported_late_missed_politely_and_kept_quiet(tmp_path):
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    missing, status = done.stdout.splitlines()
    assert "pip install asteroid-bsrnn[energy]" in missing
    assert status == "measured"
    assert list(tmp_path.iterdir()) == []
