"""Who opens the admin's pages in these tests."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client


@pytest.fixture
def operator(db: None) -> Client:
    made = Client()
    made.force_login(User.objects.create_superuser("operator"))
    return made
