from __future__ import annotations

import pytest

from tests.photo.known_person import KnownPerson, make_known_person


@pytest.fixture(scope="session")
def known_person() -> KnownPerson:
    return make_known_person()
