import subprocess
import sys

HOLD = """
import torch
from maskwright.training.loader import read_batches

class Endless:
    def __getitem__(self, ticket):
        label = torch.zeros(2, 2).long()
        return {"image": torch.zeros(1, 2, 2), "label": label, "valid": label == 0, "index": 0, "log_size": 0.0}

held = read_batches(Endless(), ([i] for i in range(10**9)), 1, pin=False)
next(held)
print("read", flush=True)
raise SystemExit(7)  # as an error would: with the generator still open
"""


def test_a_process_that_fails_with_an_open_loader_ends():
    done = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "read\n"
    assert done.returncode == 7
