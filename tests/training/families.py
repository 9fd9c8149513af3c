"""Two gloo processes that train one small network of each family, one after another, in one process group.

Run as a script: `families.py PICTURES OUT`; prints JSON: each process's exit code, and for each family the digests of
the weights that both ended with, or the error that stopped it.
"""

import hashlib
import json
import signal
import sys
import warnings
from pathlib import Path

import discs
import torch
from forked import codes_of_two

from maskwright.core.recipe.members import Model
from maskwright.core.stop import Stop
from maskwright.training import fit

LONGEST = 400
"""Seconds after which a process ends itself: one that waits for a partner that is gone waits for half an hour."""
SWIN = {"embed": 8, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2], "window": 4, "drop_path": 0.3}
INTERN = {"channels": 8, "depths": [1, 1, 1, 1], "groups": [1, 2, 4, 8], "drop_path": 0.3}
QUERIES = {"channels": 32, "heads": 2, "queries": 6, "pixel_layers": 1, "pixel_hidden": 16, "layers": 2, "hidden": 16}
UPER = {"architecture": "upernet_mmseg", "aux": {"fcn": {"channels": 8}}}
FAMILIES = {
    "pan": {"model": {"architecture": "pan", "encoder": "swin_tiny", "options": {"encoder": SWIN}}},
    "upernet swin": {"model": {**UPER, "encoder": "swin_tiny", "options": {"encoder": SWIN, "channels": 16}}},
    "upernet convnext": {
        "model": {
            **UPER,
            "encoder": "convnext_tiny",
            "options": {"encoder": {"dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, "channels": 16},
        }
    },
    "upernet internimage": {
        "model": {**UPER, "encoder": "internimage_l", "options": {"encoder": INTERN, "channels": 16}}
    },
    "segformer": {
        "model": {
            "architecture": "segformer_mmseg",
            "encoder": "mit_b0",
            "options": {"encoder": {"dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "heads": [1, 2, 3, 4]}},
        }
    },
    "mask2former, set loss": {
        "model": {"architecture": "mask2former", "encoder": "swin_tiny", "options": {**QUERIES, "encoder": SWIN}},
        "loss": {"mask_set": {"points": 64}},
    },
    "mask2former, one map a class": {
        "model": {
            "architecture": "mask2former",
            "encoder": "swin_tiny",
            "options": {**QUERIES, "encoder": SWIN, "answer": "maps"},
        },
    },
    "efficient_fpn, all heads": {
        "model": {
            "architecture": "efficient_fpn",
            "encoder": "mish_efficientnet_b0",
            "options": {"context": True},
            "aux": {"twin": 0.1, "presence": 1.0, "scale": 0.1},
        }
    },
    "efficient_fpn, two heads": {
        "model": {
            "architecture": "efficient_fpn",
            "encoder": "mish_efficientnet_b0",
            "options": {"aspp": False},
            "aux": {"twin": 0.1, "presence": 1.0},
        }
    },
    "regnet unet": {
        "model": {"architecture": "unet_stride1", "encoder": "tu-regnetx_002", "spectral": 8},
        "loss": {"lovasz_hinge": {"elu": True}},
    },
    "unet3plus": {
        "model": {
            "architecture": "unet3plus",
            "encoder": "plain",
            "options": {"encoder": {"widths": [8, 8, 16]}},
            "aux": {"deep": {}},
        }
    },
    "hrnet ocr": {
        "model": {
            "architecture": "ocrnet",
            "encoder": "hrnet_w18_small",
            "options": {"channels": 32, "keys": 16},
            "aux": {"regions": 0.4},
        }
    },
    "deeplab v1": {
        "model": {
            "architecture": "deeplabv1",
            "encoder": "dilated_vgg16",
            "options": {"channels": 32, "encoder": {"widths": [8, 8, 16, 16, 16]}},
        }
    },
    "deeplab v3+": {"model": {"architecture": "deeplabv3plus", "encoder": "tu-mobilenetv3_small_050"}},
}
STEPS = 2
"""The reducer speaks at the second step of a parameter that had no gradient at the first."""


def job_of(pictures, model, **given):
    settings = {"epochs": 1, "steps_per_epoch": STEPS, "batch_size": 4, "augment": ("hflip",)}
    return discs.job_on(pictures, model=Model(**model), **settings, **given)


class Watched(fit.Training):
    """A training that tells what its weights became in this process."""

    digest = ""

    def run(self):
        super().run()
        total = hashlib.sha256()
        for parameter in self.model.parameters():
            total.update(parameter.detach().numpy().tobytes())
        Watched.digest = total.hexdigest()


def rank(number, jobs, out):
    """Train all families as one of two processes; leave digests in OUT/NUMBER.json."""
    signal.alarm(LONGEST)
    fit.Training = Watched
    found = {}
    for name, job in jobs.items():
        try:
            fit.fit_fold(job, out / name, discs.Told(), Stop())
            found[name] = Watched.digest
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    (out / f"{number}.json").write_text(json.dumps(found))


def main(pictures, out):
    jobs = {name: job_of(pictures, **given) for name, given in FAMILIES.items()}
    codes = codes_of_two(lambda number: rank(number, jobs, out))
    told = [json.loads((out / f"{number}.json").read_text()) for number in range(2)]
    return {"codes": codes, "families": {name: [each[name] for each in told] for name in jobs}}


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12 warns of forking with threads
    import accelerate  # noqa: F401 - once, before the fork

    out = Path(sys.argv[2])
    out.mkdir(exist_ok=True)
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), out)) + "\n")
