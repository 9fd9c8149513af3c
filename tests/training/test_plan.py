import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Train
from maskwright.data.dataset import TrainSet, TrainSpec
from maskwright.data.sampling import Lots
from maskwright.training.plan import Deal, Plan, check_share, digest_of_keys, make_plan, step_seed


@given(
    items=st.integers(1, 30),
    size=st.integers(1, 4),
    share=st.integers(1, 3),
    accumulate=st.integers(1, 3),
    steps=st.integers(1, 4),
)
def test_processes_take_slices_of_the_same_global_batches(items, size, share, accumulate, steps):
    plan = Plan(items, 2, steps, share * size, accumulate, seed=1)
    for step in range(plan.total):
        for micro in range(accumulate):
            alone = plan.tickets(step, micro, 0, 1)
            assert alone == [ticket for rank in range(size) for ticket in plan.tickets(step, micro, rank, size)]
    every = [ticket for step in range(plan.total) for m in range(accumulate) for ticket in plan.tickets(step, m, 0, 1)]
    assert every == [(epoch, index) for epoch in range(2) for index in range(plan.draws)]


def test_a_later_start_gives_the_rest_of_the_same_batches():
    plan = Plan(7, 3, 2, 4, 2, seed=1)
    whole, rest = list(Deal(plan, 0, 1, 2)), list(Deal(plan, 4, 1, 2))
    assert rest == whole[8:]
    assert len(Deal(plan, 4, 1, 2)) == len(rest)


def test_logged_items_are_those_that_the_samples_show(make_job):
    job = make_job()
    plan = make_plan(job.member.train, len(job.train_keys), job.seed)
    spec = TrainSpec(
        job.source, job.train_keys, job.task, job.preprocess, (32, 32), (), job.max_pixels, job.seed, plan.draws
    )
    samples = TrainSet(spec)
    for step in range(plan.total):
        assert plan.items_of(step, samples.lots) == [samples[ticket]["index"] for ticket in plan.tickets(step, 0, 0, 1)]


@pytest.mark.parametrize(
    ("items", "batch", "accumulate", "steps"), [(8, 4, 1, 2), (9, 4, 1, 3), (9, 4, 2, 2), (1, 8, 1, 1)]
)
def test_without_steps_every_item_is_drawn_once_or_a_little_more(items, batch, accumulate, steps):
    plan = make_plan(Train(epochs=1, batch_size=batch, accumulate=accumulate), items, 0)
    assert plan.steps_per_epoch == steps
    lots = Lots(0, items, plan.draws)
    drawn = [item for step in range(steps) for item in plan.items_of(step, lots)]
    assert set(drawn) == set(range(items))


def test_batch_that_does_not_divide_is_refused():
    check_share(Train(batch_size=8), 2, "fold0")
    with pytest.raises(InputError) as caught:
        check_share(Train(batch_size=8), 3, "fold0")
    assert str(caught.value) == (
        "fold0: train.batch_size 8 does not divide by 3 processes; use train.batch_size=6, or another number of "
        "processes"
    )


def test_seeds_and_digests_differ_where_they_should():
    seeds = {step_seed(*given) for given in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert digest_of_keys(["a", "b"]) != digest_of_keys(["b", "a"])
