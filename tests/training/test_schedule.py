import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Schedule
from maskwright.training.schedule import SCHEDULES, build_schedule, warmup_steps


def torch_rates(make, steps):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_poly_is_torch_s_polynomial():
    ours = build_schedule(Schedule(name="poly", power=0.9, warmup=0), 40)
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 40, power=0.9), 40)
    assert [ours(step) for step in range(40)] == pytest.approx(theirs, rel=1e-9)


def test_cosine_is_torch_s_annealing():
    ours = build_schedule(Schedule(name="cosine", warmup=0, floor=0.1), 40)
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 40, eta_min=0.1), 40)
    assert [ours(step) for step in range(40)] == pytest.approx(theirs, rel=1e-9)


def test_one_cycle_is_torch_s():
    ours = build_schedule(Schedule(name="one_cycle", warmup=0.3), 100)
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=100), 100)
    assert [ours(step) for step in range(100)] == pytest.approx(theirs, rel=1e-6)


def test_step_is_torch_s_by_epochs_and_stays_within_one():
    ours = build_schedule(Schedule(name="step", warmup=0, every=2, gamma=0.5, per="epoch"), 60, steps_per_epoch=10)
    theirs = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 20, gamma=0.5), 60)
    assert [ours(step) for step in range(60)] == pytest.approx(theirs, rel=1e-9)
    by_epoch = build_schedule(Schedule(name="cosine", warmup=0, per="epoch"), 60, steps_per_epoch=10)
    by_step = build_schedule(Schedule(name="cosine", warmup=0), 60, steps_per_epoch=10)
    assert [by_epoch(step) for step in range(60)] == [by_step(step // 10 * 10) for step in range(60)]


def test_restarts_are_torch_s_and_fade_and_rise_as_asked():
    block = Schedule(name="restarts", warmup=0, every=1, growth=2, floor=0.1)
    ours = build_schedule(block, 70, steps_per_epoch=10)
    theirs = torch_rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 10, T_mult=2, eta_min=0.1), 70
    )
    assert [ours(step) for step in range(70)] == pytest.approx(theirs, rel=1e-9)
    block = Schedule(name="restarts", warmup=0, every=1, fade=0.8, rise=0.5)
    ours = build_schedule(block, 30, steps_per_epoch=10)
    assert [ours(0), ours(15), ours(25)] == pytest.approx([1, 0.8, 0.64])
    assert [ours(10 + step) for step in range(5)] == pytest.approx([0.8 * step / 5 for step in range(5)])


def test_closed_forms_after_a_warm_up_of_steps_or_of_a_share():
    for warmup in (10, 0.1):
        poly = build_schedule(Schedule(name="poly", power=2.0, warmup=warmup, floor=0.2), 100)
        assert [poly(step) for step in range(10)] == pytest.approx([(step + 1) / 10 for step in range(10)])
        assert poly(10) == 1
        assert poly(55) == pytest.approx(0.2 + 0.8 * 0.5**2)
        cosine = build_schedule(Schedule(name="cosine", warmup=warmup), 100)
        assert cosine(55) == pytest.approx((1 + math.cos(math.pi / 2)) / 2)
        constant = build_schedule(Schedule(name="constant", warmup=warmup), 100)
        assert [constant(step) for step in (9, 10, 99)] == [1, 1, 1]


@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    steps=st.integers(1, 500),
    warmup=st.one_of(st.floats(0, 0.99), st.integers(0, 2000)),
    floor=st.floats(0, 0.9),
)
def test_rates_rise_to_one_then_never_rise_again(name, steps, warmup, floor):
    block = Schedule(name=name, warmup=warmup, floor=floor)
    multiplier = build_schedule(block, steps)
    rates = [multiplier(step) for step in range(steps)]
    turn = warmup_steps(block, steps)
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[:turn] == sorted(rates[:turn])
    assert rates[turn:] == sorted(rates[turn:], reverse=True)
    assert turn == 0 or rates[turn - 1] == 1


def test_unknown_schedule_is_refused():
    with pytest.raises(InputError) as caught:
        build_schedule(Schedule(name="cosin"), 10, "m.schedule")
    assert str(caught.value) == (
        "m.schedule.name: unknown schedule 'cosin' (did you mean 'cosine'?); use one of: constant, cosine, "
        "one_cycle, plateau, poly, restarts, step"
    )


TABLE = {
    # eight steps, two a epoch, no warm-up; every number worked out by hand from the closed form
    "constant": ({}, [1, 1, 1, 1, 1, 1, 1, 1]),
    "plateau": ({}, [1, 1, 1, 1, 1, 1, 1, 1]),
    "cosine": ({}, [1, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060]),
    "one_cycle": ({}, [0.961940, 0.853554, 0.691343, 0.500002, 0.308661, 0.146450, 0.038064, 0.000004]),
    "poly": ({"power": 2.0}, [1, 0.765625, 0.5625, 0.390625, 0.25, 0.140625, 0.0625, 0.015625]),
    "step": ({"every": 1, "gamma": 0.1}, [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
    "restarts": ({"every": 2, "fade": 0.5}, [1, 0.853553, 0.5, 0.146447, 0.5, 0.426777, 0.25, 0.073223]),
}


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_each_schedule_is_its_tabulated_closed_form(name):
    settings, wanted = TABLE[name]
    rate = build_schedule(Schedule(name=name, warmup=0, **settings), 8, steps_per_epoch=2)
    assert [rate(step) for step in range(8)] == pytest.approx(wanted, abs=1e-6)
    floored = build_schedule(Schedule(name=name, warmup=0.25, floor=0.0, **settings), 8, steps_per_epoch=2)
    if name != "one_cycle":
        assert [floored(0), floored(1)] == [0.5, 1.0]
