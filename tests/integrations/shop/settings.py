"""The project's settings; where its database is, a test says."""

import os

SECRET_KEY = "test"
USE_TZ = True
INSTALLED_APPS = ["jobkit.integrations.django", "tests.integrations.shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["SHOP_DATABASE"],
        "HOST": "127.0.0.1",
        "PORT": os.environ["SHOP_PORT"],
        "USER": os.environ["SHOP_USER"],
        "PASSWORD": os.environ["SHOP_PASSWORD"],
    }
}
if "SHOP_TASKS" in os.environ:
    TASKS = {
        "default": {
            "BACKEND": "jobkit.integrations.django.tasks.JobkitBackend",
            "QUEUES": ["default", "slow"],
            "OPTIONS": {"database": "default"},
        }
    }
JOBKIT_STORE_URL = os.environ["SHOP_URL"]
JOBKIT_BROKER_URL = JOBKIT_COORDINATOR_URL = "sqlite:///jobkit.db"
JOBKIT_BLOBS_URL = "file:blobs"
