"""Who sent it."""

from __future__ import annotations

from connectors.webhook.config import secrets_of
from connectors.webhook.signature import signatures

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def sign(text: str) -> str:
    return signatures(secrets_of(text), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')


def test_the_standards_own_example_is_signed_as_its_libraries_sign_it():
    assert sign(SECRET) == SIGNED


def test_while_a_secret_is_replaced_each_of_the_two_signs():
    first, second = sign(f"whsec_{'b' * 32} {SECRET}").split(" ")
    assert (first, second) == (sign(f"whsec_{'b' * 32}"), SIGNED)
