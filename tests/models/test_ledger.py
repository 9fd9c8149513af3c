import json
import re

import pytest
import torch
from safetensors.torch import save_file
from segmentation_models_pytorch.encoders import encoders
from timm.models import get_pretrained_cfg

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.recipe.load import build
from maskwright.core.recipe.members import Model, without_terms
from maskwright.models.build import build_model
from maskwright.models.ledger import Entry, entry_of, keep_rule
from maskwright.models.licences import LICENCES, SMP_WEIGHTS, smp_origin, trained_on, use_of
from maskwright.models.weights import save_weights

WHERE = "r.yaml:members.a.model.weights"
TINY = "tu-mobilenetv3_small_050"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def entry(weights, folder, encoder=TINY) -> Entry:
    return entry_of("a", Model.model_validate({"encoder": encoder, "weights": weights}), folder, WHERE)


def refusal(given: Entry, rule: str) -> str:
    with pytest.raises(RecipeError) as caught:
        keep_rule(given, rule, WHERE)
    return str(caught.value)


@pytest.fixture
def file(tmp_path):
    """A weights file of nobody in particular."""
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub's library; cache(repository, file, ...) puts files into it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(repository: str, tensors=None, card: str = ""):
        folder = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        snapshot = folder / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(COMMIT)
        if tensors is not None:
            save_file(tensors, snapshot / "model.safetensors")
        if card:
            (snapshot / "README.md").write_text(card)

    return put


def test_every_pretrained_encoder_of_smp_is_in_the_table_and_says_what_timm_says_of_the_same_weights():
    for encoder, known in encoders.items():
        for tag in known["pretrained_settings"] or {}:
            assert smp_origin(encoder, tag) is not None, (encoder, tag)
    for origin in SMP_WEIGHTS.values():
        if origin.twin:
            assert get_pretrained_cfg(origin.twin).license == origin.licence, origin


def test_nothing_is_called_free_that_only_its_publisher_judges():
    assert use_of("Apache 2.0") == "yes"
    assert use_of("cc-by-nc-4.0") == "no"
    for theirs in ("mobileone-license", "dinov3-license", "gemma", "openrail", None, "unknown", "other"):
        assert use_of(theirs) == "unknown"
    assert set(LICENCES.values()) == {"yes", "no"}
    assert trained_on("augreg_in21k_ft_in1k") == "ImageNet-22k, ImageNet-1k"
    assert trained_on("fcmae") == ""


@pytest.mark.parametrize(
    ("encoder", "licence", "use", "says", "images"),
    [
        ("mit_b0", "nvidia-source-code-license", "no", "maskwright's table", "ImageNet-1k"),
        ("resnet34", "bsd-3-clause", "yes", "maskwright's table", "ImageNet-1k"),
        ("mobileone_s0", "mobileone-license", "unknown", "maskwright's table", "ImageNet-1k"),
        ("tu-resnet34", "apache-2.0", "yes", "timm", "ImageNet-1k"),
        ("tu-convnext_tiny.fb_in22k_ft_in1k", "apache-2.0", "yes", "timm", "ImageNet-22k, ImageNet-1k"),
        ("tu-convnextv2_atto.fcmae_ft_in1k", "cc-by-nc-4.0", "no", "timm", "ImageNet-1k"),
        ("tu-res2net50_14w_8s", None, "unknown", "timm", "ImageNet-1k"),
    ],
)
def test_tags_are_looked_up(tmp_path, encoder, licence, use, says, images):
    found = entry("imagenet", tmp_path, encoder)
    assert (found.licence, found.commercial, found.says, found.trained_on) == (licence, use, says, images)
    assert found.weights.startswith("imagenet of ")


def test_rules_refuse_what_is_forbidden_and_what_nobody_states(tmp_path, file):
    keep_rule(entry(None, tmp_path), "commercial-ok", WHERE)
    keep_rule(entry("imagenet", tmp_path, "resnet34"), "commercial-ok", WHERE)
    keep_rule(entry("w.safetensors", tmp_path), "any", WHERE)
    keep_rule(entry("imagenet", tmp_path, "mit_b0"), "known", WHERE)
    assert refusal(entry("imagenet", tmp_path, "mit_b0"), "commercial-ok") == (
        f"{WHERE}: imagenet of mit_b0: not for commercial use (nvidia-source-code-license, says maskwright's table); "
        "rules.weights is commercial-ok; choose other weights, or drop rules.weights"
    )
    for rule in ("known", "commercial-ok"):
        assert refusal(entry("w.safetensors", tmp_path), rule) == (
            f"{WHERE}: w.safetensors: nobody says under what licence; rules.weights is {rule}; find out and add "
            "licence: and source: to the weights' block, choose other weights, or drop rules.weights"
        )
    assert refusal(entry("imagenet", tmp_path, "mobileone_s0"), "commercial-ok") == (
        f"{WHERE}: imagenet of mobileone_s0: whether mobileone-license (says maskwright's table) allows commercial "
        "use is not known; rules.weights is commercial-ok; read it, and if it does add commercial: true to the "
        "weights' block, choose other weights, or drop rules.weights"
    )


def test_what_the_recipe_says_comes_before_sidecar_and_metadata(tmp_path, file):
    save_file({"x": torch.zeros(1)}, file, metadata={"license": "MIT", "source": "a friend"})
    found = entry("w.safetensors", tmp_path)
    assert (found.licence, found.source, found.says) == ("mit", "a friend", "the file's metadata")
    (tmp_path / "w.licence.json").write_text(json.dumps({"licence": "cc-by-nc-4.0", "source": "the lab"}))
    found = entry("w.safetensors", tmp_path)
    assert (found.licence, found.commercial, found.says) == ("cc-by-nc-4.0", "no", "w.licence.json")
    found = entry({"file": "w.safetensors", "licence": "Apache-2.0", "source": "the lab, by letter"}, tmp_path)
    assert (found.licence, found.commercial, found.source) == ("apache-2.0", "yes", "the lab, by letter")
    assert found.says == "the recipe"
    found = entry({"tag": "imagenet", "commercial": True}, tmp_path, "mobileone_s0")
    assert (found.licence, found.commercial, found.says) == ("mobileone-license", "yes", "the recipe")


def test_a_prohibition_is_not_declared_away_without_a_licence(tmp_path):
    with pytest.raises(RecipeError) as caught:
        entry({"tag": "imagenet", "commercial": True}, tmp_path, "mit_b0")
    assert str(caught.value) == (
        f"{WHERE}: imagenet of mit_b0: not for commercial use (nvidia-source-code-license, says maskwright's table), "
        "but commercial is true; if you have them under other terms, say which: licence: NAME"
    )


def test_a_damaged_sidecar_is_named(tmp_path, file):
    (tmp_path / "w.licence.json").write_text('{"license": "mit"}')
    with pytest.raises(InputError) as caught:
        entry("w.safetensors", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/w.licence.json: must be a mapping of licence, source (texts) and commercial (true or false), "
        "got {'license': 'mit'}; mend it"
    )


def test_weights_that_maskwright_trained_pass_a_prohibition_on_and_nothing_else(tmp_path):
    for base, licence, use in (("mit_b0", "nvidia-source-code-license", "no"), ("resnet34", None, "unknown")):
        before = entry("imagenet", tmp_path, base).to_plain()
        facts = {"model": {}, "bands": 3, "planes": 1, "first_weights": before}
        save_weights(tmp_path / "own.safetensors", {"x": torch.zeros(1)}, facts)
        found = entry("own.safetensors", tmp_path)
        assert (found.licence, found.commercial) == (licence, use)
        assert found.source == f"trained with maskwright from: imagenet of {base}"


def test_licences_train_nothing():
    text = Model(weights="imagenet").model_dump(mode="json")
    block = Model.model_validate({"weights": {"tag": "imagenet", "licence": "mit"}}).model_dump(mode="json")
    assert without_terms(block) == text == without_terms(text)
    hub = Model.model_validate({"weights": {"hub": "some/net", "commercial": True}}).model_dump(mode="json")
    assert without_terms(hub)["weights"] == {"hub": "some/net", "file": None, "revision": "main"}


def test_blocks_that_contradict_themselves_are_refused():
    base = {"name": "x", "task": {"kind": "binary", "classes": ["a"]}}
    base["data"] = {"train": {"format": "folder", "images": "i", "masks": "m"}}
    for weights, says in (
        ({"tag": "imagenet", "hub": "a/b"}, "give exactly one of tag, file, hub and member"),
        ({}, "give exactly one of tag, file, hub and member"),
        ({"file": "w.pth"}, "file 'w.pth' must end in .safetensors; convert it where you trust it"),
        ({"tag": "imagenet", "license": "mit"}, "unknown key 'license' (did you mean 'licence'?)"),
        ({"hub": "nowhere"}, "got 'nowhere'"),
    ):
        with pytest.raises(RecipeError, match=re.escape(says)) as caught:
            build({**base, "members": {"a": {"model": {"weights": weights}}}}, "r.yaml")
        assert str(caught.value).startswith("r.yaml:members.a.model.weights")


def test_the_hub_is_read_from_its_cache_and_its_card_states_the_licence(tmp_path, cache):
    torch.manual_seed(0)
    donor = build_model(Model(encoder=TINY), 3, 1)
    card = "---\nlicense: cc-by-4.0\ndatasets:\n- some/pictures\n---\n# A network\n"
    cache("some/net", donor.encoder.state_dict(), card)
    weights = {"hub": "some/net", "licence": None}
    torch.manual_seed(1)
    model = build_model(Model.model_validate({"encoder": TINY, "weights": weights}), 3, 1)
    for name, tensor in donor.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], tensor), name
    found = entry(weights, tmp_path)
    assert (found.licence, found.commercial, found.says) == ("cc-by-4.0", "yes", "the model card")
    assert found.weights == f"model.safetensors of some/net at main ({COMMIT})"
    assert found.trained_on == "some/pictures"


def test_a_card_without_licence_or_a_broken_one_states_nothing(tmp_path, cache):
    cache("some/bare", card="# no head\n")
    cache("some/broken", card="---\nlicense: [\n---\n")
    cache("some/other", card="---\nlicense: other\nlicense_name: Their-Terms\n---\n")
    for name in ("bare", "broken"):
        assert entry({"hub": f"some/{name}"}, tmp_path).licence is None
    found = entry({"hub": "some/other"}, tmp_path)
    assert (found.licence, found.commercial) == ("their-terms", "unknown")


def test_what_the_hub_does_not_give_is_one_line(cache):
    with pytest.raises(InputError) as caught:
        build_model(Model.model_validate({"encoder": TINY, "weights": {"hub": "some/net"}}), 3, 1)
    assert str(caught.value) == (
        "model.weights: model.safetensors of some/net at main cannot be fetched (LocalEntryNotFoundError); "
        "check the names, connect to the network once, or give a local .safetensors file"
    )


def test_timm_tags_come_from_the_same_cache(cache):
    import timm

    torch.manual_seed(0)
    donor = timm.create_model("mobilenetv3_small_050")
    cache("timm/mobilenetv3_small_050.lamb_in1k", donor.state_dict())
    torch.manual_seed(1)
    model = build_model(Model(encoder=TINY, weights="imagenet"), 3, 1)
    assert torch.equal(model.encoder.state_dict()["model.conv_stem.weight"], donor.state_dict()["conv_stem.weight"])


def test_a_tag_that_cannot_be_fetched_is_one_line(cache):
    for encoder in (TINY, "resnet18"):
        with pytest.raises(InputError) as caught:
            build_model(Model(encoder=encoder, weights="imagenet"), 3, 1)
        assert re.fullmatch(
            f"model: pretrained weights 'imagenet' of encoder '{encoder}' cannot be fetched "
            r"\(\w+\); connect to the network, or give weights: a local .safetensors file, or leave weights out",
            str(caught.value),
        )
