import pytest

from distlaw.costs import ACCELERATORS, Machine, accelerator


def test_bill_by_hand():
    machine = Machine(accelerator=accelerator("h100", dollars_per_hour=2.0), utilisation=0.5, overhead=1.5)
    bill = machine.bill(989e12 * 0.5 * 3600 * 10)
    assert bill.gpu_hours == pytest.approx(10)
    assert bill.energy_kwh == pytest.approx(10 * 0.7 * 1.5)
    assert bill.dollars == pytest.approx(20)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_budgets_undo_bills(name):
    machine = Machine(accelerator=accelerator(name))
    assert machine.flops_for_dollars(machine.bill(1e22).dollars) == pytest.approx(1e22)
    assert machine.flops_per_hour * machine.bill(1e22).gpu_hours == pytest.approx(1e22)


def test_overrides():
    chip = accelerator("a100", watts=300, peak_flops=None)
    assert (chip.watts, chip.peak_flops) == (300, ACCELERATORS["a100"].peak_flops)
    with pytest.raises(TypeError, match="no such accelerator property: cores"):
        accelerator("a100", cores=3)


@pytest.mark.parametrize("name", ["TPU-v5p", "tpu_v5p", "TPU v5p", " tpu-V5P "])
def test_names_in_any_case(name):
    assert accelerator(name) == ACCELERATORS["tpu-v5p"]
    assert accelerator("H100", watts=1).watts == 1


def test_refusals():
    with pytest.raises(ValueError, match="accelerator 'h999' is unknown; choose one of a100"):
        accelerator("h999")
    with pytest.raises(ValueError, match="watts must be positive, got 0"):
        accelerator("h100", watts=0)
    with pytest.raises(ValueError, match=r"utilisation must be above 0 and at most 1, got 1\.5"):
        Machine(accelerator=ACCELERATORS["h100"], utilisation=1.5)
    with pytest.raises(ValueError, match=r"overhead must be 1 or more, got 0\.5"):
        Machine(accelerator=ACCELERATORS["h100"], overhead=0.5)
