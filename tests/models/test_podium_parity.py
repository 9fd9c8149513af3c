"""Networks of the podium solutions against what the originals computed (../shared/parity), from file to labels."""

import numpy as np
import pytest
import torch
from parity import Fixture
from torch.nn import functional

from maskwright.core.recipe.members import Model
from maskwright.data.preprocess import IMAGENET, Preprocess

SWIN = {"embed": 16, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8]}
UPERNET = Model(
    architecture="upernet_mmseg",
    encoder="swin_tiny",
    options={"encoder": SWIN, "channels": 32},
    aux={"fcn": {"channels": 24}},
)
SEGFORMER = Model(
    architecture="segformer_mmseg",
    encoder="mit_b0",
    options={"encoder": {"dims": [16, 32, 80, 128], "heads": [1, 2, 5, 8]}, "channels": 32},
)
QUERIES = {"encoder": SWIN, "channels": 64, "pixel_layers": 2, "layers": 3}
MASK2FORMER = Model(
    architecture="mask2former",
    encoder="swin_tiny",
    options={**QUERIES, "queries": 12, "pixel_hidden": 128, "hidden": 192},
)
MAPS = Model(
    architecture="mask2former",
    encoder="swin_tiny",
    options={**QUERIES, "answer": "maps", "queries": 10, "pixel_hidden": 96, "hidden": 128, "heads": 4},
)
PAN = Model(architecture="pan", encoder="swin_tiny", options={"encoder": SWIN})


def check_end_to_end(fixture: Fixture, model, scores_of) -> None:
    """From an image as an OpenCV reader gives it to labels at its original size."""
    mean, std = IMAGENET
    prepare = Preprocess(bands=(2, 1, 0), divide=255.0, mean=mean, std=std)
    image = fixture.io["in.e2e.image_bgr_uint8"].permute(1, 2, 0).numpy()
    batch = torch.from_numpy(prepare(image))[None]
    wanted = fixture.io["out.e2e.network_input"]
    height, width = batch.shape[-2:]
    assert (batch - wanted[..., :height, :width]).abs().max() <= 5 * fixture.noise("e2e.network_input")
    size = tuple(fixture.config["e2e"]["ori_shape_hw"])
    scores = functional.interpolate(scores_of(model(batch)), size=size, mode="bilinear", align_corners=False)[0]
    fixture.close(scores, "e2e.scores_at_original_size")
    check_labels(
        scores[None], fixture.io["out.e2e.labels_at_original_size"], fixture.noise("e2e.scores_at_original_size")
    )


def check_labels(scores, wanted, noise: float) -> None:
    """Labels are the original's, but where two classes are as near as noise."""
    found = scores.argmax(1)
    best = scores.topk(2, 1).values
    sure = best[:, 0] - best[:, 1] > 10 * noise
    assert torch.equal(found[sure], wanted[sure].long())
    assert sure.float().mean() > 0.95
    assert (found != wanted).float().mean() < 0.001


@torch.no_grad()
def test_upernet_of_mmseg():
    fixture = Fixture("mmseg_swin_upernet")
    for file in ("weights.safetensors", "checkpoint.pth"):
        result = fixture.imported(UPERNET, 2, "mmseg", file)
    assert result.checkpoint.dropped == ("meta", "optimizer", "param_schedulers")
    model, image = result.model, fixture.io["in.input"]
    for place, maps in enumerate(model.encoder(image)):
        fixture.close(maps, f"backbone.{place}")
    fixture.close(model.network.coarse(image), "logits_before_upsampling")
    fixture.close(model(image), "logits_full")
    assert model.auxiliary is not None
    maps = model.encoder(image)
    fixture.close(model.auxiliary.parts["fcn"](maps)[""], "aux_logits_before_upsampling")
    check_end_to_end(fixture, model, lambda logits: logits)


def test_a_checkpoint_with_a_log_inside_is_read_without_its_classes():
    fixture = Fixture("mmseg_swin_upernet")
    result = fixture.imported(UPERNET, 2, "mmseg", "checkpoint.pth")
    from maskwright.models.imports.convert import Wanted, convert

    partial = Wanted(UPERNET, 2, partial=True)
    found = convert(fixture.folder / "checkpoint_with_message_hub.pth", "mmseg", partial)
    assert "message_hub" in found.checkpoint.dropped
    assert len(found.rows) == 8
    for name, tensor in found.model.auxiliary.state_dict().items():
        assert torch.equal(tensor, result.model.auxiliary.state_dict()[name])


@torch.no_grad()
def test_segformer_of_mmseg():
    fixture = Fixture("mmseg_segformer")
    model, image = fixture.imported(SEGFORMER, 11, "mmseg").model, fixture.io["in.input"]
    for place, maps in enumerate(model.encoder(image)):
        fixture.close(maps, f"backbone.{place}")
    fixture.close(model.network.coarse(image), "logits_before_upsampling")
    fixture.close(model(image), "logits_full")
    check_end_to_end(fixture, model, lambda logits: logits)


@torch.no_grad()
def test_mask2former_of_mmseg():
    fixture = Fixture("mmseg_mask2former_swin")
    model, image = fixture.imported(MASK2FORMER, 2, "mmseg").model, fixture.io["in.input"]
    maps = model.encoder(image)
    for place, each in enumerate(maps):
        fixture.close(each, f"backbone.{place}")
    pixels, coarse = model.decoder.pixel(maps)
    fixture.close(pixels, "pixel_decoder.mask_features")
    for place, each in enumerate(coarse):
        fixture.close(each, f"pixel_decoder.multi_scale.{place}")
    for place, said in enumerate(model.network.queries(image)):
        fixture.close(said.classes, f"decoder.cls_logits.{place}")
        fixture.close(said.masks, f"decoder.mask_logits.{place}")
    fixture.close(model(image).exp(), "seg_scores_full")
    check_end_to_end(fixture, model, torch.exp)


@torch.no_grad()
def test_two_softmax_classes_are_one_plane_of_a_binary_task():
    fixture = Fixture("mmseg_mask2former_swin")
    image = fixture.io["in.input"]
    two = fixture.imported(MASK2FORMER, 2, "mmseg").model(image).softmax(1)[:, 1:]
    torch.testing.assert_close(fixture.imported(MASK2FORMER, 1, "mmseg").model(image).sigmoid(), two)

    fixture = Fixture("mmseg_swin_upernet")
    image = fixture.io["in.input"]
    two = fixture.imported(UPERNET, 2, "mmseg").model(image).softmax(1)[:, 1:]
    from maskwright.models.imports.heads import surgery_of

    one = fixture.imported(UPERNET, 1, "mmseg", surgery=surgery_of("difference")).model(image).sigmoid()
    torch.testing.assert_close(one, two, atol=1e-5, rtol=0)


@torch.no_grad()
def test_mask2former_of_transformers_summed_to_maps():
    fixture = Fixture("boostcamp_mask2former_hf")
    model, image = fixture.imported(MAPS, 29, "hf").model, fixture.io["in.input"]
    maps = model.encoder(image)
    for place, each in enumerate(maps):
        fixture.close(each, f"backbone.{place}")
    fixture.close(model.decoder.pixel(maps)[0], "pixel_decoder.last_hidden_state")
    normed, masks = model.decoder(maps)[-1]
    fixture.close(masks, "masks_queries_logits")
    fixture.close(model.network.segmentation_head(normed), "class_queries_logits")
    fixture.close(model.network.coarse(image), "logits_stride4")
    logits = model(image)
    fixture.close(logits, "logits")
    small = functional.interpolate(logits, size=(48, 64), mode="bilinear", align_corners=False).sigmoid()
    fixture.close(small, "probability_at_48x64")


@torch.no_grad()
def test_pan_with_swin():
    fixture = Fixture("recycling_pan_swin")
    model, image = fixture.imported(PAN, 11, "smp").model, fixture.io["in.input"]
    maps = model.encoder(image)
    for place, each in enumerate(maps):
        fixture.close(each, f"encoder.{place}")
    fixture.close(model.decoder([image, image, *maps]), "decoder")
    logits = model(image)
    fixture.close(logits, "logits")
    check_labels(logits, fixture.io["out.labels"], fixture.noise("logits"))
    assert np.isfinite(logits.numpy()).all()


def test_another_window_is_refused():
    from maskwright.core.errors import InputError

    fixture = Fixture("mmseg_swin_upernet")
    options = {**UPERNET.options, "encoder": {**SWIN, "window": 12}}
    with pytest.raises(InputError, match=r"relative_position_index is a constant of the architecture and differs"):
        fixture.imported(UPERNET.model_copy(update={"options": options}), 2, "mmseg")
