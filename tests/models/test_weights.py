import json
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from maskwright.core.errors import InputError, StorageError
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import adapt_bands
from maskwright.models.build import build_model
from maskwright.models.tensors import DTYPES, digest_of, read_facts, read_tensors, write_tensors
from maskwright.models.weights import load_model, read_weights, save_weights

BLOCK = Model(architecture="unet", encoder="tu-mobilenetv3_small_050")


def facts(block=BLOCK, bands=3, planes=2):
    return {"model": block.model_dump(mode="json"), "bands": bands, "planes": planes}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(BLOCK, 3, 2).eval()


@pytest.fixture
def saved(tmp_path, model):
    path = tmp_path / "w.safetensors"
    save_weights(path, model.state_dict(), facts())
    return path


def refusal(action, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        action(*args, **kwargs)
    return str(caught.value)


def test_saved_model_comes_back_bit_for_bit_without_fetching_anything(tmp_path, model):
    path = tmp_path / "w.safetensors"
    block = BLOCK.model_copy(update={"weights": "imagenet"})
    save_weights(path, model.state_dict(), {**facts(block), "fold": 3})
    loaded, told = load_model(path)
    assert told["fold"] == 3
    assert not loaded.training
    image = torch.rand(1, 3, 40, 24)
    assert torch.equal(loaded(image), model(image))


def test_files_are_plain_safetensors_that_the_library_reads(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        f"t.{dtype}".replace("torch.", ""): torch.from_numpy(rng.integers(0, 2, (3, 4))).to(dtype) for dtype in DTYPES
    }
    tensors |= {"empty": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "strided": torch.arange(24.0).view(4, 6).T}
    path = tmp_path / "all.safetensors"
    write_tensors(path, tensors, {"note": "é"})
    read = load_file(path)
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    assert read_facts(path)["note"] == "é"
    assert read_tensors(path)[1] == {"note": "é"}


def test_digest_sees_names_types_shapes_and_bytes():
    base = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    others = [
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "c": torch.ones(1)},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "b": torch.ones(1) * 2},
    ]
    digests = {digest_of(tensors) for tensors in (base, *others)}
    assert len(digests) == 5
    assert digest_of(dict(reversed(base.items()))) == digest_of(base)


@pytest.mark.parametrize("place", [9, -1, 4000])
def test_one_changed_byte_is_noticed(saved, place):
    data = bytearray(saved.read_bytes())
    data[place] ^= 1
    saved.write_bytes(data)
    with pytest.raises(InputError):
        read_weights(saved)


def test_a_hole_of_zeros_is_noticed(saved):
    data = bytearray(saved.read_bytes())
    data[-2000:-1000] = bytes(1000)
    saved.write_bytes(data)
    assert refusal(read_weights, saved) == (
        f"{saved}: damaged: its digest does not match; delete it to have it made again"
    )


@pytest.mark.parametrize("size", [0, 5, 300, -1])
def test_truncated_files_are_refused(saved, size):
    saved.write_bytes(saved.read_bytes()[:size])
    assert refusal(read_weights, saved).startswith(f"{saved}: truncated or not a safetensors file")


def test_pickles_are_refused_without_being_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("opened",))

    for name, write in {
        "old.safetensors": lambda path: path.write_bytes(pickle.dumps(Bomb())),
        "zip.safetensors": lambda path: torch.save({"a": torch.ones(1)}, path),
    }.items():
        path = tmp_path / name
        write(path)
        assert refusal(load_model, path) == (
            f"{path}: a pickled checkpoint, which can run code when it is opened; convert it to .safetensors where you "
            "trust it"
        )


def test_foreign_and_absent_files_are_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, path)
    assert refusal(read_weights, path) == (f"{path}: not written by maskwright; give weights that maskwright trained")
    write_tensors(path, {"a": torch.ones(1)}, {})
    assert refusal(read_weights, path) == f"{path}: holds no model; give weights that maskwright trained"
    absent = tmp_path / "absent.safetensors"
    assert refusal(read_weights, absent) == f"{absent}: no such file or folder; check the path"


def test_header_that_asks_for_much_memory_is_refused(tmp_path):
    path = tmp_path / "huge.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert "truncated or not a safetensors file" in refusal(read_weights, path)


def test_a_failed_write_keeps_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device; free some space and run again"):
        write_tensors(saved, {"a": torch.ones(1)}, {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def encoder_of(model, rename=lambda name: name):
    return {rename(name): tensor for name, tensor in model.encoder.state_dict().items()}


@pytest.mark.parametrize(
    "form",
    [
        lambda model: dict(model.state_dict()),
        lambda model: dict(model.network.state_dict()),
        lambda model: encoder_of(model, lambda name: f"encoder.{name}"),
        encoder_of,
        lambda model: (
            encoder_of(model, lambda name: name.removeprefix("model.").replace("blocks_", "blocks."))
            | {"classifier.weight": torch.zeros(10, 8)}
        ),
    ],
    ids=["ours", "smp", "smp encoder", "bare encoder", "timm with classifier"],
)
def test_local_weights_of_every_origin_fill_the_model(tmp_path, model, form):
    save_file(form(model), tmp_path / "start.safetensors")
    block = BLOCK.model_copy(update={"weights": "start.safetensors"})
    torch.manual_seed(9)
    filled = build_model(block, 3, 2, recipe_dir=tmp_path)
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(filled.encoder.state_dict()[name], tensor), name


def test_first_convolution_is_adapted_to_the_bands(tmp_path, model):
    save_file(encoder_of(model), tmp_path / "start.safetensors")
    block = BLOCK.model_copy(update={"weights": str(tmp_path / "start.safetensors")})
    filled = build_model(block, 7, 2)
    first = "model.conv_stem.weight"
    assert torch.equal(filled.encoder.state_dict()[first], adapt_bands(model.encoder.state_dict()[first], 7))


@pytest.mark.parametrize("bands", [1, 2, 4, 10])
def test_adapted_bands_answer_a_grey_image_as_before(bands):
    weight = torch.rand(4, 3, 3, 3)
    grey = torch.rand(1, 1, 8, 8)
    old = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    new = adapt_bands(weight.mean(1, keepdim=True).expand(-1, 3, -1, -1), bands)
    torch.testing.assert_close(torch.nn.functional.conv2d(grey.expand(-1, bands, -1, -1), new), old)


def test_weights_that_do_not_fit_are_refused_with_the_first_difference(tmp_path, model):
    path = tmp_path / "start.safetensors"
    save_file(dict(model.state_dict()), path)
    block = BLOCK.model_copy(update={"weights": str(path)})
    assert refusal(build_model, block, 3, 5) == (
        f"{path}: weights do not fit the model: segmentation_head.0.weight is (2, 16, 3, 3) in the file and (5, 16, 3, "
        f"3) in the model (and 1 more of {len(model.state_dict())} tensors); keep only the encoder.* tensors in the "
        "file, as the number of classes differs"
    )
    part = encoder_of(model)
    part.pop("model.conv_stem.weight")
    save_file(part, path)
    assert refusal(build_model, block, 3, 2) == (
        f"{path}: weights do not fit the encoder: conv_stem.weight is missing; check architecture and encoder"
    )
