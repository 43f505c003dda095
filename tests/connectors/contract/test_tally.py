"""What became of a run's records, in numbers that name no user."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.contract.aliases import alias
from connectors.contract.local_storage import LocalStorage
from connectors.contract.manifest import PartFile, RunManifest
from connectors.contract.receipts import Fate, Receipt, Rejection, write_receipts
from connectors.contract.tally import TOO_LARGE, Refusal, masked, read_tally

AT = datetime(2026, 11, 21, 4, 1, tzinfo=UTC)
KEY = b"k" * 32
MANIFEST = RunManifest(
    job="user_personalization/demo",
    run_id="20261121T040000Z-3f9a2c",
    connector="braze",
    version=1,
    acknowledge="onDelivery",
    options={},
    records_per_request=75,
    counts={},
    files=[PartFile(key="part-a", records=10, size_bytes=1, checksum="0")],
    digest="0",
    created_at=AT,
)


@pytest.fixture
def tally(tmp_path):
    """The tally of a run that left these receipts."""

    def of(*receipts):
        storage = LocalStorage(tmp_path)
        for receipt in receipts:
            write_receipts(storage, MANIFEST, [receipt])
        return read_tally(storage, MANIFEST, KEY)

    return of


def receipt(first, last, *rejected, outcome="settled", file="part-a"):
    return Receipt(file=file, first_line=first, last_line=last, outcome=outcome, rejected=rejected, at=AT)


def rejection(line, code="too_large", user_id="ann", reason="recs_items: 112 of 100 KB"):
    return Rejection(line=line, user_id=user_id, code=code, reason=reason)


def test_a_run_without_receipts_is_open(tally):
    found = tally()
    assert (found.fates[Fate.OPEN], found.records, found.refusals) == (10, 10, [])


def test_rejections_are_counted_by_code_with_aliases_in_place_of_users(tally):
    found = tally(
        receipt(0, 4, rejection(1), rejection(2, user_id="bob")),
        receipt(5, 9, rejection(5, code="refused_by_braze", user_id="cleo", reason="cleo is no number")),
    )
    assert found.fates[Fate.DELIVERED] == 7
    assert found.refusals == [
        Refusal("too_large", 2, [alias(KEY, "ann"), alias(KEY, "bob")], "recs_items: 112 of 100 KB"),
        Refusal("refused_by_braze", 1, [alias(KEY, "cleo")], "… is no number"),
    ]


def test_what_was_said_of_several_names_none_of_them(tally):
    """Of a request that was refused as a whole the destination may name anybody."""
    said = "external id ann-k7 is on the block list"
    users = ("ann", "ann-k", "ann-k7", "bob")
    found = tally(receipt(0, 3, *(rejection(line, "no", user, said) for line, user in enumerate(users))))
    assert found.refusals[0].reason == "external id … is on the block list"


def test_a_line_that_another_call_delivered_is_no_refusal(tally):
    found = tally(receipt(0, 1, rejection(1)), receipt(1, 1))
    assert (found.fates[Fate.DELIVERED], found.refusals) == (2, [])


def test_the_same_refusal_twice_counts_once(tally):
    found = tally(receipt(0, 1, rejection(1)), receipt(0, 1, rejection(1)))
    assert [(one.records, len(one.users)) for one in found.refusals] == [(1, 1)]


def test_what_was_too_large_to_send_has_a_code_of_its_own(tally):
    found = tally(receipt(0, 2, outcome="tooLarge"), receipt(3, 3, rejection(3)))
    assert [(one.code, one.records) for one in found.refusals] == [(TOO_LARGE, 3), ("too_large", 1)]


def test_receipts_of_other_parts_and_of_lines_beyond_the_end_are_passed_over(tally):
    found = tally(receipt(0, 3, rejection(3), file="part-b"), receipt(8, 12, rejection(12)))
    assert (found.fates[Fate.DELIVERED], found.refusals) == (2, [])


@pytest.mark.parametrize(
    ("reason", "user_id", "shown"),
    [
        (
            "recs_items: 112 of 100 KB; set onOversize to trim",
            "ann",
            "recs_items: 112 of 100 KB; set onOversize to trim",
        ),
        ("user ann is unknown", "ann", "user … is unknown"),
        ("annual limit reached", "ann", "annual limit reached"),
        ("id=canary-77x refused", "canary-77", "id=…x refused"),
        ("'Tan Backpack' is no number", "ann", "… is no number"),
        ('bad value "a b" here', "ann", "bad value … here"),
        ("mail ann@example.com is taken", "bob", "mail … is taken"),
        ("see https://example.com/u/5 for 123456", "ann", "see … for …"),
        ("the profile canary-…", "canary-77", "the profile …"),
        ("a.b (c", "(c", "a.b …"),
    ],
)
def test_a_reason_is_told_without_the_values_it_quotes(reason, user_id, shown):
    assert masked(reason, [user_id]) == shown
