import pytest
import torch

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import SegModel, freeze_unused, needs_two
from maskwright.models.build import ARCHITECTURES, build_model, check
from maskwright.models.heads import main_logits
from maskwright.models.smp import plan

TINY = "tu-resnet10t"
SWIN = "tu-swin_tiny_patch4_window7_224"
OTHERS = {
    "deeplabv1": {"encoder": "dilated_vgg16", "options": {"channels": 16, "encoder": {"widths": [4, 4, 8, 8, 8]}}},
    "deeplabv2": {"encoder": "dilated_resnet50", "options": {"encoder": {"depth": 18}}},
    "efficient_fpn": {"encoder": "mish_efficientnet_b0", "options": {"context": True}},
    "mask2former": {
        "encoder": TINY,
        "options": {"channels": 32, "queries": 5, "pixel_layers": 1, "pixel_hidden": 32, "layers": 2, "hidden": 32},
    },
    "ocrnet": {"encoder": TINY, "options": {"channels": 16, "keys": 8}},
    "unet3plus": {"encoder": "plain", "options": {"encoder": {"widths": [4, 6, 8]}}},
}
"""What an architecture is tried with that does not take any encoder, or is slow with any."""
SMALL_SWIN = {"embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}


def refusal(action, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        action(*args, **kwargs)
    return str(caught.value)


@pytest.fixture(params=sorted(ARCHITECTURES))
def model(request):
    torch.manual_seed(0)
    given = OTHERS.get(request.param, {"encoder": TINY})
    return build_model(Model(architecture=request.param, **given), bands=5, planes=3)


def test_every_architecture_keeps_its_promises(model):
    model.eval()
    with torch.no_grad():
        for shape in [(37, 53), (5, 7), (1, 1)]:
            logits = model(torch.rand(2, 5, *shape))
            assert logits.shape == (2, 3, *shape)
            assert logits.isfinite().all()
        fits = torch.rand(1, 5, model.minimum, model.minimum + model.stride)
        assert torch.equal(model(fits), model.network(fits))
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    frozen = freeze_unused(model, 5)
    assert model.training
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert all(parameter.grad is None for parameter in model.parameters())
    main_logits(model(torch.rand(2, 5, model.minimum, model.minimum))).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name in frozen) == (not parameter.requires_grad), name


def test_same_seed_gives_same_first_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_model(Model(architecture="unet", encoder=TINY), 3, 1).state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize(
    ("architecture", "stride", "minimum"), [("unet", 32, 32), ("pan", 32, 256), ("upernet", 32, 32)]
)
def test_swin_takes_any_size(architecture, stride, minimum):
    block = Model(architecture=architecture, encoder=SWIN, options=SMALL_SWIN)
    model = build_model(block, bands=4, planes=2).eval()
    assert (model.stride, model.minimum) == (stride, minimum)
    assert model(torch.rand(1, 4, 40, 70)).shape == (1, 2, 40, 70)


def test_windowed_transformer_is_padded_to_whole_windows():
    block = Model(architecture="unet", encoder="tu-maxvit_rmlp_pico_rw_256")
    found = plan(ARCHITECTURES["unet"], block, "m")
    assert (found.stride, found.minimum) == (256, 256)


def test_pan_keeps_its_finer_stride_where_the_encoder_can_be_dilated():
    model = build_model(Model(architecture="pan", encoder=TINY), 3, 1)
    assert (model.stride, model.minimum) == (16, 128)


def test_plain_vision_transformer_goes_with_dpt():
    options = {"embed_dim": 48, "num_heads": 2}
    model = build_model(Model(architecture="dpt", encoder="tu-vit_tiny_patch16_224", options=options), 3, 2).eval()
    assert model(torch.rand(1, 3, 33, 50)).shape == (1, 2, 33, 50)


def test_mix_transformer_needs_a_real_trial_and_gets_it():
    assert build_model(Model(architecture="segformer", encoder="mit_b0"), 3, 2).stride == 32


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            Model(architecture="unett"),
            "r.yaml:m.architecture: unknown architecture 'unett' (did you mean 'unet'?); use one of: "
            + ", ".join(sorted(ARCHITECTURES)),
        ),
        (
            Model(encoder="convnext_atto"),
            "r.yaml:m.encoder: 'convnext_atto' is a timm encoder; write it with its prefix: tu-convnext_atto",
        ),
        (
            Model(architecture="unetplusplus", encoder="mit_b0"),
            "r.yaml:m.encoder: architecture 'unetplusplus' cannot use 'mit_b0', which has no features at half the "
            "size; use architecture: segformer, fpn, unet or upernet, or another encoder",
        ),
        (
            Model(architecture="dpt", encoder="mit_b0"),
            "r.yaml:m.encoder: architecture 'dpt' takes timm encoders alone, got 'mit_b0'; write tu- and a timm "
            "name, such as tu-vit_small_patch16_224",
        ),
        (
            Model(architecture="deeplabv3plus", encoder=SWIN),
            f"r.yaml:m: architecture 'deeplabv3plus' cannot use encoder '{SWIN}': it cannot be dilated to output "
            "stride 16; choose an encoder that can be dilated, such as resnet34, or another architecture, such as "
            "upernet",
        ),
        (
            Model(architecture="unet", encoder="tu-vit_tiny_patch16_224"),
            "r.yaml:m: architecture 'unet' cannot use encoder 'tu-vit_tiny_patch16_224': Unsupported model "
            "downsampling pattern.; use architecture: dpt for plain vision transformers, or an encoder with a "
            "pyramid of feature maps",
        ),
        (
            Model(encoder="resnet18", options={"decoder_chanels": [1]}),
            "r.yaml:m.options: unknown option of unet 'decoder_chanels' (did you mean 'decoder_channels'?); use one "
            "of: decoder_attention_type, decoder_channels, decoder_interpolation, decoder_use_norm, encoder_depth",
        ),
        (
            Model(encoder=TINY, options={"no_such": 1}),
            f"r.yaml:m: architecture 'unet' cannot use encoder '{TINY}': ResNet.__init__() got an unexpected keyword "
            "argument 'no_such'; choose another encoder or architecture",
        ),
        (
            Model(encoder="resnet18", options={"classes": 3}),
            "r.yaml:m.options.classes: is set by the task, the data or another key of model; leave it out",
        ),
        (
            Model(encoder="resnet18", weights="imagenot"),
            "r.yaml:m.weights: unknown weights of resnet18 'imagenot' (did you mean 'imagenet'?); use one of: "
            "imagenet, ssl, swsl",
        ),
        (
            Model(encoder="tu-resnet18", weights="a1_in1k"),
            "r.yaml:m.weights: a timm encoder's tag belongs to its name, got weights 'a1_in1k'; write encoder: "
            "tu-resnet18.a1_in1k and weights: imagenet",
        ),
        (
            Model(encoder="resnet18", weights="old.pth"),
            "r.yaml:m.weights: pickled checkpoint 'old.pth' can run code when it is opened; convert it to "
            ".safetensors where you trust it",
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line_before_any_work(block, said):
    assert refusal(check, block, "r.yaml:m") == said


def test_unknown_encoder_names_the_nearest():
    assert "(did you mean 'tu-convnext_atto'?)" in refusal(check, Model(encoder="tu-convnext_ato"), "m")
    assert "(did you mean 'resnet18'?)" in refusal(check, Model(encoder="resnet-18"), "m")


def test_pretrained_weights_without_a_network_say_what_to_do(monkeypatch):
    import huggingface_hub

    def offline(*_args, **_kwargs):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", offline)
    assert refusal(build_model, Model(encoder="resnet18", weights="imagenet"), 3, 1, where="m") == (
        "m: pretrained weights 'imagenet' of encoder 'resnet18' cannot be fetched (LocalEntryNotFoundError); connect "
        "to the network, or give weights: a local .safetensors file, or leave weights out"
    )


@pytest.mark.parametrize("architecture", ["unet", "pan"])
def test_batch_norm_over_one_value_is_foreseen(architecture):
    model = build_model(Model(architecture=architecture, encoder=TINY), 3, 1)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    # PAN pools the whole map to one pixel; Unet only where the window is as small as the stride
    assert needs_two(model, 3, (128, 128)) == (architecture == "pan")
    assert needs_two(model, 3, (32, 32)) == (architecture in ("pan", "unet"))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_frozen_encoder_stays_as_it_is_in_training():
    model = build_model(Model(architecture="unet", encoder=TINY), 3, 1)
    model.freeze_encoder()
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    model.train()
    model(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is None for parameter in model.encoder_parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.encoder.state_dict().items())
    assert any(parameter.grad is not None for parameter in model.parameters())


class Echo(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Identity()

    def forward(self, image):
        self.seen = image
        return image[:, :1]


@pytest.mark.parametrize(
    ("shape", "padded"), [((37, 53), (64, 64)), ((5, 7), (32, 32)), ((32, 64), (32, 64)), ((1, 33), (32, 64))]
)
def test_padding_is_undone_exactly_and_mirrors_where_it_can(shape, padded):
    echo = Echo()
    image = torch.rand(2, 3, *shape)
    assert torch.equal(SegModel(echo, 32, 32)(image), image[:, :1])
    assert echo.seen.shape[-2:] == padded
    height, width = shape
    if (padded[0] - height) < height and (padded[1] - width) < width and padded != shape:
        assert torch.equal(echo.seen[..., height, :width], image[..., height - 2, :])
    elif padded[0] > height:
        assert torch.equal(echo.seen[..., height, :width], image[..., height - 1, :])
