"""The holdout: users who get nothing, so that what the others do can be compared with what they do."""

from __future__ import annotations

import hashlib

from pydantic import Field

from connectors.base import OptionsModel

_HASHES = 2**64


class Holdout(OptionsModel):
    """Who is in the holdout: a share of all users, by a hash of their ids, so that it is the same people in every run.

    With a higher percentage the same people stay and others join them; another salt draws other people.

    Attributes:
        percent: Of all user ids, 0 to 100.
        salt: Any text of one's own. Jobs with the same salt hold out the same people.
    """

    percent: float = Field(ge=0, le=100)
    salt: str = Field(min_length=1, pattern=r"\S")

    def holds(self, user_id: str) -> bool:
        """Whether a user is in it."""
        text = f"{self.salt}\0{user_id}".encode("utf-8", "surrogatepass")
        place = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        return place * 100 < self.percent * _HASHES
