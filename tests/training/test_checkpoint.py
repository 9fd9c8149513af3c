import pytest
import torch

from maskwright.core.errors import InputError, StorageError
from maskwright.training.checkpoint import Checkpoints, load_optimizer, optimizer_tensors, pack, unpack


def tensors(value):
    return {"model.w": torch.full((3,), float(value))}


@pytest.fixture
def states(tmp_path):
    return Checkpoints(tmp_path / "fold0", "job")


def spoil(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_newest_is_by_step_and_two_are_kept(states):
    assert states.newest(pytest.fail) is None
    for step in (2, 10, 9, 30):
        states.save(step, tensors(step), {"best": {}})
    assert states.steps() == [30, 10]
    state = states.newest(pytest.fail)
    assert (state.step, state.facts["step"], state.tensors["model.w"][0]) == (30, 30, 30)


@pytest.mark.parametrize(
    "damage", [spoil, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"PK\3\4")]
)
def test_a_damaged_newest_state_falls_back_with_a_warning(states, damage):
    for step in (2, 4):
        states.save(step, tensors(step), {"best": {}})
    path = states.folder / "step-00000004.safetensors"
    damage(path)
    said = []
    assert states.newest(said.append).step == 2
    assert len(said) == 1
    assert said[0].startswith(f"{path}: ")
    assert said[0].endswith("; going on from the state before it")
    assert states.steps() == [2]


def test_no_whole_state_is_no_state(states):
    states.save(2, tensors(2), {"best": {}})
    spoil(states.folder / "step-00000002.safetensors")
    said = []
    assert states.newest(said.append) is None
    assert said


def test_a_state_of_another_job_is_refused(states):
    states.save(2, tensors(2), {"best": {}})
    with pytest.raises(InputError) as caught:
        Checkpoints(states.folder.parent, "other").newest(pytest.fail)
    assert str(caught.value) == (
        f"{states.folder / 'step-00000002.safetensors'}: this state belongs to a training with another recipe, fold or "
        "data; delete fold0 to train it anew"
    )


def test_best_files_stay_as_long_as_a_state_names_them(states):
    for step, best in [(1, 1), (2, 1), (3, 3), (4, 3)]:
        states.folder.mkdir(parents=True, exist_ok=True)
        states.best_path(step).write_bytes(b"weights") if best == step else None
        states.save(step, tensors(step), {"best": {"step": best}})
        left = sorted(path.name for path in states.folder.glob("best-*"))
        kept = {max(1, step - 1), step}
        named = {1 if state < 3 else 3 for state in kept}
        assert left == [f"best-{step:08d}.safetensors" for step in sorted(named)]


def test_a_full_disk_leaves_the_states_as_they_were(states, monkeypatch):
    states.save(2, tensors(2), {"best": {}})

    def full(*_given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError) as caught:
        states.save(4, tensors(4), {"best": {}})
    assert str(caught.value) == (
        f"{states.folder / 'step-00000004.safetensors'}: No space left on device; free some space and run again"
    )
    assert [path.name for path in states.folder.iterdir()] == ["step-00000002.safetensors"]


def test_prefixes_come_and_go():
    packed = pack("a", {"x": torch.ones(1)}) | pack("ab", {"y": torch.ones(1)})
    assert sorted(packed) == ["a.x", "ab.y"]
    assert sorted(unpack("a", packed)) == ["x"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_goes_on_exactly_after_its_tensors_went_through_a_file(states, layout, fused):
    def make():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 2, 3)).to(memory_format=layout)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)

    def step(model, optimizer, number):
        torch.manual_seed(number)
        model(torch.rand(2, 3, 9, 9)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = make()
    for number in range(3):
        step(model, optimizer, number)
    saved = pack("model", model.state_dict()) | pack(
        "optimizer", optimizer_tensors(optimizer, dict(model.named_parameters()))
    )
    states.save(3, saved, {"best": {}})
    step(model, optimizer, 3)

    again, other = make()
    loaded = states.newest(pytest.fail).tensors
    again.load_state_dict(unpack("model", loaded))
    load_optimizer(other, dict(again.named_parameters()), unpack("optimizer", loaded))
    step(again, other, 3)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
