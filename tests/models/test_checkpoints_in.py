"""Foreign checkpoints: read without running anything, mapped to the last tensor, refused in one line."""

import json
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from mmseg_names import as_mmseg
from safetensors.torch import save_file
from torch import nn

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models.build import build_model
from maskwright.models.imports.convert import Wanted, convert, facts_of
from maskwright.models.imports.heads import surgery_of
from maskwright.models.imports.origins import ORIGINS
from maskwright.models.imports.reading import read_checkpoint
from maskwright.models.imports.rules import CHANGES, Rule, apply_rules
from maskwright.models.ledger import entry_of
from maskwright.models.tensors import write_tensors
from maskwright.models.weights import load_model

KEYS = ("state_dict", "model")
BLOCK = Model(
    architecture="upernet_mmseg",
    encoder="swin_tiny",
    options={"encoder": {"embed": 8, "depths": [1, 2, 1, 1], "heads": [1, 1, 2, 2], "window": 4}, "channels": 8},
    aux={"fcn": {"channels": 8}},
)
RAN = []


def ran(*given):
    """What a payload would call."""
    RAN.append(given)


class Payload:
    """Pickles as a call."""

    def __init__(self, function, *given):
        self.function, self.given = function, given

    def __reduce__(self):
        return self.function, self.given


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(4)
    made = build_model(BLOCK, 3, 2).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    """A checkpoint as mmengine writes it, but for its log."""
    path = tmp_path_factory.mktemp("checkpoint") / "iter_100.pth"
    torch.save({"meta": {"epoch": 1}, "state_dict": as_mmseg(model), "optimizer": {"state": {}}}, path)
    return path


def refusal(action, *given, **more):
    with pytest.raises(InputError) as caught:
        action(*given, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def wanted(block=BLOCK, planes=2, **more):
    return Wanted(block, planes, where="r.yaml:members.a.model", **more)


def test_every_tensor_finds_its_place(model, file, tmp_path):
    result = convert(file, "mmseg", wanted())
    assert not result.missing + result.unused + result.unfit
    assert result.checkpoint.part == "state_dict"
    assert result.checkpoint.dropped == ("meta", "optimizer")
    assert sorted(row.source for row in result.rows) == sorted(as_mmseg(model))
    image = torch.rand(1, 3, 50, 70)
    with torch.no_grad():
        assert torch.equal(result.model(image), model(image))
        assert torch.equal(result.model.outputs(image).heads["fcn"], model.outputs(image).heads["fcn"])

    terms = {"licence": "apache-2.0", "source": "them", "commercial": None}
    write_tensors(tmp_path / "w.safetensors", result.state, facts_of(result, wanted(), file.name, terms))
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "w.safetensors")[0](image), model(image))
        first = BLOCK.model_copy(update={"weights": "w.safetensors"})
        again = build_model(first, 3, 2, tmp_path).eval()
        assert torch.equal(again(image), model(image))
        assert torch.equal(again.outputs(image).heads["fcn"], model.outputs(image).heads["fcn"])
    known = entry_of("a", first, tmp_path, "r")
    assert (known.licence, known.commercial, known.says) == ("apache-2.0", "yes", "import-weights")
    assert known.source == f"them (blake2b:{result.checkpoint.digest})"


def test_wrappers_containers_and_whole_models_are_opened(model, file, tmp_path):
    plain = as_mmseg(model)
    for number, given in enumerate(
        (
            plain,
            OrderedDict((f"module.{name}", tensor) for name, tensor in plain.items()),
            {"model": plain, "ema_state_dict": plain},
            {
                "state_dict": {
                    name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in plain.items()
                }
            },
        )
    ):
        torch.save(given, tmp_path / f"{number}.pt")
        assert convert(tmp_path / f"{number}.pt", "mmseg", wanted()).missing == []
    save_file(plain, tmp_path / "w.safetensors", {"licence": "mit"})
    assert convert(tmp_path / "w.safetensors", "mmseg", wanted()).checkpoint.told["licence"] == "mit"
    assert convert(tmp_path / "2.pt", "mmseg", wanted(key="ema_state_dict")).checkpoint.dropped == ("model",)

    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    torch.save(layers, tmp_path / "whole.pt")  # the object, as SEEDS 001 saved it
    found = read_checkpoint(tmp_path / "whole.pt", KEYS)
    assert found.part == "whole model"
    assert found.tensors.keys() == layers.state_dict().keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in layers.state_dict().items())


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (lambda: Payload(ran, 1), "test_checkpoints_in.ran"),
        (lambda: Payload(exec, "RAN.append(1)"), "builtins.exec"),
        (lambda: Payload(getattr, nn.Linear, "forward"), "builtins.getattr"),
        (lambda: Payload(__import__("os").system, "true"), "posix.system"),
        (lambda: Payload(__import__("subprocess").Popen, ["true"]), "commands.Popen"),
        (lambda: Payload(torch.hub.load, "a", "b"), "torch.hub.load"),
        (lambda: Payload(torch.nn.Linear, 2, 2), "torch.nn.modules.linear.Linear"),
        (lambda: Payload(__import__("timm").create_model, "resnet18"), "timm.models._factory.create_model"),
    ],
)
def test_nothing_in_a_file_runs(payload, named, model, tmp_path):
    RAN.clear()
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": as_mmseg(model), "meta": payload()}, path)
    assert refusal(convert, path, "mmseg", wanted()) == (
        f"{path}: refused: opening it would call {named}, and weights need no such thing; take it from a source you "
        "trust, as a .safetensors file or a plain state dict"
    )
    path.write_bytes(pickle.dumps({"state_dict": payload()}))
    assert "a pickle that torch.save did not write" in refusal(convert, path, "mmseg", wanted())
    torch.save({"state_dict": payload()}, path, _use_new_zipfile_serialization=False)
    assert refusal(convert, path, "mmseg", wanted()).startswith(f"{path}: refused: opening it would call ")
    assert RAN == []


def test_damaged_files_are_refused(file, tmp_path):
    whole = file.read_bytes()
    path = tmp_path / "cut.pth"
    for length in (0, 3, 40, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        assert refusal(convert, path, "mmseg", wanted()).startswith(f"{path}: ")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000))
    assert "which torch.save never writes" in refusal(convert, path, "mmseg", wanted())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/code/__torch__.py", "")
    assert "a TorchScript program, not weights" in refusal(convert, path, "mmseg", wanted())
    torch.save({"state_dict": {"w": torch.zeros(1).expand(1 << 40)}}, path)
    assert f"{path}: 'w' claims (1099511627776,) values and brings fewer" in refusal(convert, path, "mmseg", wanted())
    torch.save({"epoch": 3, "weights": [1]}, path)
    assert "holds no weights where they are looked for: a mapping of epoch, weights" in refusal(
        convert, path, "mmseg", wanted()
    )
    assert refusal(convert, tmp_path / "none.pth", "mmseg", wanted()).startswith(
        f"{tmp_path / 'none.pth'}: no such file or folder"
    )


def test_what_does_not_fit_is_refused_by_name(file):
    other = BLOCK.model_copy(update={"options": {**BLOCK.options, "channels": 16}})
    assert (
        "decoder.pools.0.1.conv.weight is (8, 64, 1, 1) in the file and (16, 64, 1, 1) in the model (and "
        in refusal(convert, file, "mmseg", wanted(other))
    )
    bare = BLOCK.model_copy(update={"aux": BLOCK.aux.model_copy(update={"fcn": None})})
    assert refusal(convert, file, "mmseg", wanted(bare)) == (
        f"{file}: does not fit r.yaml:members.a.model: 8 of the file's are not used, first "
        "auxiliary_head.convs.0.conv.weight; check r.yaml:members.a.model and --from, or take what fits with --partial"
    )
    deep = {**BLOCK.options, "encoder": {**BLOCK.options["encoder"], "depths": [1, 2, 2, 1]}}
    assert "13 tensors are missing, first encoder.layers.2.blocks.1.norm1.weight" in refusal(
        convert, file, "mmseg", wanted(BLOCK.model_copy(update={"options": deep}))
    )
    assert refusal(convert, file, "mmsec", wanted()) == (
        f"--from: unknown origin 'mmsec' (did you mean 'mmseg'?); use one of: {', '.join(sorted(ORIGINS))}"
    )
    unet = Model(architecture="unet")
    assert refusal(convert, file, "mmseg", wanted(unet)).startswith(
        "r.yaml:members.a.model.architecture: checkpoints from mmseg hold no architecture 'unet'; give --from smp, or "
    )
    found = convert(file, "mmseg", wanted(bare, partial=True))
    assert len(found.unused) == 8
    assert found.missing == []


def test_classes_are_changed_only_when_that_is_asked_for(model, file):
    said = refusal(convert, file, "mmseg", wanted(planes=5))
    assert said == (
        f"{file}: does not fit r.yaml:members.a.model: segmentation_head.1.weight is (2, 8, 1, 1) in the file and "
        "(5, 8, 1, 1) in the model (and 3 more); check r.yaml:members.a.model, other classes need --head, other "
        "bands --bands"
    )
    dropped = convert(file, "mmseg", wanted(planes=5, surgery=surgery_of("drop")))
    assert [row.how for row in dropped.rows if "segmentation_head" in row.target] == ["dropped: at random"] * 2
    picked = convert(file, "mmseg", wanted(planes=3, surgery=surgery_of("1,0,1")))
    one = convert(file, "mmseg", wanted(planes=1, surgery=surgery_of("difference")))
    image = torch.rand(1, 3, 40, 40)
    with torch.no_grad():
        logits = model(image)
        torch.testing.assert_close(picked.model(image), logits[:, [1, 0, 1]])
        torch.testing.assert_close(one.model(image), logits[:, 1:] - logits[:, :1], atol=1e-5, rtol=1e-4)
    assert "classes 1,4 of 2 in the file do not make the model's 2" in refusal(
        convert, file, "mmseg", wanted(planes=2, surgery=surgery_of("1,4"))
    )
    assert (
        refusal(surgery_of, "1;2")
        == "--head: must be drop, difference or class numbers such as 0,2,1, got '1;2'; mend it"
    )


def test_bands_are_changed_only_when_that_is_asked_for(model, file):
    result = convert(file, "mmseg", wanted(BLOCK.model_copy(update={"stem": "share"}), bands=6))
    row = next(row for row in result.rows if row.target == "encoder.patch_embed.proj.weight")
    assert row.how == "bands 3 to 6: share"
    image = torch.rand(1, 3, 40, 40)
    with torch.no_grad():
        torch.testing.assert_close(result.model(image.repeat(1, 2, 1, 1)), model(image), atol=1e-5, rtol=1e-4)
    assert convert(file, "mmseg", wanted()).bands == 3


def test_a_classifier_of_timm_fills_the_encoder_of_any_architecture(tmp_path):
    import timm

    torch.manual_seed(1)
    theirs = timm.create_model("resnet10t", num_classes=7)
    torch.save({"state_dict": {}, "state_dict_ema": theirs.state_dict()}, tmp_path / "t.pth")
    block = Model(encoder="tu-resnet10t", options={"decoder_channels": [16, 12, 8, 8, 8]})
    result = convert(tmp_path / "t.pth", "timm", wanted(block))
    assert set(result.left_out) == {"fc.weight", "fc.bias"}
    assert {name.split(".")[1] for name in result.state} == {"encoder"}
    write_tensors(tmp_path / "w.safetensors", result.state, facts_of(result, wanted(block), "t.pth", {}))
    model = build_model(block.model_copy(update={"weights": "w.safetensors"}), 5, 1, tmp_path)
    inside = {name.replace("_", "."): each for name, each in model.encoder.state_dict().items()}
    for name, tensor in theirs.state_dict().items():
        if not name.startswith(("fc.", "conv1.0.")):
            assert torch.equal(inside[f"model.{name}".replace("_", ".")], tensor), name


def test_rules_split_join_and_leave_out():
    rules = (
        Rule(r"a\.(q|k)", r"qk.\1"),
        Rule(r"in_proj", ("q", "kv"), shares=(1, 2)),
        Rule(r"b\.first", "b", piece=(0, 2)),
        Rule(r"b\.second", "b", piece=(1, 2)),
        Rule(r"c\.first", "c", piece=(0, 2)),
        Rule(r"loss", (), why="no need"),
    )
    names = ["a.q", "in_proj", "b.second", "b.first", "c.first", "loss", "x"]
    given = {name: torch.arange(6.0).view(6, 1) + place for place, name in enumerate(names)}
    mapped = apply_rules(rules, given)
    assert mapped.unused == ["x"]
    assert mapped.left_out == {"loss": "no need"}
    assert mapped.broken == ["c needs 2 tensors, the file has 1 of them"]
    assert torch.equal(mapped.filled["q"], given["in_proj"][:2])
    assert torch.equal(mapped.filled["kv"], given["in_proj"][2:])
    assert torch.equal(mapped.filled["b"], torch.cat([given["b.first"], given["b.second"]]))
    assert {row.target: row.how for row in mapped.rows}["kv"] == "split in 2"
    named = {
        rule.change
        for kind in ORIGINS.values()
        for rules in kind.parts.values()
        if not callable(rules)
        for rule in rules
    }
    assert named - {""} == set(CHANGES)
    assert json.dumps(sorted(CHANGES))
