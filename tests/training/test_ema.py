import copy

import torch

from maskwright.training.ema import Ema


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)


def test_average_is_the_closed_form_over_weights_and_running_statistics():
    model = net()
    ema = Ema(model, 0.5)
    wanted = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for step in range(6):
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        model(torch.rand(2, 1, 5, 5))
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                wanted[name] = decay * wanted[name] + (1 - decay) * tensor
            else:
                wanted[name] = tensor
    found = ema.state_dict()
    assert found.keys() == model.state_dict().keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor)
    assert int(found["1.num_batches_tracked"]) == 6


def test_applied_swaps_and_gives_back_even_after_an_error():
    model = net()
    ema = Ema(model, 0.9)
    with torch.no_grad():
        model[0].weight.add_(1)
    own = copy.deepcopy(model.state_dict())
    try:
        with ema.applied():
            assert torch.equal(model[0].weight, ema.state_dict()["0.weight"])
            assert not torch.equal(model[0].weight, own["0.weight"])
            raise KeyError
    except KeyError:
        pass
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())


def test_average_comes_back_from_a_state_dict():
    model = net()
    first, second = Ema(model, 0.9), Ema(model, 0.9)
    with torch.no_grad():
        model[0].weight.add_(1)
    first.update(3)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_decay_starts_low_and_ends_as_asked():
    ema = Ema(net(), 0.99)
    assert [ema.decay_at(step) for step in (0, 8, 890, 10_000)] == [0.1, 0.5, 0.99, 0.99]
