"""A process that imports everything once and forks trainings from itself, to kill them or to let them train together.

Run as a script: `nursery.py kill|together|hard|keeping|divided PICTURES OUT`; prints JSON.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import discs
import torch
from forked import become, free_port

from maskwright.core.errors import MaskwrightError
from maskwright.core.recipe.keeping import EarlyStop, KeepBest, Swa
from maskwright.core.recipe.members import Model, Optimizer, Sampling, Schedule
from maskwright.core.stop import Stop
from maskwright.data.augment import table as augment
from maskwright.models.build import build_model
from maskwright.scoring.counts import count
from maskwright.training.fit import fit_fold

LAYER_NORM = Model(architecture="fpn", encoder="tu-convnext_atto", options={"decoder_dropout": 0.0})
"""Has no batch norm, whose statistics are each process's own."""


TINY_WITH_HEADS = discs.TINY.model_copy(
    update={"aux": Model(aux={"fcn": {"channels": 8}, "classify": {}, "deep": {"maps": 2}}).aux}
)


def child(job, folder, *, slow=False):
    """Train in a forked process; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if slow:  # most of the time goes into writes, so that most kills fall into one
            real = os.fsync
            os.fsync = lambda handle: (real(handle), time.sleep(0.05))
        with Stop().listening() as stop:
            fit_fold(job, folder, discs.Told(), stop)
        code = 0
    except MaskwrightError as error:
        code = error.exit_code
    finally:
        os._exit(code)


HARD = Sampling(windows="hard", p=0.8, max_class_share=0.9)
"""The next epoch's draws follow from this epoch's errors."""


def code_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pictures, out):
    """Kill trainings at random moments, some inside a checkpoint write; compare with an undisturbed one."""
    job = discs.job_on(pictures, epochs=5, save_every=1, workers=0)
    told = {"twin": code_of(child(job, out / "twin")), "killed": 0, "in a write": 0, "terminated": []}
    rng, folder = random.Random(7), out / "killed"
    for turn in range(10):
        slow, partial = turn % 2 == 0, False
        pid = child(discs.job_on(pictures, epochs=5, save_every=1, workers=turn % 3), folder, slow=slow)
        before = {path.name for path in folder.glob("state/step-*")}
        while {path.name for path in folder.glob("state/step-*")} == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        while slow and not partial:
            partial = any(folder.rglob(".*.partial"))
        os.kill(pid, signal.SIGTERM if turn in (4, 7) else signal.SIGKILL)
        asked = time.monotonic()
        code = code_of(pid)
        if code == -signal.SIGKILL:
            told["killed"] += 1
            told["in a write"] += any(folder.rglob(".*.partial"))
        else:
            told["terminated"].append([code, time.monotonic() - asked])
    told["end"] = code_of(child(job, folder))
    told["equal"] = discs.results(folder) == discs.results(out / "twin")
    told["left"] = sorted(path.name for path in folder.rglob("*") if "partial" in path.name or "state" in path.parts)
    return told


def hard(pictures, out):
    """Draw by errors: kill in the middle of epochs, and train with two processes, one of them asked to stop."""
    settings = {"sampling": HARD, "epochs": 5, "steps_per_epoch": 4, "batch_size": 2, "ema": None}
    still = {**settings, "model": LAYER_NORM, "optimizer": Optimizer(lr=1e-12), "epochs": 3}
    told = {"twin": code_of(child(discs.job_on(pictures, save_every=3, **settings), out / "twin")), "killed": 0}
    rng, folder = random.Random(11), out / "killed"
    for turn in range(5):
        pid = child(discs.job_on(pictures, save_every=1, workers=turn % 3, **settings), folder)
        before = {path.name for path in folder.glob("state/step-*")}
        while {path.name for path in folder.glob("state/step-*")} == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        told["killed"] += code_of(pid) == -signal.SIGKILL
    told["end"] = code_of(child(discs.job_on(pictures, workers=1, **settings), folder))
    told["equal"] = discs.results(folder) == discs.results(out / "twin")
    told["one"] = code_of(child(discs.job_on(pictures, **still), out / "one"))
    told["two"] = [code_of(pid) for pid in ranks(discs.job_on(pictures, **still), out / "two")]
    pair = ranks(discs.job_on(pictures, save_every=1, **still), out / "stopped")
    while not list((out / "stopped").glob("state/step-*")):
        time.sleep(0.005)
    os.kill(pair[1], signal.SIGTERM)
    told["stopped"] = [code_of(pid) for pid in pair]
    told["resumed"] = [code_of(pid) for pid in ranks(discs.job_on(pictures, workers=1, **still), out / "stopped")]
    return told


def rank(job, folder, number, size, port):
    pid = os.fork()
    if pid:
        return pid
    become(number, size, port)
    code = 1
    try:
        with Stop().listening() as stop:
            fit_fold(job, folder, discs.Told(), stop)
        code = 0
    except MaskwrightError as error:
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        code = error.exit_code
    finally:
        os._exit(code)


def ranks(job, folder, size=2):
    port = free_port()
    return [rank(job, folder, number, size, port) for number in range(size)]


def together(pictures, out):
    """Train with one process and with two; stop two by a signal to the second alone, and go on."""
    told = {}
    still = {"model": LAYER_NORM, "optimizer": Optimizer(lr=1e-12), "epochs": 1}
    for name, given in {"layer norm": {"model": LAYER_NORM}, "batch norm": {}, "still": still}.items():
        job = discs.job_on(pictures, **{"save_every": 2, **given})
        told[name] = [code_of(child(job, out / name / "one"))]
        told[name] += [code_of(pid) for pid in ranks(job, out / name / "two")]
    folder = out / "batch norm" / "stopped"
    pair = ranks(discs.job_on(pictures, save_every=2), folder)
    while not list(folder.glob("state/step-*")):
        time.sleep(0.005)
    os.kill(pair[1], signal.SIGTERM)
    told["stopped"] = [code_of(pid) for pid in pair]
    told["resumed"] = [code_of(pid) for pid in ranks(discs.job_on(pictures, workers=1), folder)]
    told["uneven"] = [code_of(pid) for pid in ranks(discs.job_on(pictures, batch_size=5), out / "uneven")]
    return told


KEEPING = {
    "task": discs.TWO,
    "loss": {"cdb": 1.0, "dice": 1.0},
    "loss_weights": "learned",
    "schedule": Schedule(name="plateau", patience=0, gamma=0.5, by="dice", threshold=1.0),
    "optimizer": Optimizer(name="lookahead", lookahead=(2, 0.5)),
    "keep_best": KeepBest(count=2, by="valid_loss"),
    "swa": Swa(start=0.3, lr=None),
    "epochs": 3,
    "steps_per_epoch": 2,
    "batch_size": 4,
    "accumulate": 2,
    "save_every": 1,
}
"""Everything at once that has a state of its own, but an early stop."""


def stopped_and_killed(pictures, folder, settings):
    """Train two processes that are asked to stop, go on and are killed, and go on to the end; return exit codes."""
    told = {}
    pair = ranks(discs.job_on(pictures, **settings), folder)
    while not list(folder.glob("state/step-*")):
        time.sleep(0.005)
    os.kill(pair[1], signal.SIGTERM)
    told["stopped"] = [code_of(pid) for pid in pair]
    pair = ranks(discs.job_on(pictures, **settings), folder)
    before = {path.name for path in folder.glob("state/step-*")}
    while {path.name for path in folder.glob("state/step-*")} == before:
        time.sleep(0.005)
    for pid in pair:
        os.kill(pid, signal.SIGKILL)
    told["killed"] = [code_of(pid) for pid in pair]
    told["resumed"] = [code_of(pid) for pid in ranks(discs.job_on(pictures, workers=1, **settings), folder)]
    return told


def keeping(pictures, out):
    """Train two processes with all that has a state, once undisturbed and once stopped in between; one is killed."""
    told = {"twin": [code_of(pid) for pid in ranks(discs.job_on(pictures, **KEEPING), out / "twin")]}
    told |= stopped_and_killed(pictures, out / "stopped", KEEPING)
    stopper = {"early_stop": EarlyStop(patience=1, threshold=10.0), "epochs": 5, "steps_per_epoch": 1}
    told["early"] = [code_of(pid) for pid in ranks(discs.job_on(pictures, **stopper), out / "early")]
    return told


DIVIDED = {
    **KEEPING,
    "model": TINY_WITH_HEADS,
    "sharding": "fsdp",
    "checkpointing": True,
    "clip": 0.05,
}
"""Everything that has a state, auxiliary heads, and weights in pieces."""


def divided(pictures, out):
    """Train two processes that divide the weights: beside copies, stopped, killed and gone on with."""
    told = {}
    sgd = {"model": LAYER_NORM, "optimizer": Optimizer(name="sgd", lr=0.01), "clip": 0.05, "epochs": 1}
    for name, sharding in {"pieces": "fsdp", "copies": "none"}.items():
        job = discs.job_on(pictures, sharding=sharding, channels_last=False, **sgd)
        job = replace(job, valid_keys=job.valid_keys[:1])  # so that the second process has nothing to validate
        told[name] = [code_of(pid) for pid in ranks(job, out / name)]
    told["alone"] = code_of(child(discs.job_on(pictures, sharding="fsdp", epochs=1), out / "alone"))
    told["twin"] = [code_of(pid) for pid in ranks(discs.job_on(pictures, **DIVIDED), out / "twin")]
    return told | stopped_and_killed(pictures, out / "stopped", DIVIDED)


def warm(pictures):
    """Do what costs seconds the first time, so that forked processes need not: imports, trials, compiling."""
    import accelerate  # noqa: F401
    import numpy as np

    for model in (discs.TINY, LAYER_NORM):
        job = discs.job_on(pictures, model=model)
        build_model(model, 3, 1)
    augment.build(job.member.augment)
    zeros = np.zeros((4, 4), np.uint8)
    count(zeros, zeros, zeros == 0, discs.TASK)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12 warns of forking with threads
    warm(Path(sys.argv[2]))
    action = {"kill": kill, "together": together, "hard": hard, "keeping": keeping, "divided": divided}[sys.argv[1]]
    sys.stdout.write(json.dumps(action(Path(sys.argv[2]), Path(sys.argv[3]))) + "\n")
