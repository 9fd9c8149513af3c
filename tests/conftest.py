"""Settings for every test: one hypothesis profile, one torch thread, nothing from outside."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

settings.register_profile("maskwright", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("maskwright")
