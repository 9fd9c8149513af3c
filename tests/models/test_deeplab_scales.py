"""DeepLab v2 at several sizes: one network, the largest logits of all sizes."""

import torch
from torch.nn import functional

from maskwright.core.recipe.members import Model
from maskwright.models.build import build_model


def test_the_largest_logit_of_three_sizes_counts():
    plain = {"architecture": "deeplabv2", "encoder": "dilated_resnet50"}
    one = build_model(Model(**plain, options={"encoder": {"depth": 18}}), 3, 4).eval()
    options = {"encoder": {"depth": 18}, "scales": [0.5, 0.75, 1]}
    many = build_model(Model(**plain, options=options), 3, 4).eval()
    many.load_state_dict(one.state_dict())  # scales add no weights
    torch.manual_seed(0)
    image = torch.randn(2, 3, 64, 96)

    def at(size):
        seen = functional.interpolate(image, size=size, mode="bilinear", align_corners=False)
        return one.network.coarse(image if size == (64, 96) else seen)

    with torch.no_grad():
        maps = [at(size) for size in ((64, 96), (48, 72), (32, 48))]
        size = maps[0].shape[-2:]
        largest = torch.stack([functional.interpolate(each, size=size, mode="bilinear") for each in maps]).amax(0)
        wanted = functional.interpolate(largest, size=(64, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(many(image), wanted)
        assert not torch.allclose(many(image), one(image))
