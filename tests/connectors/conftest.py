"""Settings for the tests of connectors/: properties are tried without a deadline, since a busy machine is no fault."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("recsync", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("recsync")
